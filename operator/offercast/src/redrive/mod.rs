//! `redrive`: lists dead letters, drops one, or sends those of a queue again.
//!
//! If this program is stopped after it sent a message and before it deleted the dead letter, the message is sent twice.
//! Every queue's function tolerates that.

mod reason;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use client::Deployment;
use futures::future::try_join_all;
use tokio::time::timeout;

use self::reason::{push_of, reasons, sent_at};
use crate::offers::Offers;
use crate::output;

/// Suffix of a dead-letter queue's name, after the name of the queue it belongs to.
pub(crate) const DEAD_LETTERS: &str = "DeadLetters";
/// EventBridge's rule, whose dead letters are for the queue of the function `feedback`.
const FEEDBACK_RULE: &str = "feedbackRule";
const FEEDBACK: &str = "feedback";
/// Maximum messages per call (SQS API reference).
const BATCH: i32 = 10;
/// How long messages stay hidden from other consumers while a queue is read.
const VISIBILITY_TIMEOUT_SECONDS: i32 = 60;
/// Long polling. Without it, SQS may return only some of the messages.
const WAIT_SECONDS: i32 = 1;
/// How long the logs of a function are read.
const LOGS_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum dead letters listed per queue.
const MAX_LISTED: usize = 50;
/// Characters of a message body or of a reason that are shown.
const SHOWN_CHARS: usize = 160;

/// Lists dead letters, drops one, or sends those of a queue again.
///
/// # Errors
/// If there is no such queue or dead letter, or the queue cannot be read.
pub async fn redrive(
    deployment: &Deployment,
    on_aws: Option<&str>,
    queue: Option<&str>,
    drop: Option<&str>,
) -> Result<()> {
    let sqs = Client::new(&deployment.sdk);
    let Some(name) = queue else {
        return list(&sqs, deployment, on_aws).await;
    };
    let Some(dead) = deployment.queues.get(&format!("{name}{DEAD_LETTERS}")) else {
        let known: Vec<_> = deployment.queues.keys().filter_map(|name| name.strip_suffix(DEAD_LETTERS)).collect();
        bail!("{name} has no dead-letter queue; expected one of: {}", known.join(", "));
    };
    let dead_letters = DeadLetterQueue { sqs: &sqs, url: dead };
    if let Some(id) = drop {
        dead_letters.drop_one(id).await.with_context(|| format!("cannot drop {id} from the dead letters of {name}"))?;
        output::line(&format!("dropped {id}"))?;
    } else if let Some(queue) = deployment.queues.get(if name == FEEDBACK_RULE { FEEDBACK } else { name }) {
        output::line(&format!("sent to {name} again: {}", dead_letters.send_again(queue).await?))?;
    } else {
        bail!(
            "the dead letters of {name} come from no queue. docs/operations.md says what to do about those of the bus. Those of push come from a stream, so there is no queue to send them to. The sweep starts their pushes, if they were requested in the last 25 hours; then drop each with --drop ID"
        );
    }
    Ok(())
}

async fn list(sqs: &Client, deployment: &Deployment, on_aws: Option<&str>) -> Result<()> {
    let mut step = output::step("Reading the dead letters of all queues");
    let queues = deployment.queues.iter().filter(|(name, _)| name.ends_with(DEAD_LETTERS));
    // At the same time, since an empty queue takes a second to read.
    let read = try_join_all(queues.map(async |(name, url)| {
        let dead_letters = DeadLetterQueue { sqs, url };
        let found = dead_letters.receive_until(MAX_LISTED, |_| true).await?;
        dead_letters.make_visible(&found).await?;
        anyhow::Ok((name.trim_end_matches(DEAD_LETTERS), found))
    }));
    let found: Vec<_> = read.await?.into_iter().filter(|(_, found)| !found.is_empty()).collect();
    if found.is_empty() {
        step.done("none");
        return output::line("There are no dead letters.");
    }
    step.update("reading why they failed");
    let offers = Offers::of(deployment);
    let mut described = Vec::new();
    for (queue, found) in &found {
        // The list is of use without the reasons, and there may be many log lines.
        let read = timeout(LOGS_TIMEOUT, reasons(deployment, queue, found)).await;
        let reasons = read.ok().and_then(Result::ok).unwrap_or_default();
        for message in found {
            described.push(describe(queue, message, &reasons, &offers).await);
        }
        if found.len() >= MAX_LISTED {
            described.push(format!("{queue:9} … there may be more"));
        }
    }
    step.done(&output::count(found.iter().map(|(_, found)| found.len()).sum::<usize>(), "dead letter"));
    described.iter().try_for_each(|text| output::line(text))?;
    let tool = output::tool();
    let stack = on_aws.map(|name| format!(" --stack {name}")).unwrap_or_default();
    output::line(&format!(
        "\nTo send those of a queue again: {tool} redrive QUEUE{stack}. To drop one: {tool} redrive QUEUE --drop ID{stack}."
    ))
}

/// A dead letter in a few lines: its id and age, what it is about, why it failed, and how it begins.
async fn describe(queue: &str, message: &Message, reasons: &HashMap<String, String>, offers: &Offers) -> String {
    let id = message.message_id().unwrap_or_default();
    let body = message.body().unwrap_or_default();
    let mut text = format!("{queue:9} {id}");
    if let Some(age) = sent_at(message).and_then(|at| SystemTime::now().duration_since(at).ok()) {
        text += &format!("  {} old", output::age(age.as_secs()));
    }
    if let Some(push) = push_of(body) {
        text += &format!("  {} #{}", offers.code(push.offer).await, push.number);
    }
    if let Some(reason) = reasons.get(id) {
        text += &format!("\n          {}", beginning(reason));
    }
    text + &format!("\n          {}", beginning(body))
}

fn beginning(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

struct DeadLetterQueue<'a> {
    sqs: &'a Client,
    url: &'a str,
}

impl DeadLetterQueue<'_> {
    async fn receive(&self) -> Result<Vec<Message>> {
        let call = self.sqs.receive_message().queue_url(self.url).max_number_of_messages(BATCH);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let response =
            call.visibility_timeout(VISIBILITY_TIMEOUT_SECONDS).wait_time_seconds(WAIT_SECONDS).send().await?;
        Ok(response.messages.unwrap_or_default())
    }

    /// Receives messages until `enough` wanted ones are found or the queue is empty. They stay hidden from other
    /// consumers for [`VISIBILITY_TIMEOUT_SECONDS`].
    async fn receive_until(&self, enough: usize, wanted: impl Fn(&Message) -> bool) -> Result<Vec<Message>> {
        let mut taken: Vec<Message> = Vec::new();
        loop {
            let received = self.receive().await?;
            let is_empty = received.is_empty();
            taken.extend(received);
            if is_empty || taken.iter().filter(|message| wanted(message)).count() >= enough {
                return Ok(taken);
            }
        }
    }

    async fn drop_one(&self, id: &str) -> Result<()> {
        let is_wanted = |message: &Message| message.message_id() == Some(id);
        let (wanted, others): (Vec<_>, Vec<_>) =
            self.receive_until(1, is_wanted).await?.into_iter().partition(is_wanted);
        self.make_visible(&others).await?;
        let message = wanted.first().context("there is no dead letter with this id")?;
        self.delete(message).await
    }

    async fn send_again(&self, queue: &str) -> Result<usize> {
        let mut sent = 0;
        loop {
            let messages = self.receive().await?;
            if messages.is_empty() {
                return Ok(sent);
            }
            for message in &messages {
                let body = message.body().unwrap_or_default();
                self.sqs.send_message().queue_url(queue).message_body(body).send().await?;
                self.delete(message).await?;
                sent += 1;
            }
        }
    }

    async fn make_visible(&self, messages: &[Message]) -> Result<()> {
        for message in messages {
            let handle = message.receipt_handle().unwrap_or_default();
            let call = self.sqs.change_message_visibility().queue_url(self.url).receipt_handle(handle);
            call.visibility_timeout(0).send().await?;
        }
        Ok(())
    }

    async fn delete(&self, message: &Message) -> Result<()> {
        let handle = message.receipt_handle().unwrap_or_default();
        self.sqs.delete_message().queue_url(self.url).receipt_handle(handle).send().await?;
        Ok(())
    }
}
