//! Customers that are made up, to try the local stack.

use serde_json::{Value, json};

/// How many there are.
pub(super) const GENERATED: usize = 2_000;

/// A generated customer; the same row gives the same customer.
pub fn generated(row: usize) -> Value {
    let pick = |from: &[&'static str], salt: usize| from[(row * 7 + salt) % from.len()];
    let first = pick(&["Asha", "Inês", "Tom", "Søren", "Zoë", "Mei", "Omar", "Łucja"], 0);
    let last = pick(&["Rao", "Marques", "Baker", "Holm", "Müller", "Chen", "Haddad"], row / 8);
    let channels = match row {
        row if row.is_multiple_of(10) => json!([]),
        row if row.is_multiple_of(3) => json!(["email", "sms"]),
        _ => json!(["email"]),
    };
    json!({
        "id": format!("customer-{row}"),
        "name": format!("{first} {last}"),
        "email": format!("customer-{row}@example.com"),
        // Portugal's networks have 10 million numbers each.
        "mobile": format!("+3519{}{:07}", [1, 2, 3, 6][row / 10_000_000 % 4], row % 10_000_000),
        "channels": channels,
        "locale": pick(&["en-GB", "pt-PT", "de-DE", "hi-IN"], 1),
        "attributes": {
            "tier": pick(&["basic", "silver", "gold", "platinum"], row / 3),
            "monthly_spend": row * 37 % 9_000,
            "age": 18 + row * 13 % 70,
        },
    })
}
