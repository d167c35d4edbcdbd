//! The browser's debugging protocol: numbered calls one way, their answers and events the other.

use std::{
    cell::RefCell,
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdin, ChildStdout},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Pipe {
    messages: Receiver<Value>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    requests: ChildStdin,
    calls: u64,
    /// All that came unasked, in the order in which it came.
    events: Vec<Value>,
}

impl Pipe {
    pub(super) fn new(requests: ChildStdin, answers: ChildStdout) -> Result<Self> {
        let (sender, messages) = channel();
        let read = move || {
            let mut messages = BufReader::new(answers).split(0);
            while let Some(Ok(message)) = messages.next() {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("browser".into())
            .spawn(read)
            .context("start a thread for the browser")?;
        Ok(Self { messages, state: RefCell::new(State { requests, calls: 0, events: Vec::new() }) })
    }

    /// The result of a call.
    pub(super) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        params: &Value,
        patience: Duration,
    ) -> Result<Value> {
        let mut state = self.state.borrow_mut();
        state.calls += 1;
        let id = state.calls;
        let mut call = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&call)?;
        bytes.push(0);
        state.requests.write_all(&bytes).with_context(|| format!("tell the browser {method}"))?;
        loop {
            let answer = self.messages.recv_timeout(patience);
            let mut answer = answer.with_context(|| format!("wait for the browser's answer to {method}"))?;
            if answer["id"] != id {
                state.events.push(answer);
            } else if let Some(error) = answer.get("error") {
                bail!("the browser refuses {method} {params}: {error}");
            } else {
                return Ok(answer["result"].take());
            }
        }
    }

    /// All events of a session so far.
    pub(super) fn events(&self, session: &str) -> Vec<Value> {
        let state = self.state.borrow();
        state.events.iter().filter(|event| event["sessionId"] == session).cloned().collect()
    }

    /// Waits for an event of a session, of those after the first `seen`.
    pub(super) fn wait(
        &self,
        session: &str,
        seen: usize,
        is_it: impl Fn(&Value) -> bool,
        patience: Duration,
    ) -> Result<()> {
        while !self.events(session).iter().skip(seen).any(&is_it) {
            let event = self.messages.recv_timeout(patience).context("wait for an event of the browser")?;
            self.state.borrow_mut().events.push(event);
        }
        Ok(())
    }
}
