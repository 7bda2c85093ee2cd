//! The stack's queues: their depth, and how a test sends, loses or delays messages.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName;
use client::Stack;

/// The stack's queues, by their names in `stack.json`.
#[derive(Clone, Copy)]
pub struct Queues<'a> {
    stack: &'a Stack,
}

impl<'a> Queues<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Self { stack }
    }

    /// A client for other calls.
    pub fn sqs(self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.stack.sdk_config())
    }

    /// A queue's URL.
    pub fn url(self, queue: &str) -> &'a str {
        &self.stack.queues[queue]
    }

    /// The number of messages in each queue, whether waiting, delayed or in flight.
    pub async fn depths(self) -> BTreeMap<String, u64> {
        use QueueAttributeName as Name;
        let sqs = self.sqs();
        let mut depths = BTreeMap::new();
        for (name, url) in &self.stack.queues {
            let response = sqs.get_queue_attributes().queue_url(url).attribute_names(Name::All).send().await;
            let attributes = response.expect("SQS responds").attributes.unwrap_or_default();
            let count = |name: Name| attributes.get(&name).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
            let sum = count(Name::ApproximateNumberOfMessages)
                + count(Name::ApproximateNumberOfMessagesNotVisible)
                + count(Name::ApproximateNumberOfMessagesDelayed);
            depths.insert(name.clone(), sum);
        }
        depths
    }

    /// The number of messages in all dead-letter queues.
    pub async fn dead_letters(self) -> u64 {
        self.depths().await.iter().filter(|(name, _)| name.ends_with("DeadLetters")).map(|(_, count)| count).sum()
    }

    /// Puts a message into a queue and returns the message's id.
    pub async fn send(self, queue: &str, body: &str) -> String {
        let sent = self.sqs().send_message().queue_url(self.url(queue)).message_body(body).send().await;
        sent.expect("SQS responds").message_id.expect("a message has an id")
    }

    /// Deletes all messages of a queue, as if they were lost.
    pub async fn purge(self, queue: &str) {
        self.sqs().purge_queue().queue_url(self.url(queue)).send().await.expect("SQS responds");
    }

    /// Sets the visibility timeout of the audience, email and sms queues, in seconds. The messages of a killed function stay
    /// hidden for this time.
    pub async fn set_visibility_timeout(self, seconds: u32) {
        self.set_visibility_timeouts([("audience", seconds), ("email", seconds), ("sms", seconds)]).await;
    }

    /// Sets it to the template's values, which are six times the functions' timeouts.
    pub async fn reset_visibility_timeout(self) {
        self.set_visibility_timeouts([("audience", 360), ("email", 900), ("sms", 900)]).await;
    }

    async fn set_visibility_timeouts(self, queues: [(&str, u32); 3]) {
        for (queue, seconds) in queues {
            self.sqs()
                .set_queue_attributes()
                .queue_url(self.url(queue))
                .attributes(QueueAttributeName::VisibilityTimeout, seconds.to_string())
                .send()
                .await
                .expect("SQS responds");
        }
    }
}
