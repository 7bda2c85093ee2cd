//! Pushes to all customers: `audience` scans them, `email` sends, and the rig carries messages from one to the other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use domain::queue::{AudienceMessage, Slice};
use domain::{Offer, OfferId, PushId, TraceId};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::offers::PushRequest;
use store::{Offers, Pushes, pushes};

use crate::aws::{Aws, Calls};
use crate::function::Function;
use crate::sink;

/// Customers of a slice, about: as for a large audience (functions/push/src/start.rs).
const CUSTOMERS_PER_SLICE: usize = 5_000;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) functions: PathBuf,
    pub(crate) customers: usize,
    pub(crate) pushes: u32,
    pub(crate) store_delay: Duration,
    pub(crate) smtp_delay: Duration,
}

/// What was measured of one function.
#[derive(Debug, Default)]
struct Work {
    /// Customers or e-mails.
    done: u64,
    processor: Duration,
    took: Duration,
    calls: BTreeMap<String, Calls>,
}

/// The results, as Markdown.
#[derive(Debug)]
pub(crate) struct Measured {
    scan: Work,
    send: Work,
    starts: [Start; 2],
}

#[derive(Debug)]
struct Start {
    function: &'static str,
    init: Duration,
    init_time: Duration,
    memory: u64,
}

/// Measures the pushes of a plan.
///
/// # Errors
/// If a function cannot be started, or not every customer is sent the offer.
pub(crate) async fn measure(plan: &Plan) -> Result<Measured> {
    let smtp = sink::start(plan.smtp_delay).await?;
    let secrets = [
        ("HashKeySecret.Id", "0123456789012345678901234567890123456789"),
        ("UnsubscribeKeysSecret.Id", r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#),
        ("SmtpUrlSecret.Id", &smtp),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (aws, url) = Aws::start(secrets.into(), plan.store_delay).await?;
    let bank = Bank::with_customers(&aws, &url, plan.customers)?;
    let start = async |name: &str, logical_id| {
        Function::start(&plan.functions.join(name), &environment(logical_id, &url)).await
    };
    let (mut audience, mut email) =
        (start("audience", "AudienceFunction").await?, start("email", "EmailFunction").await?);
    let (mut scan, mut send) = (Work::default(), Work::default());
    for number in 0..=plan.pushes {
        eprint!("\rpush {number} of {} ", plan.pushes);
        let (scanned, sent) = push(&bank, &aws, &mut audience, &mut email).await?;
        // The first one is for warming up.
        if number > 0 {
            scan.add(scanned);
            send.add(sent);
        }
    }
    eprintln!();
    let starts = [Start::of("audience", &audience)?, Start::of("email", &email)?];
    audience.stop().await?;
    email.stop().await?;
    Ok(Measured { scan, send, starts })
}

/// A function's environment: that of the template, with these tables and queues.
fn environment(logical_id: &str, url: &str) -> BTreeMap<String, String> {
    let changes = [
        ("EmailTransport", "smtp"),
        ("EmailRatePerSecond", "100000"),
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
    environment
}

/// Makes one push. Returns what `audience` and `email` did.
async fn push(bank: &Bank, aws: &Arc<Aws>, audience: &mut Function, email: &mut Function) -> Result<(Work, Work)> {
    let (push, slices) = bank.start_push().await?;
    aws.take_calls();
    let slices = (0..slices).map(|index| AudienceMessage::Slice(Slice { push, index, generation: 1 }));
    let mut messages = slices.map(|slice| serde_json::to_string(&slice)).collect::<Result<Vec<_>, _>>()?;
    let meter = Meter::start(audience)?;
    while let Some(message) = messages.pop() {
        audience.handle(&message).await?;
        // A slice that takes longer than an invocation goes on with another.
        messages.extend(aws.take_messages("AudienceQueue"));
    }
    let scanned = meter.stop(audience, bank.customers, aws)?;
    let batches = aws.take_messages("EmailQueue");
    let meter = Meter::start(email)?;
    for batch in &batches {
        email.handle(batch).await?;
    }
    let sent = meter.stop(email, bank.customers, aws)?;
    let put_off = aws.take_messages("EmailQueue").len();
    ensure!(put_off == 0, "{put_off} batches were put off");
    let state = bank.pushes.get(push).await?.context("the push is stored")?.state;
    ensure!(format!("{state:?}") == "Completed", "the push is {state:?}");
    Ok((scanned, sent))
}

/// What is in the tables at first.
struct Bank {
    offers: Offers,
    pushes: Pushes,
    customers: u64,
}

impl Bank {
    fn with_customers(aws: &Aws, url: &str, count: usize) -> Result<Self> {
        let credentials = Credentials::new("rig", "rig", None, None, "rig");
        let client = Client::new(&client::sdk_config(url, "eu-west-1", credentials));
        let sources = domain::Sources::new(Timestamp::now, testing::seeded(1));
        for row in 1..=count {
            aws.put("Customers", &customer(row));
        }
        Ok(Self {
            offers: Offers::new(client.clone(), "Offers", sources.clone()),
            pushes: Pushes::new(client, "Pushes", sources),
            customers: u64::try_from(count)?,
        })
    }

    /// Stores an offer to all customers, and starts a push of it. Returns the number of its slices as well.
    async fn start_push(&self) -> Result<(PushId, u32)> {
        let sources =
            domain::Sources::new(Timestamp::now, testing::seeded(Timestamp::now().as_microsecond().unsigned_abs()));
        let id = OfferId::generate(&sources);
        let offer: Offer = serde_json::from_value(json!({
            "id": id, "code": format!("R{}", id.to_string().replace('-', "")), "subject": "Cashback",
            "description": "Hello {{ customer.name }}, get 5% cashback on 5000 spent.\n\nYour balance is {{ customer.balance }}.",
            "eligibility": "customer.balance >= 5000 && customer.loan == 'no' && customer.age >= 18",
            "channels": ["email"], "createdAt": sources.now(), "createdBy": "rig",
        }))?;
        self.offers.create(&offer, None, TraceId::generate(&sources)).await?;
        let push = PushId { offer: id, number: 1 };
        let request = PushRequest {
            push,
            requested_by: "rig".to_owned(),
            requested_at: sources.now(),
            retry_rejected: false,
            lost_deliveries: 0,
            trace: None,
        };
        let slices = u32::try_from(usize::try_from(self.customers)?.div_ceil(CUSTOMERS_PER_SLICE))?;
        self.pushes.create(&request, pushes::Plan::Now { slices }).await?;
        Ok((push, slices))
    }
}

/// A customer with as many attributes as a bank's records have. The offer is for all of them.
fn customer(row: usize) -> Value {
    let pick = |of: &[&'static str]| of[row % of.len()];
    json!({
        "pk": format!("customer-{row}"), "name": format!("Customer {row}"), "email": format!("customer-{row}@example.com"),
        "channels": ["email"], "locale": pick(&["en-GB", "pt-PT", "de-DE"]),
        "attributes": {
            "age": 18 + row * 13 % 70, "job": pick(&["services", "technician", "management", "retired"]),
            "marital": pick(&["married", "single"]), "education": pick(&["primary", "secondary", "tertiary"]),
            "default": "no", "balance": 5_000 + row * 37 % 9_000, "housing": pick(&["yes", "no"]), "loan": "no",
            "contact": "cellular", "day": row % 28, "month": pick(&["jan", "feb", "mar"]), "duration": row % 900,
            "campaign": row % 5, "pdays": row % 300, "previous": row % 3, "poutcome": "unknown", "tier": "gold",
        },
    })
}

/// Measures a function while it works.
struct Meter {
    began: Instant,
    processor: Duration,
}

impl Meter {
    fn start(function: &Function) -> Result<Self> {
        Ok(Self { began: Instant::now(), processor: function.processor_time()? })
    }

    fn stop(self, function: &Function, done: u64, aws: &Aws) -> Result<Work> {
        let processor = function.processor_time()?.saturating_sub(self.processor);
        Ok(Work { done, processor, took: self.began.elapsed(), calls: aws.take_calls() })
    }
}

impl Work {
    fn add(&mut self, more: Self) {
        self.done += more.done;
        self.processor += more.processor;
        self.took += more.took;
        for (name, calls) in more.calls {
            let sum = self.calls.entry(name).or_default();
            sum.count += calls.count;
            sum.sent += calls.sent;
            sum.received += calls.received;
        }
    }

    fn each(&self, sum: f64) -> f64 {
        sum / self.done as f64
    }

    fn calls(&self) -> f64 {
        self.each(self.calls.values().map(|calls| calls.count as f64).sum())
    }

    fn processor_us(&self) -> f64 {
        self.each(self.processor.as_secs_f64() * 1e6)
    }
}

impl Start {
    fn of(function: &'static str, process: &Function) -> Result<Self> {
        let Function { init, init_time, .. } = *process;
        Ok(Self { function, init, init_time, memory: process.peak_memory()? })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | processor time | a second | calls of AWS | bytes sent | received |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        for (name, work) in [("customer scanned", &self.scan), ("e-mail", &self.send)] {
            let rate = work.done as f64 / work.took.as_secs_f64();
            let bytes = |of: fn(&Calls) -> u64| work.each(work.calls.values().map(|calls| of(calls) as f64).sum());
            let (sent, received) = (bytes(|calls| calls.sent), bytes(|calls| calls.received));
            let (time, calls) = (work.processor_us(), work.calls());
            writeln!(f, "| {name} | {time:.1} µs | {rate:.0} | {calls:.4} | {sent:.0} | {received:.0} |")?;
        }
        writeln!(f, "\n| | init | processor time of it | memory |")?;
        writeln!(f, "|---|---:|---:|---:|")?;
        for Start { function, init, init_time, memory } in &self.starts {
            let millis = |time: &Duration| time.as_secs_f64() * 1e3;
            let memory = *memory as f64 / f64::from(1 << 20);
            writeln!(f, "| {function} | {:.1} ms | {:.1} ms | {memory:.1} MB |", millis(init), millis(init_time))?;
        }
        writeln!(f, "\n| calls of AWS | for a customer | for an e-mail |")?;
        writeln!(f, "|---|---:|---:|")?;
        let names: std::collections::BTreeSet<_> = self.scan.calls.keys().chain(self.send.calls.keys()).collect();
        for name in names {
            let of = |work: &Work| {
                work.calls.get(name).map_or_else(String::new, |calls| format!("{:.4}", work.each(calls.count as f64)))
            };
            writeln!(f, "| {name} | {} | {} |", of(&self.scan), of(&self.send))?;
        }
        Ok(())
    }
}
