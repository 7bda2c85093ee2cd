//! `preview`: what an offer would do, for people.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};
use client::Api;
use serde_json::Value;

use crate::offers::accepted;
use crate::output::{self, grouped};

/// Prints what an offer would do: a JSON text, or a file that has one.
///
/// # Errors
/// If it is no offer, or the API does not respond.
pub async fn preview(api: &Api, offer: &str, as_json: bool) -> Result<()> {
    let body = match offer.trim_start().starts_with('{') {
        true => offer.as_bytes().to_vec(),
        false => {
            let file = offer.strip_prefix('@').unwrap_or(offer);
            fs::read(file).with_context(|| format!("cannot read {file}"))?
        }
    };
    let preview = accepted(api, "POST", "/offers/preview", &body).await?;
    output::line(&if as_json { format!("{preview:#}") } else { rendered(&preview) })
}

/// The audience, what to look at first, and the message of each channel.
fn rendered(preview: &Value) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, preview);
    text.trim_end().to_owned()
}

fn write(text: &mut String, preview: &Value) -> std::fmt::Result {
    let audience = &preview["audience"];
    let count = |value: &Value| grouped(value.as_u64().unwrap_or_default());
    let estimated = if audience["exact"] == true { "" } else { ", estimated" };
    writeln!(
        text,
        "Customers that the rule selects: {}{estimated}. Messages, to those with consent and an address:",
        count(&audience["customers"])
    )?;
    for (channel, notifications) in audience["notifications"].as_object().into_iter().flatten() {
        write!(text, "  {channel:6} {:>12}", count(notifications))?;
        let unwritable = &audience["unwritable"][channel];
        if unwritable["customers"].as_u64().unwrap_or_default() > 0 {
            write!(text, ", of whom {} cannot be written to", count(&unwritable["customers"]))?;
        }
        writeln!(text)?;
    }
    let lists = ["warnings", "findings"].map(|name| preview[name].as_array().map_or(&[][..], Vec::as_slice));
    let findings = lists[1].iter().chain(lists[0].iter().filter(|warning| !lists[1].contains(warning)));
    for finding in findings {
        writeln!(text, "! {}", finding["detail"].as_str().unwrap_or_default())?;
    }
    for (channel, message) in preview["messages"].as_object().into_iter().flatten() {
        let field = |name: &str| message[name].as_str().unwrap_or_default();
        writeln!(text, "\n{channel}, as {} would get it:", message["customer"].as_str().unwrap_or("a customer"))?;
        if let Some(error) = message["error"].as_str() {
            writeln!(text, "  ! {error}")?;
        }
        let subject = Some(field("subject")).filter(|subject| !subject.is_empty());
        for line in subject.into_iter().chain(field("text").lines()) {
            writeln!(text, "  │ {line}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_comes_before_the_messages() {
        let preview = json!({
            "audience": {"customers": 2_000, "exact": false, "notifications": {"email": 1_800},
                         "unwritable": {"email": {"customers": 12}}},
            "findings": [{"code": "unwritable", "detail": "12 customers lack card_name"}],
            "messages": {"email": {"customer": "c-1", "subject": "Hi", "text": "Dear Asha,\n\nhello"}},
        });
        let expected = "\
Customers that the rule selects: 2,000, estimated. Messages, to those with consent and an address:
  email         1,800, of whom 12 cannot be written to
! 12 customers lack card_name

email, as c-1 would get it:
  │ Hi
  │ Dear Asha,
  │ 
  │ hello";
        assert_eq!(rendered(&preview), expected);
    }
}
