//! Stream records whose function fails. Only where the stack's event sources fail as those of AWS do.

mod faithful_event_sources {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::ensure;
    use end_to_end::aws_proxy::{AwsCall, AwsProxy, ProxyAction};
    use end_to_end::{Bank, wait_for};
    use serde_json::{Value, json};
    use tokio::sync::Mutex;
    use uuid::Uuid;

    /// One test at a time: the stream has one reader.
    static STREAM: Mutex<()> = Mutex::const_new(());

    #[tokio::test]
    async fn failed_stream_record_is_retried_until_it_succeeds() {
        let _guard = STREAM.lock().await;
        let bank = Bank::open();
        bank.put_many(10).await;
        // The store refuses every call of the push function, for more calls than one invocation makes.
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        let decide = move |_: &AwsCall<'_>| match counter.fetch_add(1, Ordering::Relaxed) {
            0..8 => ProxyAction::Throttle,
            _ => ProxyAction::Pass,
        };
        let store = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
        bank.aws().set_environment("push", "AWS_ENDPOINT_URL_DYNAMODB", Some(&store.url)).await;
        let offer = bank.post_offer(&json!({"code": "AGAIN", "description": "Hello"})).await;
        let push = bank.wait_until_completed(&offer).await;
        bank.aws().set_environment("push", "AWS_ENDPOINT_URL_DYNAMODB", None).await;
        assert!(calls.load(Ordering::Relaxed) > 8);
        assert_eq!(push["sent"], 10);
        assert_eq!(bank.mail().await.len(), 10);
    }

    #[tokio::test]
    async fn poison_stream_record_is_dead_lettered_and_does_not_block_others() {
        let _guard = STREAM.lock().await;
        let bank = Bank::open();
        bank.put_many(10).await;
        // In production there are twenty retries, the last of them minutes apart. The change is not undone: after
        // another change, this stack would read the stream from its beginning and find the record again.
        bank.aws().set_stream_retries("push", 2).await;
        let poison = Uuid::now_v7().to_string();
        bank.tables().put_unreadable_push_request(&poison).await;
        let dead = bank.queues().url("pushDeadLetters");
        let letter = wait_for("the record to reach the dead-letter queue", async || {
            let received = bank.queues().sqs().receive_message().queue_url(dead).wait_time_seconds(1).send().await?;
            ensure!(!received.messages().is_empty());
            Ok(received.messages.unwrap_or_default().remove(0))
        })
        .await;
        let failure: Value = serde_json::from_str(letter.body().unwrap()).unwrap();
        assert_eq!(failure["requestContext"]["condition"], "RetryAttemptsExhausted", "{failure}");
        assert_eq!(failure["DDBStreamBatchInfo"]["batchSize"], 1, "{failure}");
        let handle = letter.receipt_handle().unwrap();
        bank.queues().sqs().delete_message().queue_url(dead).receipt_handle(handle).send().await.unwrap();

        let offer = bank.post_offer(&json!({"code": "BEHIND", "description": "Hello"})).await;
        assert_eq!(bank.wait_until_completed(&offer).await["sent"], 10);
        bank.tables().delete_push_request(&poison).await;
    }
}
