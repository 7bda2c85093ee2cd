//! A real browser: Chromium, driven through ChromeDriver.

use std::path::Path;
use std::process::Stdio;

use fantoccini::{Client, ClientBuilder};
use serde_json::{Map, json};
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
