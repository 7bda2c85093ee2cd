//! What a preview is asked to send as a test: which recipients test messages may go to, and whose message they are.

use std::collections::HashSet;
use std::str::FromStr;

use domain::fields::Fields;
use domain::{AllowedRecipients, Channel, CustomerId, EmailAddress, Faults, Mobile};
use serde_json::{Value, json};

/// Maximum number of test recipients in a preview.
const MAX_TEST_RECIPIENTS: usize = 10;

const FIELDS: [&str; 2] = ["testRecipients", "testCustomer"];

/// The part of a preview's body that is not the offer.
#[derive(Default)]
pub(super) struct TestRequest {
    /// No two of them are the same.
    pub(super) recipients: Vec<TestRecipient>,
    /// The customer whose message they get. `None`: an invented one.
    pub(super) customer: Option<CustomerId>,
}

/// The recipient of a test message.
pub(super) enum TestRecipient {
    Email(EmailAddress),
    Sms(Mobile),
}

impl FromStr for TestRecipient {
    type Err = String;

    fn from_str(string: &str) -> Result<Self, String> {
        if string.starts_with('+') {
            string.parse().map(Self::Sms).map_err(|error: domain::mobile::InvalidMobile| error.to_string())
        } else {
            string
                .parse()
                .map(Self::Email)
                .map_err(|error: domain::email_address::InvalidEmailAddress| error.to_string())
        }
    }
}

impl TestRecipient {
    fn parse(string: &str, allowed: &AllowedRecipients) -> Result<Self, String> {
        let recipient: Self = string.parse()?;
        let checked = match &recipient {
            Self::Email(address) => allowed.check_email(address),
            Self::Sms(mobile) => allowed.check_mobile(mobile),
        };
        checked.map(|()| recipient).map_err(|error| error.to_string())
    }

    pub(super) fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Sms(_) => Channel::Sms,
        }
    }

    /// Not for logs.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Email(address) => address.as_str(),
            Self::Sms(mobile) => mobile.as_str(),
        }
    }

    /// The same for every way to write one address. (Providers that distinguish case in the name are rare, and a test
    /// message to one of the two forms is enough.)
    fn mailbox(&self) -> String {
        self.as_str().to_lowercase()
    }
}

impl TestRequest {
    /// Takes its fields out of the body, whose other fields are those of the offer. A day allows `per_day` test messages.
    ///
    /// # Errors
    /// With every fault. If one recipient is not allowed, none gets a message.
    pub(super) fn take(body: &mut Value, allowed: &AllowedRecipients, per_day: u32) -> Result<Self, Faults> {
        let Some(body) = body.as_object_mut() else { return Ok(Self::default()) };
        let mut fields = Fields::of(json!({}))?;
        for field in FIELDS {
            fields.put(field, body.remove(field).unwrap_or_default());
        }
        let parse = |string: &str| TestRecipient::parse(string, allowed);
        let recipients = fields.list("testRecipients", parse).unwrap_or_default();
        if recipients.len() > MAX_TEST_RECIPIENTS {
            fields.fault(
                "testRecipients",
                format!("must have at most {MAX_TEST_RECIPIENTS} recipients, not {}", recipients.len()),
            );
        } else if recipients.len() > per_day as usize {
            // It would not succeed on any day.
            fields.fault("testRecipients", more_than_a_day_allows(per_day, recipients.len()));
        }
        for index in repeated(&recipients) {
            fields.fault(&format!("testRecipients[{index}]"), "is in this list more than once");
        }
        let customer = fields.parsed("testCustomer", str::parse::<CustomerId>);
        fields.finish(&FIELDS)?;
        Ok(Self { recipients, customer })
    }
}

fn more_than_a_day_allows(per_day: u32, recipients: usize) -> String {
    if per_day == 0 {
        return "must be empty: the parameter TestMessagesPerDay of the stack allows no test messages".to_owned();
    }
    format!(
        "must have at most {per_day} recipients, not {recipients}: the parameter TestMessagesPerDay of the stack allows no \
         more test messages on a day"
    )
}

/// The places of recipients that are in the list before.
fn repeated(recipients: &[TestRecipient]) -> Vec<usize> {
    let mut seen = HashSet::new();
    (0..recipients.len()).filter(|index| !seen.insert(recipients[*index].mailbox())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(recipients: Value) -> Result<TestRequest, Faults> {
        let allowed = "b.example,c.example,+35191".parse().unwrap();
        TestRequest::take(&mut json!({"code": "A", "testRecipients": recipients}), &allowed, 100)
    }

    fn faulty(recipients: &Value) -> Vec<String> {
        let faults = request(recipients.clone()).map(|_| ()).unwrap_err().into_vec();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn test_recipient_is_an_email_address_or_a_mobile_number() {
        assert_eq!(request(json!(["a@b.example", "+351912345678"])).map(|tests| tests.recipients.len()).ok(), Some(2));
        assert!(request(Value::Null).is_ok_and(|tests| tests.recipients.is_empty() && tests.customer.is_none()));
        for (invalid, field) in [
            (json!("a@b.example"), "testRecipients"),
            (json!(["a@b.example", "no-address"]), "testRecipients[1]"),
            (json!((0..11).map(|i| format!("a{i}@b.example")).collect::<Vec<_>>()), "testRecipients"),
        ] {
            assert_eq!(faulty(&invalid), [field]);
        }
    }

    #[test]
    fn test_recipient_outside_the_allowed_is_refused_by_its_place_with_the_remedy() {
        let recipients =
            json!(["a@b.example", "outsider@evil.example", "+351912345678", "+351961234567", "+19005550000"]);
        let faults = request(recipients).map(|_| ()).unwrap_err().into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["testRecipients[1]", "testRecipients[3]", "testRecipients[4]"]);
        for fault in &faults[..2] {
            let detail = fault.to_string();
            assert!(
                detail.contains("AllowedTestRecipients") && detail.contains("b.example, c.example, +35191"),
                "{detail}"
            );
        }
    }

    #[test]
    fn more_recipients_than_a_day_allows_are_refused_with_the_parameter_that_says_so() {
        for (per_day, count, refusal) in [
            (0, 0, None),
            (0, 1, Some("must be empty: the parameter TestMessagesPerDay of the stack allows no test messages")),
            (2, 2, None),
            (
                2,
                3,
                Some("must have at most 2 recipients, not 3: the parameter TestMessagesPerDay of the stack allows no"),
            ),
        ] {
            let recipients: Vec<_> = (0..count).map(|number| format!("a{number}@b.example")).collect();
            let mut body = json!({"testRecipients": recipients});
            let taken = TestRequest::take(&mut body, &"b.example".parse().unwrap(), per_day);
            let error = taken.map(|_| ()).map_err(|faults| faults.to_string()).err();
            assert_eq!(error.is_some(), refusal.is_some(), "{error:?}");
            assert!(error.unwrap_or_default().contains(refusal.unwrap_or_default()), "{per_day} {count}");
        }
    }

    #[test]
    fn test_recipient_that_is_repeated_is_refused_by_its_place() {
        for (recipients, fields) in [
            (json!(["a@b.example", "a@b.example"]), vec!["testRecipients[1]"]),
            (json!(["Asha@B.example", "c@b.example", "asha@b.EXAMPLE"]), vec!["testRecipients[2]"]),
            (json!(["+351912345678", "a@b.example", "+351912345678"]), vec!["testRecipients[2]"]),
            (json!(["a@b.example", "A@b.example", "a@B.example"]), vec!["testRecipients[1]", "testRecipients[2]"]),
        ] {
            assert_eq!(faulty(&recipients), fields, "{recipients}");
        }
        let different = json!(["a@b.example", "a+1@b.example", "a@c.example", "+351912345678", "+351912345679"]);
        assert_eq!(request(different).map(|tests| tests.recipients.len()).ok(), Some(5));
    }

    #[test]
    fn fields_of_the_test_are_taken_out_of_the_body() {
        let mut body = json!({"code": "A", "testRecipients": [], "testCustomer": "c-1"});
        let tests = TestRequest::take(&mut body, &AllowedRecipients::default(), 100).map_err(|error| error.to_string());
        assert_eq!(tests.unwrap().customer.unwrap().as_str(), "c-1");
        assert_eq!(body, json!({"code": "A"}));
        for wrong in [json!(5), json!("no id"), json!("")] {
            let mut body = json!({"testCustomer": wrong});
            let faults = TestRequest::take(&mut body, &AllowedRecipients::default(), 100).map(|_| ()).unwrap_err();
            assert!(faults.to_string().starts_with("testCustomer "), "{faults}");
        }
    }
}
