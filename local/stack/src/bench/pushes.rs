//! Pushes to growing numbers of customers: duration, processor time per customer and per e-mail, and memory of the
//! functions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use client::{Api, Stack};
use jiff::Timestamp;
use offercast::{load, output};
use serde_json::{Value, json};

use super::system::ProcessMonitor;
use super::table::{median, megabytes, table};

/// Numbers of customers, each with the number of pushes to measure: short pushes are repeated.
const SIZES: [(usize, usize); 3] = [(1_000, 10), (10_000, 2), (45_211, 1)];
/// How long a push may take.
const PUSH_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Time between two polls. Each poll is an invocation that competes with the push.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

const OFFER: &str =
    r#"{"code":"BENCH","description":"Hello {{ customer.name }}, get 5% cashback on 5000 spent","channels":["email"]}"#;

/// The results for one number of customers.
struct Measured {
    customers: usize,
    pushes: usize,
    /// Seconds per push.
    took: Vec<f64>,
    /// Processor time of `audience` and of `email` over all pushes, in seconds.
    scanning: f64,
    sending: f64,
    /// Peak memory of each function, in order of name.
    memory: Vec<Option<u64>>,
}

/// Runs the pushes and formats the results.
pub(super) async fn measure(stack: &Stack, uses_sink: bool) -> Result<String> {
    let api = Api::new(stack);
    let mut monitor = ProcessMonitor::new(stack);
    let mut all = Vec::new();
    let mut there = 0;
    for (customers, pushes) in SIZES {
        let more: Vec<Value> = (there + 1..=customers).map(email_customer).collect();
        load::store_all(&api, &more).await?;
        if there == 0 {
            // A first push starts the functions, so that start-up time is not included.
            push(&api, &mut monitor, customers).await?;
        }
        there = customers;
        let before = (monitor.seconds("audience"), monitor.seconds("email"));
        let mut took = Vec::new();
        for _ in 0..pushes {
            took.push(push(&api, &mut monitor, customers).await?);
        }
        all.push(Measured {
            customers,
            pushes,
            took,
            scanning: monitor.seconds("audience") - before.0,
            sending: monitor.seconds("email") - before.1,
            memory: stack.functions.keys().map(|function| monitor.memory().get(function).copied()).collect(),
        });
    }
    Ok(format_results(stack, &all, uses_sink))
}

/// A generated customer who receives e-mail only.
fn email_customer(row: usize) -> Value {
    let mut customer = load::generated(row);
    customer["channels"] = json!(["email"]);
    customer
}

/// Posts an offer, waits until all customers have it, and returns the duration in seconds.
async fn push(api: &Api, monitor: &mut ProcessMonitor, customers: usize) -> Result<f64> {
    let mut step = output::step(&format!("Pushing an offer to {customers} customers"));
    monitor.sample();
    let response = api.call("POST", "/offers", &[], OFFER.as_bytes()).await?;
    ensure!(response.status == 201, "the API refused the offer ({}): {}", response.status, response.text);
    let offer = response.json();
    let path = format!("/offers/{}/pushes/1", offer["id"].as_str().context("the created offer has no id")?);
    let began = Instant::now();
    let push = loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        monitor.sample();
        let push = api.call("GET", &path, &[], b"").await?.json();
        step.update(&format!("{} of {customers} sent", push["sent"]));
        if push["state"] == "completed" {
            break push;
        }
        ensure!(began.elapsed() < PUSH_TIMEOUT, "the push did not complete in time: {push}");
    };
    monitor.sample();
    let expected = json!(customers);
    ensure!(
        push["customersRead"] == expected && push["sent"] == expected,
        "not all customers received the offer: {push}"
    );
    let took = time(&push["completedAt"])?.duration_since(time(&offer["createdAt"])?).as_secs_f64();
    step.done(&format!("all sent after {took:.1} s"));
    Ok(took)
}

fn time(value: &Value) -> Result<Timestamp> {
    let text = value.as_str().with_context(|| format!("{value} is not a time stamp"))?;
    text.parse().with_context(|| format!("{text} is not a time stamp"))
}

fn format_results(stack: &Stack, all: &[Measured], uses_sink: bool) -> String {
    let micros = |seconds: f64, one: &Measured| seconds * 1e6 / (one.customers * one.pushes) as f64;
    let first = all.first();
    let times = |value: f64, of: Option<f64>| of.map_or_else(String::new, |of| format!("{:.2}", value / of));
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let took = median(one.took.clone()).unwrap_or(f64::NAN);
            let (scanning, sending) = (micros(one.scanning, one), micros(one.sending, one));
            vec![
                one.customers.to_string(),
                one.pushes.to_string(),
                format!("{took:.1} s"),
                format!("{:.0}", one.customers as f64 / took),
                format!("{scanning:.0} µs"),
                times(scanning, first.map(|first| micros(first.scanning, first))),
                format!("{sending:.0} µs"),
                times(sending, first.map(|first| micros(first.sending, first))),
            ]
        })
        .collect();
    let heading = [
        "customers",
        "pushes",
        "from POST to the last e-mail",
        "e-mails per second",
        "processor time per customer scanned",
        "relative to the first",
        "per e-mail sent",
        "relative to the first",
    ];
    let mut text = table(&heading, &rows);
    text += if uses_sink {
        "\nTime: the median of the pushes, from createdAt to completedAt. E-mail went to smtp-sink, which discards it.\n"
    } else {
        "\nTime: the median of the pushes, from createdAt to completedAt. E-mail went to the built-in inbox, which is built without optimisation: smtp-sink \
         is not installed (Debian: apt-get install postfix; or set SMTP_SINK to its path).\n"
    };
    text +=
        "\nMemory of the largest process of each function (VmHWM), after the pushes to each number of customers:\n\n";
    let sizes: Vec<_> = all.iter().map(|one| one.customers.to_string()).collect();
    let heading: Vec<&str> = [""].into_iter().chain(sizes.iter().map(String::as_str)).collect();
    let rows = stack.functions.keys().enumerate().filter_map(|(index, function)| {
        let memory: Option<Vec<String>> = all.iter().map(|one| one.memory[index].map(megabytes)).collect();
        // Leave out functions that were not used.
        Some([vec![function.clone()], memory?].concat())
    });
    text += &table(&heading, &rows.collect::<Vec<_>>());
    text
}
