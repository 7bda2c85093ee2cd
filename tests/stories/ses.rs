//! SES as the transport, and as the fallback of SMTP. One test at a time: they change the transport of e-mail.

use std::collections::BTreeMap;

use anyhow::ensure;
use end_to_end::ses::Ses;
use end_to_end::{Bank, each_once, wait_for};
use mail_parser::MessageParser;
use serde_json::json;
use tokio::sync::Mutex;

static TRANSPORT: Mutex<()> = Mutex::const_new(());

/// Changes the email function's settings, and restores them on request.
struct Change<'a> {
    bank: &'a Bank,
    before: Vec<(&'static str, Option<String>)>,
}

impl<'a> Change<'a> {
    async fn to(bank: &'a Bank, settings: &[(&'static str, &str)]) -> Self {
        let environment = bank.aws().environment_of("email").await;
        let before = settings.iter().map(|(name, _)| (*name, environment.get(*name).cloned())).collect();
        for (name, value) in settings {
            bank.aws().set_environment("email", name, Some(value)).await;
        }
        Self { bank, before }
    }

    async fn back(self) {
        for (name, value) in self.before {
            self.bank.aws().set_environment("email", name, value.as_deref()).await;
        }
    }
}

#[tokio::test]
async fn ses_gets_one_complete_message_per_customer() {
    let _guard = TRANSPORT.lock().await;
    let bank = Bank::open();
    let ses = Ses::start().await;
    let change = Change::to(&bank, &[("AWS_ENDPOINT_URL_SESV2", &ses.url), ("EMAIL_TRANSPORT", "ses")]).await;
    bank.put_many(60).await;
    let offer =
        bank.post_offer(&json!({"code": "SES", "subject": "🎁 {{ customer.name }}", "description": "Grüße"})).await;
    let push = bank.wait_until_completed(&offer).await;
    let response = bank
        .invoke(
            "email",
            &json!({"recipient": bank.address("direct"), "emailFromAddress": "offers@bank.example",
                    "emailReplyToAddress": "service@bank.example", "subject": "One", "content": "Just one"}),
        )
        .await;
    change.back().await;

    assert_eq!((&push["sent"], &push["failed"]), (&json!(60), &json!(0)), "{push}");
    assert!(!response.unwrap()["messageId"].as_str().unwrap().is_empty());
    assert_eq!(bank.mail_count().await, BTreeMap::new(), "nothing went by SMTP");
    let raw = ses.messages().await;
    let mail: BTreeMap<_, _> = raw
        .iter()
        .map(|raw| {
            let mail = MessageParser::default().parse(raw.as_bytes()).unwrap();
            (mail.to().unwrap().first().unwrap().address().unwrap().to_owned(), mail)
        })
        .collect();
    assert_eq!((raw.len(), mail.len()), (61, 61), "one each");
    for i in 0..60 {
        let mail = &mail[&bank.address(&format!("c{i}"))];
        assert_eq!(mail.subject(), Some(format!("🎁 c{i}").as_str()));
        assert!(mail.body_text(0).unwrap().starts_with("Grüße"));
        assert_eq!(mail.reply_to().unwrap().first().unwrap().address(), Some("service@bank.example"));
        let line = mail.header_raw("List-Unsubscribe").unwrap();
        assert!(line.trim().starts_with("<http") && !line.trim().contains(['\r', '\n']), "{line:?}");
        assert_eq!(mail.header_raw("List-Unsubscribe-Post").map(str::trim), Some("List-Unsubscribe=One-Click"));
    }
    // SES's own message id is recorded, so that its events can be traced.
    let deliveries = bank.deliveries(&offer, "state=sent&limit=100").await;
    assert!(
        deliveries.iter().all(|delivery| delivery["providerMessageId"].as_str().is_some_and(|id| !id.contains('@')))
    );
}

#[tokio::test]
async fn fallback_transport_serves_until_the_first_recovers() {
    const CUSTOMERS: usize = 300;
    let _guard = TRANSPORT.lock().await;
    let bank = Bank::open();
    let ses = Ses::start().await;
    bank.smtp_faults(json!([])).await;
    let change = Change::to(
        &bank,
        &[
            ("AWS_ENDPOINT_URL_SESV2", &ses.url),
            ("FALLBACK_EMAIL_TRANSPORT", "ses"),
            // Slow enough that messages are left when the first transport goes down, and when it recovers.
            ("EMAIL_RATE_PER_SECOND", "50"),
            ("FALLBACK_EMAIL_RATE_PER_SECOND", "10"),
        ],
    )
    .await;
    bank.put_many(CUSTOMERS).await;
    let dead = bank.queues().dead_letters().await;
    let offer = bank.post_offer(&json!({"code": "FAILOVER", "description": "Hello"})).await;
    bank.wait_until_count(&offer, "sent", 30).await;
    bank.smtp_faults(json!([{"at": "connection", "do": "close"}, {"at": "mail", "do": "close"}])).await;
    let down = std::time::Instant::now();
    let over = async |count: usize| {
        wait_for("the fallback to take over", async || {
            let served = ses.messages().await.len();
            ensure!(served >= count, "{served}");
            Ok(down.elapsed())
        })
        .await
    };
    let took_over = over(1).await;
    over(40).await;
    let by_smtp = bank.mail().await.len();
    bank.smtp_faults(json!([])).await;
    let push = bank.wait_until_completed(&offer).await;
    change.back().await;

    assert_eq!((&push["sent"], &push["failed"]), (&json!(CUSTOMERS), &json!(0)), "{push}");
    let mut count = bank.mail_count().await;
    let again = count.values().sum::<usize>() - by_smtp;
    let by_ses = ses.messages().await.len();
    assert!(again > 0, "the first transport serves again");
    for raw in ses.messages().await {
        let mail = MessageParser::default().parse(raw.as_bytes()).unwrap();
        let to = mail.to().unwrap().first().unwrap().address().unwrap().to_owned();
        *count.entry(to.split('@').next().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(count, each_once(CUSTOMERS), "each customer gets one message");
    assert_eq!(bank.queues().dead_letters().await, dead);
    println!("the second took over after {took_over:?}: {by_smtp} by SMTP, {by_ses} by SES, {again} by SMTP again");
}
