//! The text messages that were sent: the emulator of AWS records them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where MiniStack lists them, and LocalStack.
const LISTS: [&str; 2] = ["_ministack/sns/sms-messages", "_aws/sns/sms-messages"];

/// How long the emulator may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The text messages of an emulator of AWS, or none.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    http: reqwest::Client,
    /// The emulator's URL, and the region in which messages are sent.
    emulator: Option<(String, String)>,
}

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentText {
    /// The phone number in international form.
    pub to: String,
    /// What it says.
    pub text: String,
}

#[derive(Deserialize)]
struct Recorded {
    sms_messages: BTreeMap<String, Vec<RecordedText>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordedText {
    phone_number: String,
    message: String,
}

impl Texts {
    /// The text messages of the emulator at this URL, in this region.
    pub fn new(emulator: Option<(String, String)>) -> Self {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        Self { http: http.expect("these settings are valid"), emulator }
    }

    /// The number of all of them, and those whose number or text contains `find`, in upper or lower case: at most `limit`, by phone
    /// number, and of each number the newest first. The emulator keeps no times.
    ///
    /// # Errors
    /// If the emulator does not list them.
    pub async fn sent(&self, find: &str, limit: usize) -> Result<(usize, Vec<SentText>)> {
        let sent = self.all().await?;
        let (total, find) = (sent.len(), find.to_lowercase());
        let is_found = |sent: &SentText| sent.to.contains(&find) || sent.text.to_lowercase().contains(&find);
        Ok((total, sent.into_iter().filter(is_found).take(limit).collect()))
    }

    async fn all(&self) -> Result<Vec<SentText>> {
        let Some((url, region)) = &self.emulator else { return Ok(Vec::new()) };
        for list in LISTS {
            let list = reqwest::Url::parse_with_params(&format!("{url}/{list}"), [("region", region)])?;
            let response = self.http.get(list).header("accept", "application/json").send().await?;
            if response.status().is_success() {
                let recorded: Recorded = response.json().await.context("cannot read the text messages")?;
                let texts = recorded.sms_messages.into_values().flat_map(|texts| texts.into_iter().rev());
                return Ok(texts.map(|sent| SentText { to: sent.phone_number, text: sent.message }).collect());
            }
        }
        anyhow::bail!("the emulator of AWS does not list text messages")
    }
}
