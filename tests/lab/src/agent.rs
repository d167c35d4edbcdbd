//! The agent as a process on a lab's node, and what it tells: by HTTP, by its log, by its host files.
//!
//! Whoever waits for it waits on the process: it is asked again and again, a millisecond apart, until it answers as
//! expected or the wait has failed. Nothing is ever tried a second time.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::docker::{NetnsLab, Place, Process, Signal};

/// Whoever waits so long for an agent on a busy machine has waited in vain.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions, so that who asks does not take the processor from who is to answer.
const PACE: Duration = Duration::from_millis(1);

/// How to start an agent.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    binary: String,
    words: Vec<String>,
    kubeconfig: Option<PathBuf>,
    directory: String,
}

impl AgentSpec {
    /// The agent that `binary` is, with its host files in `/run/mtu-agent` of the lab, and any free port.
    pub fn new(binary: &str) -> Self {
        let directory = "/run/mtu-agent".to_owned();
        Self {
            binary: binary.to_owned(),
            words: [binary, "agent", "--standalone", "--listen", "127.0.0.1:0"].map(String::from).into(),
            kubeconfig: None,
            directory,
        }
    }

    /// Has it publish to Kubernetes, as the agent of this node.
    #[must_use]
    pub fn on_node(mut self, node_name: &str, kubeconfig: PathBuf) -> Self {
        self.words.retain(|word| word != "--standalone");
        self.kubeconfig = Some(kubeconfig);
        self.args(&["--node-name", node_name])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.words.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Has it keep its host files somewhere else in the lab.
    #[must_use]
    pub fn directory(mut self, directory: &str) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Starts it through another program, such as `setpriv`.
    #[must_use]
    pub fn through(mut self, program: &[&str]) -> Self {
        self.words.splice(..0, program.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Starts it on the node, and returns when it serves HTTP: it watches by then, and may not have surveyed.
    pub fn start(self, lab: &NetnsLab) -> Result<Agent<'_>> {
        let words: Vec<_> = self.words.iter().map(String::as_str).collect();
        let mut command = NetnsLab::command(&words);
        command.args(["--directory", &self.directory]).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        let process = lab.spawn(Place::Node, command.stderr(Stdio::piped()))?;
        let stderr = process.take_stderr().context("the agent has a stderr")?;
        let (sender, lines) = channel();
        thread::Builder::new().name("agent-log".into()).spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut agent = Agent {
            lab,
            binary: self.binary,
            process,
            address,
            directory: self.directory,
            lines: Mutex::new(lines),
            log: Vec::new(),
        };
        let started = agent.told("agent started")?;
        let listen = started["listen"].as_str().context("an address that it listens at")?;
        agent.address = listen.parse().with_context(|| format!("parse {listen}"))?;
        Ok(agent)
    }
}

/// An agent that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Agent<'a> {
    lab: &'a NetnsLab,
    binary: String,
    process: Process,
    address: SocketAddr,
    directory: String,
    lines: Mutex<Receiver<String>>,
    log: Vec<Value>,
}

impl Agent<'_> {
    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where it serves HTTP, on the node.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a line of its log with this message, which no earlier call has returned or passed.
    pub fn told(&mut self, message: &str) -> Result<Value> {
        loop {
            let line = self.lines().recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("wait for {message:?} after\n{}", self.log_text()))?;
            let entry: Value =
                serde_json::from_str(&line).with_context(|| format!("parse the agent's log: {line}"))?;
            self.log.push(entry.clone());
            if entry["message"] == message {
                return Ok(entry);
            }
        }
    }

    /// All that it has logged so far, or ever if it has ended.
    pub fn log(&mut self) -> Result<&[Value]> {
        while let Ok(line) = self.lines().try_recv() {
            self.log.push(serde_json::from_str(&line).with_context(|| format!("parse {line}"))?);
        }
        Ok(&self.log)
    }

    fn lines(&mut self) -> &mut Receiver<String> {
        self.lines.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_text(&self) -> String {
        self.log.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    }

    /// A page, and whether its status is 200.
    pub fn page(&self, path: &str) -> Result<(bool, String)> {
        let address = self.address;
        self.lab.enter(Place::Node, move || page(address, path))?
    }

    /// A page with status 200.
    pub fn get(&self, path: &str) -> Result<String> {
        let (ok, body) = self.page(path)?;
        ensure!(ok, "{path} is not served: {body}");
        Ok(body)
    }

    /// `/v1/survey`.
    pub fn survey(&self) -> Result<Value> {
        serde_json::from_str(&self.get("/v1/survey")?).context("parse the agent's survey")
    }

    /// `/metrics`.
    pub fn metrics(&self) -> Result<Samples> {
        self.get("/metrics").map(Samples)
    }

    /// Asks until `answer` is one, and returns it.
    pub fn until<T>(&self, what: &str, answer: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        self.within(PATIENCE, what, answer)
    }

    /// As [`Self::until`], with another limit.
    #[expect(clippy::disallowed_methods, reason = "the limit after which a wait has failed")]
    pub fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut answer: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(answer) = answer(self)? {
                return Ok(answer);
            }
            if began.elapsed() > limit {
                bail!("not within {limit:?}: {what}; metrics:\n{}", self.metrics()?.0);
            }
            ensure!(!self.process.exit().wait(PACE)?, "the agent ended");
        }
    }

    /// Waits until a survey was made.
    pub fn until_ready(&self) -> Result<()> {
        self.until("ready", |agent| Ok(agent.page("/readyz")?.0.then_some(())))
    }

    /// Waits until the metrics tell so many links with a wrong MTU, and the survey as many; returns the survey.
    pub fn until_mismatched(&self, links: usize) -> Result<Value> {
        self.until(&format!("{links} mismatches"), |agent| {
            if agent.metrics()?.mismatched() != Some(links) {
                return Ok(None);
            }
            let survey = agent.survey()?;
            Ok((survey["mismatches"].as_array().map(Vec::len) == Some(links)).then_some(survey))
        })
    }

    /// Waits until so many namespaces are known, and then for a survey that equals what a new process finds out, which
    /// knows nothing of what was before.
    ///
    /// The number, because the kernel takes its time to end a namespace; and the new process only then and only once,
    /// because what it does might be heard and wake an agent that has missed something.
    pub fn until_as_fresh(&self, namespaces: usize) -> Result<()> {
        self.until(&format!("{namespaces} namespaces"), |agent| {
            let survey = agent.survey()?;
            Ok((survey["namespaces"].as_array().map(Vec::len) == Some(namespaces)).then_some(()))
        })?;
        let words = [&self.binary, "survey", "--no-probe", "--output", "json"];
        let output = self.lab.run(Place::Node, &words)?;
        let fresh: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
        let fresh = undated(fresh);
        let equal = self.until("the survey equals a fresh one", |agent| {
            Ok((undated(agent.survey()?) == fresh).then_some(()))
        });
        equal.with_context(|| {
            self.survey().map_or_else(|error| error.to_string(), |it| difference(&undated(it), &fresh))
        })
    }

    /// Waits until a sample has this value.
    pub fn until_sample(&self, sample: &str, value: f64) -> Result<()> {
        self.until(&format!("{sample} {value}"), |agent| Ok(agent.metrics()?.is(sample, value).then_some(())))
    }

    /// Where a host file is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.lab.path(format!("{}/{name}", self.directory))
    }

    /// Stops it as an init system would, and returns its exit code and how long that took.
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
    pub fn stop(&self) -> Result<(Option<i32>, Duration)> {
        let began = Instant::now();
        self.process.signal(Signal::TERM)?;
        let status = self.process.wait_for(PATIENCE)?.context("it still runs after SIGTERM")?;
        Ok((status.code(), began.elapsed()))
    }
}

/// The text of `/metrics`.
#[derive(Clone, Debug)]
pub struct Samples(String);

impl Samples {
    /// The value of a sample, by its whole name with labels.
    pub fn value(&self, sample: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    /// Whether the sample is there and has this value.
    pub fn is(&self, sample: &str, value: f64) -> bool {
        self.value(sample).is_some_and(|found| (found - value).abs() < f64::EPSILON)
    }

    /// The sum of all samples of a metric; `None` if it has none.
    pub fn sum(&self, metric: &str) -> Option<f64> {
        let of_metric = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let rest = name.strip_prefix(metric)?;
            (rest.is_empty() || rest.starts_with('{')).then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(of_metric).reduce(|sum, value| sum + value)
    }

    /// How many links have a wrong MTU; `None` before the first survey.
    pub fn mismatched(&self) -> Option<usize> {
        // A sum of whole numbers prints as one.
        format!("{}", self.sum("mtu_agent_mismatched_links")?).parse().ok()
    }
}

/// A request of its own on a connection of its own.
pub fn page(address: SocketAddr, path: &str) -> Result<(bool, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("read {path} of {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP: {answer:?}"))?;
    Ok((head.starts_with("HTTP/1.1 200 "), body.to_owned()))
}

/// A survey without what differs between any two: its date, and the processes that happened to run.
fn undated(mut survey: Value) -> Value {
    survey["observed_at"].take();
    for namespace in survey["namespaces"].as_array_mut().into_iter().flatten() {
        namespace["pids"].take();
    }
    survey
}

/// The lines that only one of two documents has.
fn difference(seen: &Value, fresh: &Value) -> String {
    let [seen, fresh] = [seen, fresh].map(|document| format!("{document:#}"));
    let missing = |lines: &str, from: &str, mark: &str| {
        let from: Vec<_> = from.lines().collect();
        let missing = lines.lines().filter(|line| !from.contains(line));
        missing.flat_map(|line| [mark, line, "\n"]).collect::<String>()
    };
    missing(&seen, &fresh, "-") + &missing(&fresh, &seen, "+")
}
