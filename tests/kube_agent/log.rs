//! What is logged, for tests to read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, set_default};

/// What is logged on the thread of the test, which runs all tasks of the agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn kept(&self) -> DefaultGuard {
        let log = self.clone();
        set_default(tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish())
    }

    pub(crate) fn lines(&self, with: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it").clone();
        let text = String::from_utf8(bytes).expect("it is text");
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
