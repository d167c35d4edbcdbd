//! The terminal, if there is one: width, colour, a line of progress, and pipes that close.

use std::io::{self, IsTerminal, Write};

use mtu_agent::publish::paint::Paint;
use tracing_subscriber::EnvFilter;

use crate::cli::{When, no_color};

/// How text on stdout is to look.
pub(crate) fn paint(when: When) -> Paint {
    let is_terminal = io::stdout().is_terminal();
    let colour = match when {
        When::Auto => is_terminal && !no_color(),
        When::Always => true,
        When::Never => false,
    };
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    Paint { colour, width: width.filter(|_| is_terminal) }
}

/// Writes the answer to stdout. A reader that has seen enough is no error.
pub(crate) fn answer(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(closed) if closed.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Says on stderr why it cannot be done.
pub(crate) fn complain(message: &str) {
    let _nobody_reads_it = writeln!(io::stderr(), "mtu-agent: {message}");
}

/// Logs to stderr: as text for people, and what an agent says elsewhere than on a terminal as JSON.
pub(crate) fn log(filter: EnvFilter, is_agent: bool) {
    let is_terminal = io::stderr().is_terminal();
    let text = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if is_agent && !is_terminal {
        text.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    } else {
        text.with_ansi(is_terminal && !no_color()).with_target(false).init();
    }
}

/// One line on stderr that is written over and over while work goes on; nothing unless that is a terminal.
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    pub(crate) fn show(&self, line: &str) {
        if self.shown {
            let _nobody_reads_it = write!(io::stderr(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}
