//! A customer: their addresses, their consent, and the attributes that rules may read.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use crate::channel::{Channel, Channels};
use crate::characters::{self, with_plain_breaks};
use crate::email_address::EmailAddress;
use crate::faults::Faults;
use crate::fields::{Fields, Lines, kind};
use crate::ids::CustomerId;
use crate::locale::{parse_locale, parse_time_zone};
use crate::mobile::Mobile;

/// Maximum length of a name, in characters.
pub const NAME_LIMIT: usize = 200;
/// Maximum number of attributes of one customer.
pub const ATTRIBUTES_LIMIT: usize = 100;
/// Maximum size of the attributes of one customer, in bytes as JSON.
pub const ATTRIBUTES_BYTES_LIMIT: usize = 16 * 1024;
/// How deep lists and objects may nest in an attribute.
const ATTRIBUTE_DEPTH_LIMIT: usize = 4;
/// The numbers that DynamoDB can store: 0, and magnitudes from 1E-130 to below 1E+126
/// (AWS, "Supported data types and naming rules in Amazon DynamoDB").
const NUMBERS: std::ops::RangeInclusive<f64> = 1e-130..=9.9e125;

/// The fields of every customer that rules and text may read. No attribute may have such a name.
pub const OWN_FIELDS: [&str; 4] = ["id", "name", "locale", "timeZone"];

/// A customer of the bank.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// The bank's own id.
    pub id: CustomerId,
    /// How the customer is addressed. Personal data.
    pub name: String,
    /// The address for e-mail.
    pub email: Option<EmailAddress>,
    /// The number for text messages.
    pub mobile: Option<Mobile>,
    /// The channels that the customer consented to.
    pub channels: Channels,
    /// Language and region, such as `pt-PT`.
    pub locale: Option<String>,
    /// IANA time zone, such as `Europe/Lisbon`.
    pub time_zone: Option<String>,
    /// Values that eligibility rules and text may read, by name.
    pub attributes: Map<String, Value>,
}

/// Which attributes of customers are read. Their own fields always are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// All of them.
    Whole,
    /// Those with these names.
    Attributes(BTreeSet<String>),
}

/// From names of fields and attributes.
impl<'a> FromIterator<&'a str> for Projection {
    /// Own fields are left out: they are always read. So is the empty name, which no attribute has and no expression may name.
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let attributes = names.into_iter().filter(|name| !name.is_empty() && !OWN_FIELDS.contains(name));
        Self::Attributes(attributes.map(str::to_owned).collect())
    }
}

impl Projection {
    /// The attributes of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Attributes(mut names), Self::Attributes(others)) => {
                names.extend(others);
                Self::Attributes(names)
            }
            _ => Self::Whole,
        }
    }
}

impl Customer {
    const FIELDS: [&'static str; 7] = ["name", "email", "mobile", "channels", "locale", "timeZone", "attributes"];

    /// Parses a customer as callers send one; `id` comes from the path.
    ///
    /// # Errors
    /// If the body is no valid customer, with every fault.
    pub fn parse(id: &str, body: Value) -> Result<Self, Faults> {
        let mut fields = Fields::of(body)?;
        // The body may repeat the id, as it does when the response of a GET is sent back.
        if fields.string("id").is_some_and(|own| own != id) {
            fields.fault("id", "must be the id of the path");
        }
        Self::read(id, fields)
    }

    /// Parses a customer that carries its own `id`, as in a list of customers.
    ///
    /// # Errors
    /// If the body is no valid customer, with every fault.
    pub fn parse_with_id(body: Value) -> Result<Self, Faults> {
        let mut fields = Fields::of(body)?;
        let id = fields.required("id", |f| f.string("id")).unwrap_or_default();
        Self::read(&id, fields)
    }

    fn read(id: &str, mut fields: Fields) -> Result<Self, Faults> {
        let id = id.parse::<CustomerId>();
        if let Err(error) = &id {
            fields.fault("id", error.to_string());
        }
        let name = fields.required("name", |f| f.text("name", NAME_LIMIT, Lines::One));
        let email = fields.parsed("email", str::parse::<EmailAddress>);
        let mobile = fields.parsed("mobile", str::parse::<Mobile>);
        let channels = fields.required("channels", |f| f.list("channels", str::parse::<Channel>));
        let locale = fields.parsed("locale", parse_locale);
        let time_zone = fields.parsed("timeZone", parse_time_zone);
        let attributes = fields.object("attributes").unwrap_or_default();
        let attributes = read_attributes(&mut fields, attributes);
        fields.finish(&Self::FIELDS)?;
        match (id, name, channels) {
            (Ok(id), Some(name), Some(channels)) => Ok(Self {
                id,
                name,
                email,
                mobile,
                channels: channels.into_iter().collect(),
                locale,
                time_zone,
                attributes,
            }),
            _ => unreachable!("a missing or wrong required field is a fault, and faults have been returned"),
        }
    }

    /// Whether the customer consented to this channel and has an address for it.
    pub fn reachable_by(&self, channel: Channel) -> bool {
        self.channels.contains(&channel)
            && match channel {
                Channel::Email => self.email.is_some(),
                Channel::Sms => self.mobile.is_some(),
            }
    }

    /// Whether there is a value that a rule or a text reads as `customer.<field>`.
    pub fn has(&self, field: &str) -> bool {
        self.own_field(field).is_some() || self.attributes.contains_key(field)
    }

    /// The value that a rule or a text reads as `customer.<field>`.
    pub fn field(&self, field: &str) -> Option<Value> {
        self.own_field(field).map(Into::into).or_else(|| self.attributes.get(field).cloned())
    }

    /// The value of one of [`OWN_FIELDS`].
    pub(crate) fn own_field(&self, field: &str) -> Option<&str> {
        match field {
            "id" => Some(self.id.as_str()),
            "name" => Some(&self.name),
            "locale" => self.locale.as_deref(),
            "timeZone" => self.time_zone.as_deref(),
            _ => None,
        }
    }
}

/// The attributes that have a value. Adds a fault for each that cannot be kept.
fn read_attributes(fields: &mut Fields, attributes: Map<String, Value>) -> Map<String, Value> {
    if attributes.len() > ATTRIBUTES_LIMIT {
        fields.fault("attributes", format!("must have at most {ATTRIBUTES_LIMIT} entries, not {}", attributes.len()));
    }
    let bytes = serde_json::to_vec(&attributes).map_or(0, |json| json.len());
    if bytes > ATTRIBUTES_BYTES_LIMIT {
        fields.fault("attributes", format!("must have at most {ATTRIBUTES_BYTES_LIMIT} bytes as JSON, not {bytes}"));
    }
    let mut read = Map::new();
    for (name, value) in attributes {
        let field = format!("attributes.{name}");
        if !is_attribute_name(&name) {
            fields
                .fault(&field, "must have a name of at most 64 letters, digits and _ that does not begin with a digit");
        } else if OWN_FIELDS.contains(&name.as_str()) {
            fields.fault(&field, "has the name of a field that every customer has; choose another");
        }
        match read_attribute(value, ATTRIBUTE_DEPTH_LIMIT) {
            Ok(Value::Null) => {}
            Ok(value) => {
                read.insert(name, value);
            }
            Err(detail) => fields.fault(&field, detail),
        }
    }
    read
}

/// Whether a rule or a text can name this attribute.
pub fn is_attribute_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Reads a value as it is stored and filled in: of numbers, the value counts and not how it was written (`2.50` is 2.5, and
/// `2.0` is 2, which DynamoDB does not tell apart either); line breaks in texts become `\n`.
///
/// # Errors
/// What is wrong, to follow the attribute's name.
fn read_attribute(value: Value, depth: usize) -> Result<Value, String> {
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => {
            Err(format!("must nest at most {ATTRIBUTE_DEPTH_LIMIT} deep"))
        }
        Value::Array(values) => {
            values.into_iter().map(|value| read_attribute(value, depth - 1)).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(values) => values
            .into_iter()
            .map(|(name, value)| {
                if name.is_empty() {
                    return Err("must not have an empty name within it".to_owned());
                }
                check_characters(&name)?;
                Ok((name, read_attribute(value, depth - 1)?))
            })
            .collect::<Result<_, _>>()
            .map(Value::Object),
        Value::Number(number)
            if number.as_f64().is_none_or(|number| number != 0.0 && !NUMBERS.contains(&number.abs())) =>
        {
            Err(format!("must be 0 or a number of a size between {:e} and {:e}", NUMBERS.start(), NUMBERS.end()))
        }
        Value::Number(number) => Ok(Value::Number(plain_number(number))),
        Value::String(text) => {
            check_characters(&text)?;
            Ok(with_plain_breaks(&text).into())
        }
        other => Ok(other),
    }
}

fn check_characters(text: &str) -> Result<(), String> {
    characters::check(text, Lines::Many).map_err(|found| format!("must not contain {found}"))
}

/// A whole number as an integer, if it fits one.
fn plain_number(number: Number) -> Number {
    /// Below it, each whole number of a double is exactly an integer of 64 bits.
    const LIMIT: f64 = 9.2e18;
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the limit")]
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < LIMIT => Number::from(float as i64),
        _ => number,
    }
}

/// An attribute as part of a text. Numbers have no exponent: the longest that is stored has some 150 digits.
///
/// # Errors
/// If it has no form as text, with the name of its type.
pub(crate) fn to_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(string) => Ok(string.clone()),
        // `f64` is displayed without exponent, in the fewest digits that mean the same number.
        Value::Number(number) => Ok(match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        }),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(kind(other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn customer_needs_a_name_and_channels() {
        let customer = Customer::parse(
            "c-1",
            json!({"name": "Asha", "email": "asha@example.com", "channels": ["email"], "attributes": {"tier": "gold"}}),
        )
        .unwrap();
        assert!(customer.reachable_by(Channel::Email));
        assert!(!customer.reachable_by(Channel::Sms));

        let faults = Customer::parse("c-1", json!({})).unwrap_err().into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["name", "channels"]);
    }

    #[test]
    fn every_fault_is_reported() {
        let faults = Customer::parse(
            "no spaces",
            json!({
                "name": "line\nbreak", "email": "nobody", "mobile": "12", "channels": ["email", "pigeon"],
                "locale": "!", "timeZone": "Not a zone", "attributes": {"id": 1, "2nd": 2, "deep": [[[[[1]]]]], "tiny": 1e-140}, "nick": "A"
            }),
        )
        .unwrap_err()
        .into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "id",
                "name",
                "email",
                "mobile",
                "channels[1]",
                "locale",
                "timeZone",
                "attributes.2nd",
                "attributes.deep",
                "attributes.id",
                "attributes.tiny",
                "nick"
            ]
        );
    }

    #[test]
    fn consent_without_an_address_is_not_reachable() {
        let customer = Customer::parse("c", json!({"name": "A", "channels": ["email", "sms"]})).unwrap();
        assert!(!customer.reachable_by(Channel::Email));
        assert!(!customer.reachable_by(Channel::Sms));
    }

    #[test]
    fn values_are_stored_in_their_one_form() {
        let customer = Customer::parse(
            "c-1",
            json!({
                "name": "Asha", "email": "Asha@例え.テスト", "channels": [], "locale": "en_us", "timeZone": "asia/kolkata",
                "attributes": {"fee": 2.50, "two": 2.0, "big": 1e5, "zero": -0.0, "note": "a\r\nb\rc", "list": [1.0, {"x": "a\rb"}],
                               "none": null, "empty": ""}
            }),
        )
        .unwrap();
        assert_eq!(customer.email.unwrap().as_str(), "Asha@xn--r8jz45g.xn--zckzah");
        assert_eq!((customer.locale.as_deref(), customer.time_zone.as_deref()), (Some("en-US"), Some("Asia/Kolkata")));
        assert_eq!(
            Value::from(customer.attributes),
            json!({"fee": 2.5, "two": 2, "big": 100_000, "zero": 0, "note": "a\nb\nc", "list": [1, {"x": "a\nb"}], "empty": ""})
        );
    }

    #[test]
    fn numbers_are_shown_without_exponent() {
        for (number, shown) in [
            (json!(0), "0"),
            (json!(-5000), "-5000"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(2.5), "2.5"),
            (json!(-0.1), "-0.1"),
            (json!(2.7e-6), "0.0000027"),
            (json!(1e16), "10000000000000000"),
            (json!(1e20), "100000000000000000000"),
        ] {
            assert_eq!(to_text(&number).as_deref(), Ok(shown));
        }
        assert!(to_text(&json!(1.234_567_890_123_456_7e-130)).unwrap().len() <= 150);
    }

    #[test]
    fn forbidden_characters_are_refused_wherever_they_can_fill_a_placeholder() {
        let faults = Customer::parse(
            "c-1",
            json!({
                "name": "\u{3164}", "channels": [], "locale": "en\u{202E}",
                "attributes": {"a": "x\u{202E}", "b": ["ok", "\u{FFFE}"], "c": {"d": {"e": "\u{1B}"}}, "d": {"\u{FFFF}": 1},
                               "e": {"": 1}, "lines": "a\n\tb"}
            }),
        )
        .unwrap_err()
        .into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            ["name", "locale", "attributes.a", "attributes.b", "attributes.c", "attributes.d", "attributes.e"]
        );
        assert!(faults[2].detail.ends_with("(character 2, U+202E)"), "{}", faults[2].detail);
    }
}
