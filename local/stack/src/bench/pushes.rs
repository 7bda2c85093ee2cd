//! Pushes to ever more customers: how long they take, what each customer and each e-mail costs, and how much memory the
//! functions have.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use client::{Api, Stack};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::system::Watch;
use super::table::{median, megabytes, table};
use crate::{load, progress};

/// So many customers, and so many pushes to them: of a few, one alone says little.
const SIZES: [(usize, usize); 3] = [(1_000, 10), (10_000, 2), (45_211, 1)];
/// How long a push may take.
const WITHIN: Duration = Duration::from_secs(30 * 60);
/// How often it is looked at. Each look is an invocation, and takes time from the push.
const EVERY: Duration = Duration::from_secs(1);

const OFFER: &str =
    r#"{"code":"BENCH","description":"Hello {{ customer.name }}, get 5% cashback on 5000 spent","channels":["email"]}"#;

/// What pushes to so many customers took.
struct Measured {
    customers: usize,
    pushes: usize,
    /// Each push, in seconds.
    took: Vec<f64>,
    /// Processor time of `audience` and of `email`, of all pushes, in seconds.
    walking: f64,
    sending: f64,
    /// Of each function, in the order of its name.
    memory: Vec<Option<u64>>,
}

/// Makes the pushes, and shows what they took.
pub(super) async fn measure(stack: &Stack, is_discarded: bool) -> Result<String> {
    let api = Api::new(stack);
    let mut watch = Watch::new(stack);
    let mut all = Vec::new();
    let mut there = 0;
    for (customers, pushes) in SIZES {
        let more: Vec<Value> = (there + 1..=customers).map(wants_email).collect();
        load::put(stack, &more).await?;
        if there == 0 {
            // Starts the functions: that is measured by itself.
            push(&api, &mut watch, customers).await?;
        }
        there = customers;
        let before = (watch.seconds("audience"), watch.seconds("email"));
        let mut took = Vec::new();
        for _ in 0..pushes {
            took.push(push(&api, &mut watch, customers).await?);
        }
        all.push(Measured {
            customers,
            pushes,
            took,
            walking: watch.seconds("audience") - before.0,
            sending: watch.seconds("email") - before.1,
            memory: stack.functions.keys().map(|function| watch.memory().get(function).copied()).collect(),
        });
    }
    Ok(show(stack, &all, is_discarded))
}

/// As `load` makes them up, but each wants e-mail.
fn wants_email(row: usize) -> Value {
    let mut customer = load::made_up(row);
    customer["channels"] = json!(["email"]);
    customer
}

/// Posts an offer and waits until everybody has it. Answers how long that took, in seconds.
async fn push(api: &Api, watch: &mut Watch, customers: usize) -> Result<f64> {
    let mut step = progress::step(&format!("Pushing an offer to {customers} customers"));
    watch.look();
    let answer = api.call("POST", "/offers", &[], OFFER.as_bytes()).await?;
    ensure!(answer.status == 201, "the offer was refused ({}): {}", answer.status, answer.text);
    let offer = answer.json();
    let path = format!("/offers/{}/pushes/1", offer["id"].as_str().context("the offer came back without an id")?);
    let began = Instant::now();
    let push = loop {
        tokio::time::sleep(EVERY).await;
        watch.look();
        let push = api.call("GET", &path, &[], b"").await?.json();
        step.at(&format!("{} of {customers} sent", push["sent"]));
        if push["state"] == "completed" {
            break push;
        }
        ensure!(began.elapsed() < WITHIN, "the push does not get on: {push}");
    };
    watch.look();
    let everybody = json!(customers);
    ensure!(push["customersRead"] == everybody && push["sent"] == everybody, "not everybody was told: {push}");
    let took = time(&push["completedAt"])?.duration_since(time(&offer["createdAt"])?).as_secs_f64();
    step.done(&format!("all told after {took:.1} s"));
    Ok(took)
}

fn time(value: &Value) -> Result<Timestamp> {
    let text = value.as_str().with_context(|| format!("{value} is no time"))?;
    text.parse().with_context(|| format!("{text} is no time"))
}

fn show(stack: &Stack, all: &[Measured], is_discarded: bool) -> String {
    let micros = |seconds: f64, one: &Measured| seconds * 1e6 / (one.customers * one.pushes) as f64;
    let first = all.first();
    let times = |value: f64, of: Option<f64>| of.map_or_else(String::new, |of| format!("{:.2}", value / of));
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let took = median(one.took.clone()).unwrap_or(f64::NAN);
            let (walking, sending) = (micros(one.walking, one), micros(one.sending, one));
            vec![
                one.customers.to_string(),
                one.pushes.to_string(),
                format!("{took:.1} s"),
                format!("{:.0}", one.customers as f64 / took),
                format!("{walking:.0} µs"),
                times(walking, first.map(|first| micros(first.walking, first))),
                format!("{sending:.0} µs"),
                times(sending, first.map(|first| micros(first.sending, first))),
            ]
        })
        .collect();
    let heading = [
        "customers",
        "pushes",
        "from POST to the last e-mail",
        "e-mails a second",
        "processor time per customer walked",
        "of the first",
        "per e-mail sent",
        "of the first",
    ];
    let mut text = table(&heading, &rows);
    text += if is_discarded {
        "\nTime: the median of the pushes, from createdAt to completedAt. E-mail went to smtp-sink, which discards it.\n"
    } else {
        "\nTime: the median of the pushes, from createdAt to completedAt. E-mail went to the built-in inbox, which is built without optimization: there is no \
         smtp-sink (Debian: apt-get install postfix; or name it in SMTP_SINK).\n"
    };
    text += "\nMemory of the largest process of each function (VmHWM), after the pushes to so many customers:\n\n";
    let sizes: Vec<_> = all.iter().map(|one| one.customers.to_string()).collect();
    let heading: Vec<&str> = [""].into_iter().chain(sizes.iter().map(String::as_str)).collect();
    let rows = stack.functions.keys().enumerate().filter_map(|(place, function)| {
        let memory: Option<Vec<String>> = all.iter().map(|one| one.memory[place].map(megabytes)).collect();
        // The others had nothing to do.
        Some([vec![function.clone()], memory?].concat())
    });
    text += &table(&heading, &rows.collect::<Vec<_>>());
    text
}
