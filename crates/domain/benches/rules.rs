//! Processor time and memory of the most expensive rules that may be posted, each for 1,000 customers with the largest
//! attributes.
//!
//!     cargo bench -p domain --bench rules

use anyhow::{Result, anyhow};
use domain::customer::ATTRIBUTES_BYTES_LIMIT;
use domain::eligibility::{RULE_LIMIT, Verdict};
use domain::{Customer, Rule};
use serde_json::json;

const CUSTOMERS: u32 = 1_000;

/// Conditions that hold for none of the customers below, or for all, so that a chain of them is evaluated to its end.
const TRUE: [&str; 27] = [
    "true",
    "customer.n==1",
    "has(customer.n)",
    "customer['n']==1",
    "customer[customer.k]==1",
    "customer.a==customer.a",
    "size(customer.a)>=0",
    "customer.a.all(x,x!=-1)",
    "customer.a.all(x,!(x+1 in customer.b))",
    "customer.a.all(x,customer.a!=[x])",
    "!customer.a.exists(x,x==-1)",
    "!customer.a.exists_one(x,x==-1)",
    "customer.a.filter(x,x==x).size()>=0",
    "customer.a.map(x,x).size()>=0",
    "customer.a.map(x,customer.t).size()>=0",
    "customer.a.map(x,x>0,x).size()>=0",
    "!(-1 in customer.a)",
    "customer.a+customer.a!=[1]",
    "!customer.t.contains('zz')",
    "!(customer.t+customer.t).contains('zz')",
    "customer.t.size()>=0",
    "customer.a.all(x,!customer.t.endsWith('zz'))",
    "customer.m.all(k,customer.m[k]!=-1)",
    "customer.m==customer.m",
    "size([customer.m]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[])>0",
    "size([customer.a,customer.m]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[])>0",
    "size([customer.a]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[]+[])>0",
];

fn main() -> Result<()> {
    let customers = customers()?;
    println!("{:>9} {:>9} {:>8}  customer, rule", "ms/1,000", "MB", "verdict");
    for conditions in TRUE {
        let rule = longest(conditions).ok_or_else(|| anyhow!("{conditions} is refused"))?;
        for (name, customer) in &customers {
            let before = peak_memory()?;
            let parsed = Rule::parse(&rule).map_err(anyhow::Error::msg)?;
            let began = processor_millis()?;
            let mut verdict = Verdict::Eligible;
            for _ in 0..CUSTOMERS {
                verdict = parsed.verdict(customer);
            }
            let millis = processor_millis()? - began;
            let grown = peak_memory()? - before;
            println!(
                "{millis:>9} {grown:>9} {verdict:>8?}  {name}, {} times {conditions}",
                1 + rule.matches("&&").count()
            );
        }
    }
    println!("{} MB of memory at most", peak_memory()?);
    Ok(())
}

/// The condition as often as a rule may have it.
fn longest(condition: &str) -> Option<String> {
    let most = RULE_LIMIT / (condition.len() + 2);
    (1..=most).rev().map(|times| vec![condition; times].join("&&")).find(|rule| Rule::parse(rule).is_ok())
}

/// Customers whose attributes are as large as they may be, in different ways.
fn customers() -> Result<Vec<(&'static str, Customer)>> {
    let numbers = |count: usize| vec![json!(7); count];
    let text = |bytes: usize| json!("x".repeat(bytes));
    let map = |count: usize| (0..count).map(|n| (format!("k{n}"), json!(7))).collect::<serde_json::Map<_, _>>();
    let all = [
        ("one long list", json!({"n": 1, "k": "n", "a": numbers(8_000), "b": [], "t": "", "m": {}})),
        (
            "lists of 3,000",
            json!({"n": 1, "k": "n", "a": numbers(3_000), "b": numbers(3_000), "t": text(2_000), "m": map(100)}),
        ),
        (
            "lists of 800",
            json!({"n": 1, "k": "n", "a": numbers(800), "b": numbers(800), "t": text(2_000), "m": map(800)}),
        ),
        (
            "lists of 100",
            json!({"n": 1, "k": "n", "a": numbers(100), "b": numbers(100), "t": text(8_000), "m": map(100)}),
        ),
        ("lists of 30", json!({"n": 1, "k": "n", "a": numbers(30), "b": numbers(30), "t": text(15_000), "m": map(30)})),
        ("one long object", json!({"n": 1, "k": "n", "a": [], "b": [], "t": "", "m": map(1_500)})),
        ("nested lists", json!({"n": 1, "k": "n", "a": [numbers(4_000), numbers(4_000)], "b": [], "t": "", "m": {}})),
    ];
    all.into_iter()
        .map(|(name, attributes)| {
            anyhow::ensure!(attributes.to_string().len() <= ATTRIBUTES_BYTES_LIMIT, "{name} is too large");
            let body = json!({"name": "Asha", "channels": ["email"], "attributes": attributes});
            Ok((name, Customer::parse("c-1", body).map_err(|faults| anyhow!("{faults}"))?))
        })
        .collect()
}

/// How long this thread has run, in milliseconds: other processes do not count. Linux, "Scheduler Statistics".
fn processor_millis() -> Result<u64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: u64 = statistics.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(nanos / 1_000_000)
}

/// The most memory that this process had so far, in MB.
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    Ok(kilobytes.unwrap_or(0_u64) / 1_000)
}
