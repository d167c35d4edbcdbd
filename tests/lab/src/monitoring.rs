//! A real Prometheus and a real Alertmanager on a lab's node, and what they answer.
//!
//! The node's network namespace is the lab's own, so their ports are fixed. Time passes for them as it does; who does
//! not want to wait for minutes gives rules whose durations are a part of the real ones: [`faster`].

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use form_urlencoded::Serializer;
use serde_json::{Value, json};

use crate::docker::{NetnsLab, Place, Process, needs};

/// Whoever waits so long on a busy machine has waited in vain.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two questions.
const PACE: Duration = Duration::from_millis(50);
const PROMETHEUS: &str = "127.0.0.1:9090";
const ALERTMANAGER: &str = "127.0.0.1:9093";
/// Of the lab: a tmpfs.
const DIRECTORY: &str = "/run/monitoring";

/// What is scraped.
#[derive(Clone, Copy, Debug)]
pub struct Scraped<'a> {
    /// The job that it is.
    pub job: &'a str,
    /// Where it serves `/metrics`, on the node.
    pub address: SocketAddr,
    /// The label `node`.
    pub node: Option<&'a str>,
}

/// Both of them, running. Dropped, they are killed.
#[derive(Debug)]
pub struct Monitoring<'a> {
    lab: &'a NetnsLab,
    prometheus: Daemon,
    _alertmanager: Daemon,
}

impl<'a> Monitoring<'a> {
    /// Starts them with these rules, and returns when they serve.
    pub fn start(lab: &'a NetnsLab, scraped: &[Scraped<'_>], rules: &str) -> Result<Self> {
        needs::check(needs::MONITORING)?;
        let mut jobs = BTreeMap::<_, Vec<_>>::new();
        for it in scraped {
            let labels = it.node.map_or(json!({}), |node| json!({ "node": node }));
            jobs.entry(it.job).or_default().push(json!({"targets": [it.address], "labels": labels}));
        }
        let jobs = jobs.into_iter().map(|(job, targets)| json!({"job_name": job, "static_configs": targets}));
        // JSON is YAML.
        let configuration = json!({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "scrape_configs": jobs.collect::<Vec<_>>(),
            "rule_files": ["rules.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [ALERTMANAGER]}]}]},
        });
        let route = json!({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]});
        fs::create_dir_all(lab.path(DIRECTORY)).context("make a directory in the lab")?;
        for (name, text) in [
            ("prometheus.yaml", configuration.to_string().as_str()),
            ("rules.yaml", rules),
            ("alertmanager.yaml", &route.to_string()),
        ] {
            fs::write(lab.path(format!("{DIRECTORY}/{name}")), text)
                .with_context(|| format!("write {name}"))?;
        }
        let alertmanager = Daemon::start(
            lab,
            "msg=\"Listening on\"",
            &[
                "prometheus-alertmanager",
                &format!("--config.file={DIRECTORY}/alertmanager.yaml"),
                &format!("--storage.path={DIRECTORY}/alertmanager"),
                &format!("--web.listen-address={ALERTMANAGER}"),
                "--cluster.listen-address=",
            ],
        )?;
        let prometheus = Daemon::start(
            lab,
            "Server is ready to receive web requests",
            &[
                "prometheus",
                &format!("--config.file={DIRECTORY}/prometheus.yaml"),
                &format!("--storage.tsdb.path={DIRECTORY}/prometheus"),
                &format!("--web.listen-address={PROMETHEUS}"),
                // An alert is sent again after the longest of these; they would be a minute and ten.
                "--rules.alert.resend-delay=1s",
            ],
        )?;
        Ok(Self { lab, prometheus, _alertmanager: alertmanager })
    }

    /// What an expression is now: each item of the result.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let data = self.api("query", &[("query", expression)])?;
        match data["resultType"].as_str() {
            Some("vector" | "matrix") => data["result"].as_array().cloned().context("a list"),
            Some("scalar") => Ok(vec![data["result"].clone()]),
            other => bail!("{expression} is a {other:?}"),
        }
    }

    /// What an expression was over the last minute: each series.
    pub fn query_range(&self, expression: &str) -> Result<Vec<Value>> {
        let now = self.query("time()")?;
        let now = now[0][1].as_str().and_then(|text| text.parse::<f64>().ok()).context("a time")?;
        let [start, end] = [now - 60.0, now].map(|at| at.to_string());
        let range = [("query", expression), ("start", &start), ("end", &end), ("step", "1")];
        self.api("query_range", &range)?["result"].as_array().cloned().context("a list")
    }

    /// The values that a label has in what a selector selects.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        let values = self.api(&format!("label/{label}/values"), &[("match[]", selector)])?;
        serde_json::from_value(values).with_context(|| format!("values of {label}"))
    }

    /// The alerts that Prometheus fires.
    pub fn firing(&self) -> Result<Vec<Value>> {
        let alerts = self.api("alerts", &[])?["alerts"].as_array().cloned().context("a list")?;
        Ok(alerts.into_iter().filter(|alert| alert["state"] == "firing").collect())
    }

    /// The alerts that the Alertmanager was told of, and not yet that they are resolved.
    pub fn told(&self) -> Result<Vec<Value>> {
        let (status, body) = self.get(ALERTMANAGER, "/api/v2/alerts")?;
        ensure!(status == 200, "the Alertmanager answers {status}: {body}");
        serde_json::from_str(&body).context("parse the Alertmanager's answer")
    }

    /// Asks until `answer` is one, and returns it.
    #[expect(clippy::disallowed_methods, reason = "the limit after which a wait has failed")]
    pub fn until<T>(&self, what: &str, mut answer: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(answer) = answer(self)? {
                return Ok(answer);
            }
            if began.elapsed() > PATIENCE {
                bail!("not within {PATIENCE:?}: {what}; alerts: {}", self.api("alerts", &[])?);
            }
            ensure!(!self.prometheus.process.exit().wait(PACE)?, "Prometheus ended");
        }
    }

    fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let (status, body) = self.get(PROMETHEUS, &format!("/api/v1/{path}?{query}"))?;
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("{status}: {body}"))?;
        ensure!(
            status == 200 && answer["status"] == "success" && answer["warnings"].is_null(),
            "Prometheus answers {status} to {path} {parameters:?}: {body}"
        );
        Ok(answer["data"].clone())
    }

    fn get(&self, address: &str, path: &str) -> Result<(u16, String)> {
        self.lab
            .enter(Place::Node, || get(address, path))?
            .with_context(|| format!("get {path} of {address}"))
    }
}

/// HTTP 1.0, in which no answer comes in chunks.
fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
    Ok((status, body.to_owned()))
}

#[derive(Debug)]
struct Daemon {
    process: Process,
    /// Kept, so that the process never writes to a closed pipe.
    _log: Receiver<String>,
}

impl Daemon {
    fn start(lab: &NetnsLab, ready: &str, words: &[&str]) -> Result<Self> {
        let mut command = NetnsLab::command(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = lab.spawn(Place::Node, &mut command)?;
        let stderr = process.take_stderr().context("it has a stderr")?;
        let (sender, log) = channel();
        thread::Builder::new().name(words[0].to_owned()).spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        let mut said = String::new();
        loop {
            let line = log.recv_timeout(PATIENCE);
            let line =
                line.with_context(|| format!("wait for {ready:?} of `{}` after\n{said}", words.join(" ")))?;
            if line.contains(ready) {
                return Ok(Self { process, _log: log });
            }
            said = said + &line + "\n";
        }
    }
}

/// Rules, or an expression, in which time passes so many times faster: each duration is that part of what it was.
pub fn faster(text: &str, times: u32) -> String {
    let mut fast = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| char.is_ascii_digit()) {
        let is_whole = !rest[..at].ends_with(|char: char| char.is_alphanumeric() || "_.".contains(char));
        let digits = rest[at..].find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len() - at);
        let (before, number) = (&rest[..at], &rest[at..at + digits]);
        let mut after = rest[at + digits..].chars();
        let unit = after.next().and_then(milliseconds);
        let ends = !after.next().is_some_and(char::is_alphanumeric);
        fast += before;
        rest = &rest[at + digits..];
        match (number.parse::<u64>(), unit) {
            (Ok(count), Some(unit)) if is_whole && ends => {
                fast += &(count * unit / u64::from(times)).to_string();
                fast += "ms";
                rest = &rest[1..];
            }
            _ => fast += number,
        }
    }
    fast + rest
}

fn milliseconds(unit: char) -> Option<u64> {
    match unit {
        's' => Some(1_000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::faster;

    #[test]
    fn every_duration_is_shortened_and_nothing_else() {
        let rule = "expr: sum(rate(icmp6_total{level=\"4+\", name=\"a5m\"}[10m])) > 14 * 86400\nfor: 1h\n# 2.42 and 60 s";
        let fast = "expr: sum(rate(icmp6_total{level=\"4+\", name=\"a5m\"}[5000ms])) > 14 * 86400\nfor: 30000ms\n# 2.42 and 60 s";
        assert_eq!(faster(rule, 120), fast);
        assert_eq!(faster("a[60s:5m] offset 1d", 60), "a[1000ms:5000ms] offset 1440000ms");
    }
}
