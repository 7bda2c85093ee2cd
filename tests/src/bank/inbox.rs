//! The messages that arrived: e-mail at the stack's SMTP server, texts at its SNS.

use std::collections::BTreeMap;

use client::Stack;
use serde::Deserialize;
use serde_json::Value;

use super::Bank;

/// A text message that SNS accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TextMessage {
    /// The recipient's number.
    pub phone_number: String,
    /// Its text.
    pub message: String,
    /// The attributes of the call, by name: `{"DataType", "StringValue"}` or similar.
    pub message_attributes: Value,
}

/// An e-mail that arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub headers: Vec<Header>,
    #[serde(rename = "receivedAt")]
    pub received_at: jiff::Timestamp,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl Mail {
    /// The raw value of a header, which must be there exactly once.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let header = found.next().unwrap_or_else(|| panic!("the mail has no {name}"));
        assert!(found.next().is_none(), "the mail has more than one {name}");
        &header.value
    }

    /// The offer's own text, without the footer that every offer has.
    pub fn body_lines(&self) -> Vec<&str> {
        let (body, _) = self.text.split_once("\r\n\r\n-- \r\n").expect("an offer has a footer");
        body.lines().collect()
    }

    /// The unsubscribe link, as a mail program reads it.
    pub fn unsubscribe_link(&self) -> &str {
        let link = self.header("List-Unsubscribe").strip_prefix('<').and_then(|link| link.strip_suffix('>'));
        link.expect("List-Unsubscribe holds one address in angle brackets")
    }
}

impl Bank {
    /// The e-mail of its own customers, oldest first.
    pub async fn mail(&self) -> Vec<Mail> {
        self.mail_to(&format!("@{}", self.domain())).await
    }

    /// The e-mail to an address, or to all addresses that contain this, oldest first.
    pub async fn mail_to(&self, address: &str) -> Vec<Mail> {
        let url = format!("{}api/messages?to={address}", self.stack.inbox_url);
        let response = reqwest::get(url).await.expect("the inbox responds");
        let mails: Vec<Mail> = response.json().await.expect("the inbox responds with messages");
        mails.into_iter().rev().collect()
    }

    /// The number of e-mails that each of its customers has, by the customer's name.
    pub async fn mail_count(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for mail in self.mail().await {
            let who = mail.to.split('@').next().unwrap_or_default().to_owned();
            *counts.entry(who).or_default() += 1;
        }
        counts
    }

    /// The texts of its customers `who`, in the order in which each of them got them.
    pub async fn texts(&self, who: &[&str]) -> BTreeMap<String, Vec<TextMessage>> {
        #[derive(Deserialize)]
        struct Sent {
            sms_messages: BTreeMap<String, Vec<TextMessage>>,
        }
        let Stack { endpoint_url, region, .. } = &self.stack;
        let mut sent = None;
        // Where MiniStack lists them, and where LocalStack does.
        for path in ["_ministack/sns/sms-messages", "_aws/sns/sms-messages"] {
            let response =
                reqwest::get(format!("{endpoint_url}/{path}?region={region}")).await.expect("the stack responds");
            if response.status().is_success() {
                sent = response.json::<Sent>().await.ok();
                break;
            }
        }
        let mut sent = sent.expect("the stack lists the texts that SNS accepted").sms_messages;
        who.iter().filter_map(|who| Some(((*who).to_owned(), sent.remove(&self.mobile(who))?))).collect()
    }
}
