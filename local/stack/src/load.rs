//! `load`: customers from a file, or generated ones.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use client::{Api, Stack};
use flate2::read::GzDecoder;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};

use crate::progress;

/// Maximum customers per call.
const CUSTOMERS_PER_CALL: usize = 100;
/// Calls in flight.
const CONCURRENCY: usize = 4;
/// Number of generated customers.
const GENERATED: usize = 2_000;

/// Stores the customers of a file, or generated ones.
pub(crate) async fn load(stack: &Stack, file: Option<&Path>) -> Result<()> {
    let customers = match file {
        Some(file) => read(file)?,
        None => (1..=GENERATED).map(generated).collect(),
    };
    put(stack, &customers).await
}

pub(crate) async fn put(stack: &Stack, customers: &[Value]) -> Result<()> {
    let mut step = progress::step(&format!("Loading {} customers", customers.len()));
    let api = Api::new(stack);
    let mut calls = stream::iter(customers.chunks(CUSTOMERS_PER_CALL).map(|chunk| put_chunk(&api, chunk)))
        .buffer_unordered(CONCURRENCY);
    let mut stored = 0;
    while let Some(chunk) = calls.try_next().await? {
        stored += chunk;
        step.update(&format!("{stored} of {}", customers.len()));
    }
    step.done(&format!("{stored} customers stored"));
    Ok(())
}

async fn put_chunk(api: &Api, customers: &[Value]) -> Result<usize> {
    let response = api.call("POST", "/customers", &[], &serde_json::to_vec(customers)?).await?;
    if response.status != 200 {
        bail!("the API refused the customers ({}): {}", response.status, response.text);
    }
    let results = response.json();
    let refused = results["results"].as_array().and_then(|all| all.iter().find(|one| one["status"] != "stored"));
    match refused {
        Some(refused) => bail!("the API refused a customer: {refused}"),
        None => Ok(customers.len()),
    }
}

fn read(file: &Path) -> Result<Vec<Value>> {
    let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let plain: Box<dyn Read> = if file.extension().is_some_and(|extension| extension == "gz") {
        Box::new(GzDecoder::new(open))
    } else {
        Box::new(open)
    };
    let mut plain = std::io::BufReader::new(plain);
    let delimiter = detect_delimiter(std::io::BufRead::fill_buf(&mut plain)?);
    let mut table = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(plain);
    let columns = table.headers()?.clone();
    table
        .records()
        .enumerate()
        .map(|(row, record)| Ok(customer(row + 1, columns.iter().zip(record?.iter()))))
        .collect::<Result<_, csv::Error>>()
        .with_context(|| format!("{} is not a valid CSV file", file.display()))
}

/// Semicolon if the first line has more semicolons than commas, else comma.
fn detect_delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted| line.iter().filter(|byte| **byte == wanted).count();
    if count(b';') > count(b',') { b';' } else { b',' }
}

/// Converts a row to a customer. Required fields that the file lacks are generated.
fn customer<'a>(row: usize, cells: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let mut customer = json!({
        "id": format!("customer-{row}"),
        "name": format!("Customer {row}"),
        "email": format!("customer-{row}@example.com"),
        "channels": ["email"],
    });
    let mut attributes = Map::new();
    for (column, cell) in cells {
        match column {
            "id" | "name" | "email" | "mobile" | "locale" | "timeZone" => customer[column] = cell.into(),
            "channels" => customer[column] = cell.split(';').filter(|channel| !channel.is_empty()).collect(),
            attribute => {
                attributes.insert(attribute.replace(['.', '-', ' '], "_"), parse_cell(cell));
            }
        }
    }
    customer["attributes"] = attributes.into();
    customer
}

/// Numbers and booleans keep their type; everything else is text, and so is a number that would be rounded.
fn parse_cell(cell: &str) -> Value {
    /// As many digits as every double keeps.
    const DIGITS: usize = 15;
    match serde_json::from_str(cell) {
        Ok(Value::Number(number)) if number.is_f64() && cell.bytes().filter(u8::is_ascii_digit).count() > DIGITS => {
            cell.into()
        }
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => cell.into(),
    }
}

/// A generated customer; the same row gives the same customer.
pub(crate) fn generated(row: usize) -> Value {
    let pick = |from: &[&'static str], salt: usize| from[(row * 7 + salt) % from.len()];
    let first = pick(&["Asha", "Inês", "Tom", "Søren", "Zoë", "Mei", "Omar", "Łucja"], 0);
    let last = pick(&["Rao", "Marques", "Baker", "Holm", "Müller", "Chen", "Haddad"], row / 8);
    json!({
        "id": format!("customer-{row}"),
        "name": format!("{first} {last}"),
        "email": format!("customer-{row}@example.com"),
        // Portugal's networks have 10 million numbers each.
        "mobile": format!("+3519{}{:07}", [1, 2, 3, 6][row / 10_000_000 % 4], row % 10_000_000),
        "channels": if row.is_multiple_of(10) { json!([]) } else if row.is_multiple_of(3) { json!(["email", "sms"]) } else { json!(["email"]) },
        "locale": pick(&["en-GB", "pt-PT", "de-DE", "hi-IN"], 1),
        "attributes": {
            "tier": pick(&["basic", "silver", "gold", "platinum"], row / 3),
            "monthly_spend": row * 37 % 9_000,
            "age": 18 + row * 13 % 70,
        },
    })
}
