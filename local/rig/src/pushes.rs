//! Pushes to all customers: `audience` scans them, a function sends, and the rig carries messages from one to the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use domain::Channel;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::bank::{Bank, announcement};
use crate::function::{Function, Program};
use crate::quota::Quota;
use crate::report::{Measured, Meter, Start, Work};
use crate::sink::Sink;
use crate::tls::Tls;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) functions: PathBuf,
    /// The folder of the peers, installed.
    pub(crate) peers: Option<PathBuf>,
    pub(crate) customers: u32,
    pub(crate) customers_per_slice: u32,
    /// Pushes that are measured, after one to warm up.
    pub(crate) pushes: u32,
    pub(crate) store_delay: Duration,
    pub(crate) smtp_delay: Duration,
    /// Calls of AWS go over TLS.
    pub(crate) is_encrypted: bool,
    /// The part of a processor that all functions together have; one works at a time.
    pub(crate) quota: Option<f64>,
}

/// A function that sends, or a peer that does the work of one.
struct Sender {
    name: &'static str,
    channel: Channel,
    is_peer: bool,
    function: Function,
    work: Work,
}

/// The functions of a plan, and what they need.
struct Rig {
    aws: Arc<Aws>,
    sink: Sink,
    bank: Bank,
    audience: Function,
    scanned: Work,
}

/// Measures the pushes of a plan, and previews.
///
/// # Errors
/// If a function cannot be started, or not every customer is sent the offer.
pub(crate) async fn measure(plan: &Plan) -> Result<Measured> {
    let quota = plan.quota.map(Quota::new).transpose()?;
    let sink = Sink::start(plan.smtp_delay).await?;
    let (aws, address) = Aws::start(secrets(&sink.url), plan.store_delay).await?;
    let plain = format!("http://{address}");
    let bank = Bank::new(&aws, &plain, plan.customers, plan.customers_per_slice);
    let tls = if plan.is_encrypted { Some(Tls::start(address).await?) } else { None };
    let environment = |logical_id: &str| environment(logical_id, &plain, tls.as_ref());
    let start = async |name: &str, logical_id: &str| {
        let program = Program::new(plan.functions.join(name));
        Function::start(&program, &environment(logical_id), quota.as_ref()).await
    };
    let sender = |name, channel, function| Sender { name, channel, is_peer: false, function, work: Work::default() };
    let mut senders = vec![
        sender("e-mail", Channel::Email, start("email", "EmailFunction").await?),
        sender("text message", Channel::Sms, start("sms", "SmsFunction").await?),
    ];
    for (name, arguments) in PEERS {
        let Some(folder) = &plan.peers else { break };
        let mut environment = environment("EmailFunction");
        let url = sink.url.as_str();
        for (variable, value) in [("SMTP_URL", url), ("HASH_KEY", KEY), ("LINK_KEY", KEY), ("NODE_NO_WARNINGS", "1")] {
            environment.insert(variable.to_owned(), value.to_owned());
        }
        let function = Function::start(&Program::of_peer(folder, arguments)?, &environment, quota.as_ref()).await?;
        senders.push(Sender { is_peer: true, ..sender(name, Channel::Email, function) });
    }
    let audience = start("audience", "AudienceFunction").await?;
    let mut rig = Rig { aws, sink, bank, audience, scanned: Work::default() };
    // In turns, so that whatever else the machine does strikes all alike. The first ones are for warming up.
    for number in 0..=plan.pushes {
        for sender in &mut senders {
            eprint!("\rpush {number} of {}: {}                  ", plan.pushes, sender.name);
            rig.push(sender, number > 0).await?;
        }
    }
    let mut offer = start("offer", "OfferFunction").await?;
    let previewed = rig.preview(&mut offer, plan.pushes).await?;
    eprintln!();
    let mut starts = vec![Start::of("audience", &rig.audience)?, Start::of("offer", &offer)?];
    let mut work = vec![("customer scanned", rig.scanned), ("customer previewed", previewed)];
    for Sender { name, function, work: sent, .. } in senders {
        starts.push(Start::of(name, &function)?);
        work.push((name, sent));
        function.stop().await?;
    }
    rig.audience.stop().await?;
    offer.stop().await?;
    Ok(Measured { work, starts })
}

/// What does the work of `email` in other languages: a name, and how it is run in the folder of the peers.
const PEERS: [(&str, [&str; 2]); 2] =
    [("e-mail, Node.js", ["node", "peer.cjs"]), ("e-mail, Python", ["venv/bin/python", "peer.py"])];
/// The key of hashes, and that of unsubscribe links.
const KEY: &str = "0123456789012345678901234567890123456789";

impl Rig {
    /// Makes one push, which counts if `is_measured`.
    async fn push(&mut self, sender: &mut Sender, is_measured: bool) -> Result<()> {
        let (push, mut messages) = self.bank.start_push(sender.channel).await?;
        let customers = u64::from(self.bank.customers);
        self.aws.take_calls();
        let meter = Meter::start(&self.audience)?;
        while let Some(message) = messages.pop() {
            self.audience.handle(&message).await?;
            // A slice that takes longer than an invocation goes on with another.
            messages.extend(self.aws.take_messages("AudienceQueue"));
        }
        let scanned = meter.stop(&self.audience, customers, &self.aws)?;
        let queue = if sender.channel == Channel::Email { "EmailQueue" } else { "SmsQueue" };
        let batches = self.aws.take_messages(queue);
        let meter = Meter::start(&sender.function)?;
        for batch in &batches {
            sender.function.handle(batch).await?;
        }
        let sent = meter.stop(&sender.function, customers, &self.aws)?;
        let put_off = self.aws.take_messages(queue).len();
        ensure!(put_off == 0, "{}: {put_off} batches were put off", sender.name);
        let (messages, bytes) = self.sink.take_taken();
        let messages = messages + sent.texts();
        ensure!(messages == customers, "{}: {messages} messages for {customers} customers", sender.name);
        // Peers leave it at the reports.
        ensure!(sender.is_peer || self.bank.is_completed(push).await?, "{}: the push is not completed", sender.name);
        if is_measured {
            self.scanned.add(scanned);
            sender.work.add(sent.with_message_bytes(bytes));
        }
        Ok(())
    }

    /// Previews an offer so often.
    async fn preview(&self, offer: &mut Function, times: u32) -> Result<Work> {
        let mut event: Value = serde_json::from_str(include_str!("../../../events/offer-preview.json"))?;
        let mut request = announcement();
        request["code"] = json!("PREVIEW");
        request["channels"] = json!(["email"]);
        event["body"] = json!(request.to_string());
        let mut work = Work::default();
        for number in 0..=times {
            self.aws.take_calls();
            let meter = Meter::start(offer)?;
            let response = offer.invoke(&event).await?;
            ensure!(response["statusCode"] == 200, "a preview failed: {}", response["body"]);
            let body: Value = serde_json::from_str(response["body"].as_str().unwrap_or_default())?;
            let read = body["audience"]["customersRead"].as_u64().filter(|read| *read > 0);
            let read = read.ok_or_else(|| anyhow::anyhow!("a preview read no customers: {body}"))?;
            let previewed = meter.stop(offer, read, &self.aws)?;
            if number > 0 {
                work.add(previewed);
            }
        }
        Ok(work)
    }
}

fn secrets(smtp_url: &str) -> BTreeMap<String, String> {
    let ring = json!({"current": "k1", "k1": KEY}).to_string();
    let secrets =
        [("HashKeySecret.Id", KEY), ("UnsubscribeKeysSecret.Id", ring.as_str()), ("SmtpUrlSecret.Id", smtp_url)];
    secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A function's environment: that of the template, with the tables and queues of an AWS at `plain`, or behind TLS.
fn environment(logical_id: &str, plain: &str, tls: Option<&Tls>) -> BTreeMap<String, String> {
    let url = tls.map_or(plain, |tls| tls.url.as_str());
    let changes = [
        ("EmailTransport", "smtp"),
        ("EmailRatePerSecond", "100000"),
        ("SmsRatePerSecond", "100000"),
        ("FromAddress", "Bank <offers@bank.example>"),
        ("ReplyToAddress", "help@bank.example"),
        ("BrandName", "Bank"),
        ("PostalAddress", "1 Main Street"),
    ];
    let mut environment = testing::environment(logical_id, &changes, |resource| {
        resource.strip_suffix("Table").map_or_else(|| format!("{url}/000000000000/{resource}"), str::to_owned)
    });
    for (name, value) in [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "rig"),
        ("AWS_SECRET_ACCESS_KEY", "rig"),
        ("AWS_LAMBDA_FUNCTION_NAME", logical_id),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    for (name, path) in tls.iter().flat_map(|tls| tls.environment()) {
        environment.insert(name.to_owned(), path.display().to_string());
    }
    environment
}
