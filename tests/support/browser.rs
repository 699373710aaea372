//! A real Chromium with a page, spoken to by its DevTools protocol.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What takes longer does not happen.
const LONG: Duration = Duration::from_secs(60);

/// A page in a browser of its own; dropping it ends the browser.
pub(crate) struct Page {
    browser: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last_id: u64,
    /// What the page complained of: exceptions, and what its policy forbids.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
}

impl Page {
    /// The page at `path` of what listens on `addr`, loaded.
    pub(crate) async fn open(addr: SocketAddr, path: &str) -> Page {
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is installed by tests/run");
        let words = browser.stderr.take().expect("it is piped");
        let url = tokio::task::spawn_blocking(move || find_address(BufReader::new(words)));
        let url = url.await.expect("it is read");
        let (socket, _) = connect_async(url).await.expect("it speaks its protocol");
        let mut page = Page {
            browser,
            socket,
            session: None,
            last_id: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = page
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.call("Target.attachToTarget", attach).await;
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.call(domain, json!({})).await;
        }
        let url = format!("http://{addr}{path}");
        page.call("Page.navigate", json!({ "url": url })).await;
        page.until("document.readyState === 'complete' && location.protocol === 'http:'")
            .await;
        page
    }

    /// What `script` comes to; a promise is waited for.
    pub(crate) async fn evaluate(&mut self, script: &str) -> Value {
        let arguments =
            json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", arguments).await;
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{script}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Returns when `condition` is true of the page.
    pub(crate) async fn until(&mut self, condition: &str) {
        let waiting = async {
            while self.evaluate(condition).await != true {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(LONG, waiting).await.is_err() {
            let text = self.evaluate("document.body.innerText").await;
            panic!("never true of the page: {condition}\n{text}");
        }
    }

    /// The text of the element with this id.
    pub(crate) async fn text(&mut self, id: &str) -> String {
        let script = format!("document.getElementById('{id}').innerText");
        let text = self.evaluate(&script).await;
        text.as_str().expect("it is there").to_owned()
    }

    /// Writes into a field, as a person would.
    pub(crate) async fn write(&mut self, id: &str, text: &str) {
        self.evaluate(&format!(
            "(document.getElementById('{id}').value = '', document.getElementById('{id}').focus())"
        ))
        .await;
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Clicks on what `selector` finds first.
    pub(crate) async fn click(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector(`{selector}`).click()"))
            .await;
    }

    /// A picture of the whole page, as PNG, with a window of this width.
    pub(crate) async fn picture(&mut self, width: u32, scheme: &str) -> Vec<u8> {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await;
        let arguments = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", arguments).await;
        let text = answer["data"].as_str().expect("a picture");
        STANDARD.decode(text).expect("it is whole")
    }

    async fn call(&mut self, method: &str, arguments: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": arguments });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let message = Message::text(message.to_string());
        self.socket
            .send(message)
            .await
            .expect("the browser listens");
        let answer = tokio::time::timeout(LONG, self.read_until(id)).await;
        answer.unwrap_or_else(|_| panic!("{method} is not answered"))
    }

    async fn read_until(&mut self, id: u64) -> Value {
        loop {
            let message = self.socket.next().await.expect("the browser runs");
            let message = message.expect("the browser speaks");
            let Ok(text) = message.to_text() else {
                continue;
            };
            let Ok(message) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{message}");
                return message["result"].clone();
            }
            let is_complaint = message["method"] == "Runtime.exceptionThrown"
                || (message["method"] == "Log.entryAdded"
                    && message["params"]["entry"]["source"] == "security");
            if is_complaint {
                self.complaints.push(message["params"].to_string());
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

/// Reads on to the line that says where the browser listens.
fn find_address(words: impl BufRead + Send + 'static) -> String {
    const BEFORE: &str = "DevTools listening on ";
    let mut lines = words.lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix(BEFORE).map(str::to_owned));
    let address = line.expect("the browser says where it listens");
    // It goes on writing, and is not to wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    address
}
