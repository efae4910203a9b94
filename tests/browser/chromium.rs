//! Drives a headless Chromium through two pipes, with messages of its DevTools protocol. There is no socket, so nothing
//! listens on the machine, and no crate for one.

#![allow(dead_code, reason = "pictures are taken by hand, too")]

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest wait for an answer of the browser to one command. A page may take longer: see [`Browser::wait_for`].
const ANSWER: Duration = Duration::from_secs(120);

/// WebGPU on SwiftShader, a software adapter that Chromium brings, so that a machine without a GPU has one, too.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox", // CI runs as root, where Chromium refuses its sandbox
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
    "about:blank",
];

/// What switches WebGPU on.
const WEBGPU: &[&str] = &["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    last: u64,
    session: Option<String>,
    events: Vec<Value>,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// The browser, with WebGPU. Without Chromium, this prints on the terminal that the test is skipped. With
/// REQUIRE_BROWSER=1 it fails the test instead. One test at a time has a browser, because each uses every core.
pub fn browser(test: &str) -> Option<Browser> {
    Some(Browser::open(&found(test)?, WEBGPU))
}

/// A browser without WebGPU, as most were for long.
pub fn browser_without_webgpu(test: &str) -> Option<Browser> {
    Some(Browser::open(&found(test)?, &["--disable-features=WebGPU", "--disable-blink-features=WebGPU"]))
}

fn found(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    let mut all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let program = named.or_else(|| all.find(|path| path.is_file()));
    if program.is_none() {
        assert!(
            std::env::var("REQUIRE_BROWSER").as_deref() != Ok("1"),
            "{test} needs Chromium on the PATH, or CHROMIUM"
        );
        // The line bypasses the capture of a passing test's output, so that a skip is seen.
        let line = format!("{test} SKIPPED: no Chromium. REQUIRE_BROWSER=1 makes this a failure.\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    program
}

impl Browser {
    fn open(program: &Path, flags: &[&str]) -> Browser {
        static ONE: Mutex<()> = Mutex::new(());
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| folder.path().join(name));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        // Chromium reads commands from descriptor 3 and writes answers to 4. A shell can open these without unsafe code.
        let child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<"$TO" 4>"$FROM""#])
            .arg(program)
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .args(flags)
            .args(FLAGS)
            .envs([("TO", &to), ("FROM", &from)])
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        // Opened for both directions, so that a browser that does not start blocks nothing.
        let to = OpenOptions::new().read(true).write(true).open(to).unwrap();
        let (send, receive) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(File::open(from).unwrap()).split(0).map_while(Result::ok) {
                if send.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let (last, session, events) = (0, None, Vec::new());
        let mut browser = Browser { child, to, from: receive, last, session, events, folder, _alone: alone };
        let target = browser.command("Target.createTarget", json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.command("Target.attachToTarget", attached);
        browser.session = session["sessionId"].as_str().map(str::to_string);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.command(&format!("{domain}.enable"), json!({}));
        }
        let none = json!({"offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        browser.command("Network.emulateNetworkConditions", none);
        browser
    }

    /// Sends a command and waits for its answer. Events that arrive meanwhile are kept.
    pub fn command(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let until = Instant::now() + ANSWER;
        loop {
            match self.from.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) if answer["id"] == self.last => {
                    assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                    return answer["result"].clone();
                }
                Ok(event) => self.events.push(event),
                Err(why) => {
                    let why = if why == RecvTimeoutError::Timeout { "did not answer" } else { "has ended" };
                    let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
                    panic!("the browser {why} ({method}); it said:\n{said}");
                }
            }
        }
    }

    /// Opens a file and waits until it is loaded.
    pub fn open_file(&mut self, path: &Path) {
        self.events.clear();
        self.command("Page.navigate", json!({"url": format!("file://{}", path.canonicalize().unwrap().display())}));
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'", 60);
    }

    /// The value of a JavaScript expression. A promise is awaited. It fails the test if the expression throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.command("Runtime.evaluate", asked);
        let thrown = answer.get("exceptionDetails");
        assert!(thrown.is_none(), "{expression}: {}", thrown.unwrap_or(&Value::Null));
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        while self.evaluate(&format!("Boolean({expression})")) != Value::Bool(true) {
            if Instant::now() > until {
                let shown = self.evaluate("document.body ? document.body.innerText : ''");
                panic!(
                    "after {seconds} s it does not hold that {expression}; {:?}; the page says:\n{shown}",
                    self.faults()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What went wrong in the page since it was opened: errors that nobody caught, and what the browser logged as one.
    pub fn faults(&self) -> Vec<String> {
        let thrown = |e: &Value| e["method"] == "Runtime.exceptionThrown";
        let logged = |e: &Value| e["method"] == "Log.entryAdded" && e["params"]["entry"]["level"] == "error";
        self.events.iter().filter(|e| thrown(e) || logged(e)).map(|e| e["params"].to_string()).collect()
    }

    /// The addresses that the page asked for since it was opened, itself and what it holds as data left out.
    pub fn requests(&self) -> Vec<String> {
        let asked = self.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
        let other = asked.filter(|e| e["params"]["type"] != "Document");
        let urls = other.filter_map(|e| e["params"]["request"]["url"].as_str());
        urls.filter(|url| !url.starts_with("data:") && !url.starts_with("blob:")).map(str::to_string).collect()
    }

    /// Shows the page at a width, light or dark, and returns a picture of all of it.
    pub fn picture(&mut self, width: u32, dark: bool) -> Vec<u8> {
        let scheme = json!([{"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }}]);
        self.command("Emulation.setEmulatedMedia", json!({"features": scheme}));
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600});
        self.command("Emulation.setDeviceMetricsOverride", size);
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.command("Page.captureScreenshot", asked);
        from_base64(picture["data"].as_str().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helper processes end when the browser ends by itself.
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of base64 text.
pub fn from_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let group = |g: &[u8]| {
        let word = g.iter().fold(0u32, |word, d| word << 6 | u32::from(*d)) << (6 * (4 - g.len()));
        word.to_be_bytes()[1..g.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
