//! The text message of an offer.

use domain::offer::Rendered;
use domain::{Channel, Customer, Offer};

use super::Compose;
use super::segments::{fit, plain};

/// A text message.
#[derive(Clone, PartialEq, Eq)]
pub struct TextMessage {
    /// The recipient's number, in E.164.
    pub to: String,
    /// The text.
    pub text: String,
}

/// Without number and text, so that neither reaches a log by accident.
impl std::fmt::Debug for TextMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextMessage").finish_non_exhaustive()
    }
}

/// Composes offers as text messages: brand name, subject, description, opt-out wording.
#[derive(Debug, Clone)]
pub struct SmsComposer {
    /// The bank's name, at the start.
    pub brand_name: String,
    /// The opt-out wording, on a line of its own; never cut.
    pub opt_out: String,
    /// The maximum number of segments of a message.
    pub segments: usize,
}

impl SmsComposer {
    /// The text for one customer.
    ///
    /// # Errors
    /// Says why it cannot be composed, without the customer's number or name.
    pub fn text(&self, offer: &Offer, customer: &Customer) -> Result<String, String> {
        let Rendered { subject, description } = offer.render(customer)?;
        let body = plain(&format!("{}: {subject}\n{description}", self.brand_name));
        fit(&body, &plain(&format!("\n{}", self.opt_out)), self.segments)
            .ok_or_else(|| "the opt-out wording leaves no room; see SmsOptOutText and SmsSegments".to_owned())
    }
}

impl Compose for SmsComposer {
    type Message = TextMessage;
    type Keys = ();

    fn channel(&self) -> Channel {
        Channel::Sms
    }

    fn address<'c>(&self, customer: &'c Customer) -> Option<&'c str> {
        customer.mobile.as_ref().map(domain::Mobile::as_str)
    }

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    fn compose(&self, (): &(), offer: &Offer, customer: &Customer) -> Result<TextMessage, String> {
        let to = self.address(customer).unwrap_or_default().to_owned();
        Ok(TextMessage { to, text: self.text(offer, customer)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(subject: &str, description: &str, segments: usize) -> Result<String, String> {
        let composer = SmsComposer { brand_name: "A Bank".into(), opt_out: "Reply STOP to opt out".into(), segments };
        let offer = json!({"code": "X", "subject": subject, "description": description});
        let customer = json!({"name": "Asha", "mobile": "+351912345678", "channels": ["sms"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        composer.compose(&(), &testing::offer(offer), &customer).map(|message| {
            assert_eq!(message.to, "+351912345678");
            assert!(!format!("{message:?}").contains("351"));
            message.text
        })
    }

    #[test]
    fn text_has_brand_offer_and_opt_out_wording() {
        let text = text("Save", "Dear {{ customer.name }}, get 5%", 1).unwrap();
        assert_eq!(text, "A Bank: Save\nDear Asha, get 5%\nReply STOP to opt out");
    }

    #[test]
    fn long_offer_is_cut_but_its_opt_out_wording_is_not() {
        let text = text("Save", &"Get 5% cashback. ".repeat(40), 2).unwrap();
        assert!(text.ends_with("...\nReply STOP to opt out"), "{text}");
        assert_eq!(crate::compose::segments::count(&text), 2);
    }

    #[test]
    fn missing_attribute_is_an_error_that_names_it() {
        assert!(text("Save", "{{ customer.city }}", 1).unwrap_err().contains("no city"));
    }
}
