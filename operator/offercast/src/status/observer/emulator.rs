//! Reading what only an emulator shows: the messages in a queue.

use anyhow::Result;
use client::Stack;
use serde_json::Value;

/// Reads from MiniStack's path, or else from LocalStack's.
pub(super) async fn peek(http: &reqwest::Client, stack: &Stack, what: &str, query: &[(&str, &str)]) -> Result<Value> {
    for root in ["_ministack", "_aws"] {
        let url = reqwest::Url::parse_with_params(&format!("{}/{root}/{what}", stack.endpoint_url), query)?;
        let response = http.get(url).header("accept", "application/json").send().await?;
        if response.status().is_success() {
            return Ok(response.json().await?);
        }
    }
    anyhow::bail!("the emulator does not provide {what}")
}
