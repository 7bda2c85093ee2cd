//! SES, simulated by moto, which keeps the messages that it accepts.

use std::env;
use std::process::Stdio;

use aws_credential_types::Credentials;
use client::{Call, MOTO_VARIABLE, Signer};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::wait_for;

/// The server. Ends when dropped.
pub struct Ses {
    /// Where it listens.
    pub url: String,
    _process: Child,
}

impl Ses {
    /// Starts it on a free port, with the identity that the template sends from.
    pub async fn start() -> Self {
        let python = env::var_os(MOTO_VARIABLE).expect("cargo xtask test sets the path of moto");
        let port = crate::free_port();
        let process = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("moto starts");
        let ses = Self { url: format!("http://127.0.0.1:{port}"), _process: process };
        wait_for("moto to respond", async || {
            let identity = json!({"EmailIdentity": "offers@bank.example"}).to_string();
            let url = format!("{}/v2/email/identities", ses.url);
            let headers = [("content-type", "application/json")];
            let call = Call { method: "POST", url: &url, headers: &headers, body: identity.as_bytes(), service: "ses" };
            let credentials = Credentials::new("test", "test", None, None, "moto accepts any");
            let response = Signer::new("eu-west-1", credentials).send(&call).await?;
            anyhow::ensure!(response.status == 200, "{}", response.text);
            Ok(())
        })
        .await;
        ses
    }

    /// The raw messages that it accepted.
    pub async fn messages(&self) -> Vec<String> {
        let data: Value = wait_for("moto to list its messages", async || {
            Ok(reqwest::get(format!("{}/moto-api/data.json", self.url)).await?.json().await?)
        })
        .await;
        let messages = data["ses"]["RawMessage"].as_array().cloned().unwrap_or_default();
        messages
            .iter()
            .map(|message| message["raw_data"].as_str().expect("moto keeps raw messages").to_owned())
            .collect()
    }
}
