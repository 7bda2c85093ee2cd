//! `redrive`: dead letters, looked at, dropped one by one, or sent to their queue again.
//!
//! What is sent again may be sent twice, should this be stopped between sending and deleting: every queue's function
//! bears that.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use client::Stack;

/// How queues for dead letters are named: after the queue that they serve.
const SUFFIX: &str = "DeadLetters";
/// Most messages of one call (SQS API reference).
const BATCH: i32 = 10;
/// How long letters stay hidden from others while we handle them, in seconds.
const HIDDEN: i32 = 60;
/// Characters of a letter that are shown.
const SHOWN: usize = 100;

/// Lists, drops or sends again.
pub(crate) async fn redrive(stack: &Stack, queue: Option<&str>, drop: Option<&str>) -> Result<()> {
    let sqs = Client::new(&stack.sdk_config());
    let Some(queue) = queue else {
        return list(&sqs, stack).await;
    };
    let Some(dead) = stack.queues.get(&format!("{queue}{SUFFIX}")) else {
        let known: Vec<_> = stack.queues.keys().filter_map(|name| name.strip_suffix(SUFFIX)).collect();
        bail!("there are no dead letters of {queue}; there are those of {}", known.join(", "));
    };
    let letters = letters(&sqs, dead).await?;
    match drop {
        Some(id) => {
            let (wanted, others): (Vec<_>, Vec<_>) =
                letters.into_iter().partition(|letter| letter.message_id() == Some(id));
            show_again(&sqs, dead, &others).await?;
            let letter = wanted.first().with_context(|| format!("there is no letter {id} of {queue}"))?;
            delete(&sqs, dead, letter).await?;
            println!("dropped {id}");
        }
        None => {
            let Some(url) = stack.queues.get(queue) else {
                show_again(&sqs, dead, &letters).await?;
                bail!("{queue} has no queue of its own: the sweep has seen to these by now, so drop them");
            };
            for letter in &letters {
                let body = letter.body().unwrap_or_default();
                sqs.send_message().queue_url(url).message_body(body).send().await?;
                delete(&sqs, dead, letter).await?;
            }
            println!("sent to {queue} again: {}", letters.len());
        }
    }
    Ok(())
}

async fn list(sqs: &Client, stack: &Stack) -> Result<()> {
    let mut total = 0;
    for (name, dead) in stack.queues.iter().filter(|(name, _)| name.ends_with(SUFFIX)) {
        let letters = letters(sqs, dead).await?;
        show_again(sqs, dead, &letters).await?;
        total += letters.len();
        for letter in letters {
            let body: String = letter.body().unwrap_or_default().chars().take(SHOWN).collect();
            let queue = name.trim_end_matches(SUFFIX);
            println!("{queue:9} {}  {body}", letter.message_id().unwrap_or_default());
        }
    }
    if total == 0 {
        println!("There are no dead letters.");
    } else {
        println!(
            "\nSend those of a queue again: cargo xtask redrive QUEUE. Drop one: cargo xtask redrive QUEUE --drop ID."
        );
    }
    Ok(())
}

/// Every letter of a queue, hidden from others for [`HIDDEN`] seconds.
async fn letters(sqs: &Client, dead: &str) -> Result<Vec<Message>> {
    let mut letters = BTreeMap::new();
    loop {
        let answer = sqs
            .receive_message()
            .queue_url(dead)
            .max_number_of_messages(BATCH)
            .visibility_timeout(HIDDEN)
            .send()
            .await?;
        if answer.messages().is_empty() {
            return Ok(letters.into_values().collect());
        }
        for letter in answer.messages.unwrap_or_default() {
            letters.insert(letter.message_id().unwrap_or_default().to_owned(), letter);
        }
    }
}

async fn show_again(sqs: &Client, dead: &str, letters: &[Message]) -> Result<()> {
    for letter in letters {
        let handle = letter.receipt_handle().unwrap_or_default();
        sqs.change_message_visibility().queue_url(dead).receipt_handle(handle).visibility_timeout(0).send().await?;
    }
    Ok(())
}

async fn delete(sqs: &Client, dead: &str, letter: &Message) -> Result<()> {
    let handle = letter.receipt_handle().unwrap_or_default();
    sqs.delete_message().queue_url(dead).receipt_handle(handle).send().await?;
    Ok(())
}
