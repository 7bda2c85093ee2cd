//! `redrive`: dead letters, looked at, dropped one by one, or sent to their queue again.
//!
//! What is sent again may be sent twice, should this be stopped between sending and deleting: every queue's function
//! bears that.

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use client::Deployment;

/// How queues for dead letters are named: after the queue that they serve.
pub(crate) const DEAD_LETTERS: &str = "DeadLetters";
/// Most messages of one call (SQS API reference).
const BATCH: i32 = 10;
/// How long letters stay hidden from others while we look through a queue, in seconds.
const VISIBILITY_TIMEOUT_SECONDS: i32 = 60;
/// How long to wait for letters, in seconds: an answer at once may leave some out.
const WAIT_SECONDS: i32 = 1;
/// DeadLetterQueue that are listed of a queue; more are counted.
const MAX_LISTED: usize = 50;
/// Characters of a letter that are shown.
const SHOWN_CHARS: usize = 100;

/// Lists, drops or sends again.
pub(crate) async fn redrive(deployment: &Deployment, queue: Option<&str>, drop: Option<&str>) -> Result<()> {
    let sqs = Client::new(&deployment.sdk);
    let Some(name) = queue else {
        return list(&sqs, deployment).await;
    };
    let Some(dead) = deployment.queues.get(&format!("{name}{DEAD_LETTERS}")) else {
        let known: Vec<_> = deployment.queues.keys().filter_map(|name| name.strip_suffix(DEAD_LETTERS)).collect();
        bail!("there are no dead letters of {name}; there are those of {}", known.join(", "));
    };
    let dead_letters = DeadLetterQueue { sqs: &sqs, url: dead };
    if let Some(id) = drop {
        dead_letters.drop_one(id).await.with_context(|| format!("cannot drop {id} of {name}"))?;
        println!("dropped {id}");
    } else if let Some(queue) = deployment.queues.get(name) {
        println!("sent to {name} again: {}", dead_letters.send_again(queue).await?);
    } else {
        bail!("{name} has no queue of its own: the sweep has seen to these by now, so drop them");
    }
    Ok(())
}

async fn list(sqs: &Client, deployment: &Deployment) -> Result<()> {
    let mut total = 0;
    for (name, url) in deployment.queues.iter().filter(|(name, _)| name.ends_with(DEAD_LETTERS)) {
        let dead_letters = DeadLetterQueue { sqs, url };
        let queue = name.trim_end_matches(DEAD_LETTERS);
        let found = dead_letters.receive_until(MAX_LISTED, |_| true).await?;
        dead_letters.make_visible(&found).await?;
        for message in &found {
            let body: String = message.body().unwrap_or_default().chars().take(SHOWN_CHARS).collect();
            println!("{queue:9} {}  {body}", message.message_id().unwrap_or_default());
        }
        if found.len() >= MAX_LISTED {
            println!("{queue:9} … and perhaps more");
        }
        total += found.len();
    }
    if total == 0 {
        println!("There are no dead dead_letters.");
    } else {
        println!(
            "\nSend those of a queue again: cargo xtask redrive QUEUE. Drop one: cargo xtask redrive QUEUE --drop ID."
        );
    }
    Ok(())
}

/// A dead-letter queue.
struct DeadLetterQueue<'a> {
    sqs: &'a Client,
    url: &'a str,
}

impl DeadLetterQueue<'_> {
    async fn receive(&self) -> Result<Vec<Message>> {
        let call = self.sqs.receive_message().queue_url(self.url).max_number_of_messages(BATCH);
        let response =
            call.visibility_timeout(VISIBILITY_TIMEOUT_SECONDS).wait_time_seconds(WAIT_SECONDS).send().await?;
        Ok(response.messages.unwrap_or_default())
    }

    /// Takes letters, hidden from others for [`VISIBILITY_TIMEOUT_SECONDS`] seconds, until `enough` of those that are wanted are found.
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
        let message = wanted.first().context("there is no such letter")?;
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
