//! A real browser in a lab: headless Chromium, told what to do by its debugging protocol over two pipes.
//!
//! No port is opened and no driver is needed: messages are JSON that ends with a zero byte
//! (`--remote-debugging-pipe`). Whoever waits, waits for an event of the browser or for a promise in the page.

mod pipe;

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::docker::{NetnsLab, Place, Process, needs};
use pipe::Pipe;

/// Whoever waits so long for a browser on a busy machine has waited in vain.
const PATIENCE: Duration = Duration::from_mins(1);
const LOG: &str = "/run/tmp/chromium.log";

/// As root in a lab its own sandbox cannot be had; the lab is one. `/dev/shm` is the machine's, so it is left alone.
const OPTIONS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--user-data-dir=/run/tmp/chromium",
    "--remote-debugging-pipe",
];

/// It reads what it is told from descriptor 3, and answers on 4.
const PIPES: &str = "exec 3<&0 4>&1 </dev/null >\"$LOG\" 2>&1; exec \"$@\"";

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Whether the user prefers light on dark.
    pub dark: bool,
    /// Whether scripts of the page run.
    pub scripts: bool,
}

impl Sight {
    /// A screen on a desk.
    pub const DESK: Self = Self { width: 1280, height: 900, dark: false, scripts: true };
    /// A small phone.
    pub const PHONE: Self = Self { width: 360, height: 740, ..Self::DESK };
}

/// A browser on the node of a lab. Dropped, it is killed.
#[derive(Debug)]
pub struct Browser<'a> {
    lab: &'a NetnsLab,
    _process: Process,
    pipe: Pipe,
}

impl<'a> Browser<'a> {
    /// Starts it.
    pub fn start(lab: &'a NetnsLab) -> Result<Self> {
        needs::check(needs::BROWSER)?;
        let mut command = NetnsLab::command(&["sh", "-c", PIPES, "sh", "chromium"]);
        command.args(OPTIONS).env("LOG", LOG).env("XDG_RUNTIME_DIR", "/run/tmp");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let process = lab.spawn(Place::Node, &mut command)?;
        let pipe = Pipe::new(
            process.take_stdin().context("the browser has a stdin")?,
            process.take_stdout().context("the browser has a stdout")?,
        )?;
        Ok(Self { lab, _process: process, pipe })
    }

    /// Opens an address, and returns when all of it is loaded.
    pub fn open(&self, url: &str, sight: Sight) -> Result<Tab<'_>> {
        let target = self.call(None, "Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", &attach)?;
        let session = attached["sessionId"].as_str().context("a session")?.to_owned();
        let tab = Tab { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), &json!({}))?;
        }
        tab.look(sight)?;
        tab.call("Emulation.setScriptExecutionDisabled", &json!({"value": !sight.scripts}))?;
        tab.load("Page.navigate", &json!({"url": url}))?;
        Ok(tab)
    }

    fn call(&self, session: Option<&str>, method: &str, params: &Value) -> Result<Value> {
        self.pipe
            .call(session, method, params, PATIENCE)
            .with_context(|| format!("the browser's log:\n{}", self.log()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.lab.path(LOG)).unwrap_or_else(|error| format!("cannot be read: {error}"))
    }
}

/// A page in a browser.
#[derive(Debug)]
pub struct Tab<'a> {
    browser: &'a Browser<'a>,
    session: String,
}

impl Tab<'_> {
    /// Has it look so from now on; whether scripts run is decided when it is opened.
    pub fn look(&self, sight: Sight) -> Result<()> {
        let Sight { width, height, dark, scripts: _ } = sight;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.call("Emulation.setEmulatedMedia", &json!({"features": [scheme]})).map(drop)
    }

    /// Closes it, and with it its connections: a browser has six to one server, for all of its pages.
    pub fn close(self) -> Result<()> {
        let target = self.call("Target.getTargetInfo", &json!({}))?;
        let closed = json!({"targetId": target["targetInfo"]["targetId"]});
        self.browser.call(None, "Target.closeTarget", &closed).map(drop)
    }

    /// What an expression of JavaScript comes to; a promise is waited for.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", &params)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("{expression}: {exception:#}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true. The page is asked at once and whenever it changes.
    pub fn until(&self, condition: &str) -> Result<()> {
        let limit = PATIENCE.as_millis() / 2;
        let wait = format!(
            "new Promise((done) => {{
                const is = () => Boolean({condition});
                if (is()) return done(true);
                const observer = new MutationObserver(() => {{ if (is()) {{ observer.disconnect(); done(true); }} }});
                observer.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                setTimeout(() => done(false), {limit});
            }})"
        );
        let came = self.evaluate(&wait)?;
        ensure!(came == true, "not within {limit} ms: {condition}; the page:\n{}", self.text()?);
        Ok(())
    }

    /// All text that is shown.
    pub fn text(&self) -> Result<String> {
        let text = self.evaluate("document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Everything that the browser's console was told so far, but for what scripts log on purpose.
    pub fn complaints(&self) -> Result<Vec<Value>> {
        // What happened before this call is answered is in by then.
        self.evaluate("1")?;
        let of_console = |event: &Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Log.entryAdded") => true,
            Some("Runtime.consoleAPICalled") => {
                matches!(event["params"]["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            Some(_) | None => false,
        };
        Ok(self.browser.pipe.events(&self.session).into_iter().filter(of_console).collect())
    }

    /// Role and name of everything that a screen reader finds.
    pub fn accessible(&self) -> Result<Vec<(String, String)>> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}))?;
        let nodes = tree["nodes"].as_array().context("a tree of what is accessible")?.iter();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let found = nodes
            .filter(|node| node["ignored"] != true)
            .map(|node| (text(&node["role"]), text(&node["name"])));
        Ok(found.collect())
    }

    /// Presses the Tab key.
    pub fn press_tab(&self) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            self.call("Input.dispatchKeyEvent", &key)?;
        }
        Ok(())
    }

    /// Writes a picture of the whole page to a PNG file.
    pub fn screenshot(&self, file: &Path) -> Result<()> {
        let params = json!({"format": "png", "captureBeyondViewport": true, "optimizeForSpeed": false});
        let shot = self.call("Page.captureScreenshot", &params)?;
        let png = STANDARD.decode(shot["data"].as_str().context("a picture")?).context("decode a picture")?;
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        }
        fs::write(file, png).with_context(|| format!("write {}", file.display()))
    }

    fn load(&self, method: &str, params: &Value) -> Result<()> {
        let seen = self.browser.pipe.events(&self.session).len();
        let answer = self.call(method, params)?;
        if let Some(error) = answer.get("errorText") {
            bail!("{method} {params}: {error}");
        }
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        self.browser.pipe.wait(&self.session, seen, loaded, PATIENCE)
    }

    fn call(&self, method: &str, params: &Value) -> Result<Value> {
        self.browser.call(Some(&self.session), method, params)
    }
}
