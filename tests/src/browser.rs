//! A real browser: Chromium, driven through ChromeDriver.

use std::path::Path;
use std::process::Stdio;

use data_encoding::HEXLOWER;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use crate::wait_for;

/// A browser with one page. Ends when dropped.
pub struct Browser {
    /// The page.
    pub page: Client,
    _driver: Child,
}

impl Browser {
    /// Starts a browser with a screen of this size, in CSS pixels.
    pub async fn start((width, height): (u32, u32)) -> Self {
        let port = crate::free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts; cargo xtask test skips these tests where it is not installed");
        let options = json!({
            "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync"],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0, "touch": true}},
        });
        let capabilities = Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let page = wait_for("the browser to start", async || {
            let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            Ok(builder.capabilities(capabilities.clone()).connect(&format!("http://127.0.0.1:{port}")).await?)
        })
        .await;
        Self { page, _driver: driver }
    }

    /// By how many CSS pixels the page is wider than the screen. More than none means horizontal scrolling.
    pub async fn overflow(&self) -> i64 {
        let width = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let overflow = self.page.execute(width, vec![]).await.expect("the browser measures");
        overflow.as_i64().expect("a number of pixels")
    }

    /// Shows this HTML, as a mail program does.
    pub async fn show(&self, html: &str) {
        self.page.goto("about:blank").await.expect("the browser shows an empty page");
        let write = "document.open(); document.write(arguments[0]); document.close()";
        self.page.execute(write, vec![html.into()]).await.expect("the browser shows the HTML");
    }

    /// Makes readers of pages see them in their light or dark colours.
    pub async fn set_colour_scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command = DevTools { method: "Emulation.setEmulatedMedia", parameters: json!({"features": features}) };
        self.page.issue_cmd(command).await.expect("the browser changes its colours");
    }

    /// What axe-core finds in the page that keeps readers from it: its findings of a serious or critical impact, each with the
    /// elements it is about.
    pub async fn barriers(&self) -> Vec<String> {
        self.page.execute(&axe(), vec![]).await.expect("axe-core is a script");
        let run = "const done = arguments[arguments.length - 1]; \
                   axe.run({resultTypes: ['violations']}).then(found => done(found.violations), error => done([String(error)]))";
        let found = self.page.execute_async(run, vec![]).await.expect("axe-core runs");
        let found = found.as_array().expect("axe-core lists what it found");
        let is_barrier = |finding: &&Value| !matches!(finding["impact"].as_str(), Some("minor" | "moderate"));
        found.iter().filter(is_barrier).map(ToString::to_string).collect()
    }

    /// Saves a screenshot to `target/screenshots`.
    pub async fn keep_screenshot(&self, name: &str) {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/screenshots"));
        std::fs::create_dir_all(folder).expect("target can be written to");
        let image = self.page.screenshot().await.expect("the browser takes a screenshot");
        std::fs::write(folder.join(format!("{name}.png")), image).expect("target can be written to");
    }

    /// Closes the page and ends the browser.
    pub async fn end(self) {
        self.page.close().await.expect("the browser ends");
    }
}

/// The version of axe-core, a library that finds barriers in pages, and the SHA-256 hash of its script.
const AXE: (&str, &str) = ("axe-core@4.14.1", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c");

/// The source of axe-core, fetched when it is first needed.
fn axe() -> String {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/local/axe-core"));
    let script = folder.join("node_modules/axe-core/axe.min.js");
    if !script.exists() {
        std::fs::create_dir_all(folder).expect("target can be written to");
        let mut npm = std::process::Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", AXE.0]).current_dir(folder);
        let status = npm.status().expect("npm runs; cargo xtask test skips these tests where it is not installed");
        assert!(status.success(), "npm could not install {}", AXE.0);
    }
    let script = std::fs::read_to_string(script).expect("npm installed axe-core");
    assert_eq!(HEXLOWER.encode(&Sha256::digest(&script)), AXE.1, "{} is not what it was", AXE.0);
    script
}

/// A command of Chromium's own, of the Chrome DevTools Protocol.
#[derive(Debug)]
struct DevTools {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"cmd": self.method, "params": self.parameters}).to_string()))
    }
}
