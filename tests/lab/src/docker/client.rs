//! The docker client of one of the lab's dockerds.

use std::{process::Command, sync::Arc};

use anyhow::{Context as _, Result};

use super::{Level, NetnsLab, machine::Machine, netns_lab::checked};

/// The docker client of one daemon.
#[derive(Clone, Debug)]
pub(super) struct Client {
    machine: Arc<Machine>,
    level: Level,
}

impl Client {
    pub(super) fn new(machine: &Arc<Machine>, level: Level) -> Self {
        Self { machine: Arc::clone(machine), level }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Runs `docker` with these words, and returns what it says.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        self.run_with_input(words, "")
    }

    /// Runs `docker` with these words and this stdin, and returns what it says.
    pub(super) fn run_with_input(&self, words: &[&str], input: &str) -> Result<String> {
        let namespaces = self.machine.namespaces()?;
        let output = self.machine.pipe(namespaces.net(), &mut self.command(words), input)?;
        checked(words, output).with_context(|| format!("ask dockerd of level {}", self.level))
    }

    /// A command that runs `docker` with these words.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let socket = format!("unix://{}/sock", self.level.directory());
        let mut command = NetnsLab::command(&[&["docker", "-H", &socket], words].concat());
        // The builder that is in dockerd: another would be a plugin that may not be installed.
        command.env("DOCKER_BUILDKIT", "0");
        command
    }
}
