//! Queues and their dead letters.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_sdk_sqs::types::QueueAttributeName;
use client::{Deployment, Stack};
use futures::future::try_join_all;
use serde_json::Value;

use super::emulator::peek;
use super::metrics::{Series, fetch, whole};
use crate::redrive::DEAD_LETTERS;
use crate::status::view::Queue;

/// Period of the CloudWatch query for a queue's age.
const AGE_PERIOD: Duration = Duration::from_secs(300);

pub(super) struct QueueObserver {
    /// Set for a local stack.
    stack: Option<Stack>,
    queues: BTreeMap<String, String>,
    sqs: aws_sdk_sqs::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    http: reqwest::Client,
}

impl QueueObserver {
    pub(super) fn new(deployment: &Deployment, stack: Option<Stack>) -> Self {
        Self {
            stack,
            queues: deployment.queues.clone(),
            sqs: aws_sdk_sqs::Client::new(&deployment.sdk),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&deployment.sdk),
            http: reqwest::Client::new(),
        }
    }

    pub(super) async fn observe(&self) -> Result<Vec<Queue>> {
        let observed = self.queues.iter().map(|(name, url)| async move {
            let call = self.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
            let attributes = call.send().await?.attributes.unwrap_or_default();
            let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or_default();
            let mut queue = Queue {
                name: name.clone(),
                is_dead_letters: name.ends_with(DEAD_LETTERS),
                waiting: count(QueueAttributeName::ApproximateNumberOfMessages),
                in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
                delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
                oldest: None,
            };
            if queue.depth() > 0 {
                queue.oldest = self.oldest(url).await?;
            }
            Ok::<_, anyhow::Error>(queue)
        });
        let mut queues = try_join_all(observed).await?;
        queues.sort_by_key(|queue| (queue.is_dead_letters, queue.name.clone()));
        Ok(queues)
    }

    /// The age of a queue's oldest message, in seconds.
    async fn oldest(&self, url: &str) -> Result<Option<u64>> {
        let Some(stack) = &self.stack else {
            let name = url.rsplit('/').next().unwrap_or_default();
            let age = Series {
                namespace: "AWS/SQS",
                metric: "ApproximateAgeOfOldestMessage",
                dimension: ("QueueName", name),
                statistic: "Maximum",
            };
            let ages = fetch(&self.cloudwatch, AGE_PERIOD, std::iter::once(age)).await?;
            return Ok(ages.into_iter().flatten().next().map(whole));
        };
        let messages = peek(&self.http, stack, "sqs/messages", &[("QueueUrl", url)]).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let sent = earliest_sent(&messages).map(u128::from);
        Ok(sent.map(|sent| u64::try_from(now.saturating_sub(sent) / 1000).unwrap_or(u64::MAX)))
    }
}

/// The earliest `SentTimestamp` in the JSON, in milliseconds since 1970. MiniStack has it as an attribute of an object,
/// LocalStack as a name with a value.
fn earliest_sent(json: &Value) -> Option<u64> {
    const SENT: &str = "SentTimestamp";
    let millis = |value: &Value| value.as_str()?.parse().ok();
    match json {
        Value::Array(values) => values.iter().filter_map(earliest_sent).min(),
        Value::Object(fields) if fields.get("Name").is_some_and(|name| name == SENT) => millis(fields.get("Value")?),
        Value::Object(fields) => {
            let own = fields.get(SENT).and_then(millis);
            own.into_iter().chain(fields.values().filter_map(earliest_sent)).min()
        }
        _ => None,
    }
}
