//! The text message of an offer.

use domain::{AddressHash, Channel, Customer, Offer};
use language::Language;
use runtime::settings::{self, SettingError};

use super::Compose;
use super::letterhead::one_line;
use super::plain_text::plain_text;
use super::segments::{ELLIPSIS, count, fit, plain};

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
    brand_name: String,
    /// On a line of its own; never cut.
    opt_out: String,
    segments: usize,
    default_language: Language,
}

/// Maximum length of `SmsOptOutText`, in characters (`template.yaml`).
const OPT_OUT_LIMIT: usize = 60;
/// The least that must be left for an offer, in characters.
const LEAST_OFFER: usize = 20;

/// Brand name and opt-out wording leave an offer no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "leaves no room for an offer: with BrandName, SmsOptOutText and {LEAST_OFFER} characters, a text has {needed} \
     segments, and SmsSegments allows {allowed}; shorten BrandName or SmsOptOutText, or raise SmsSegments"
)]
pub struct NoRoom {
    needed: usize,
    allowed: usize,
}

impl SmsComposer {
    /// Begins texts with `brand_name`, ends them with `opt_out`, and cuts them to `segments`.
    ///
    /// # Errors
    /// If that leaves next to nothing for the offer.
    pub fn new(brand_name: &str, opt_out: &str, segments: usize) -> Result<Self, NoRoom> {
        let (brand_name, opt_out) = (plain(brand_name), plain(opt_out));
        let needed = count(&format!("{brand_name}: {}{ELLIPSIS}\n{opt_out}", "x".repeat(LEAST_OFFER)));
        if needed > segments {
            return Err(NoRoom { needed, allowed: segments });
        }
        Ok(Self { brand_name, opt_out, segments, default_language: Language::english() })
    }

    /// The maximum number of segments of a message.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// The text for one customer.
    ///
    /// # Errors
    /// Says why it cannot be composed, without the customer's number or name.
    pub fn text(&self, offer: &Offer, customer: &Customer) -> Result<String, String> {
        let rendered = offer.render(customer, &self.default_language)?;
        let (subject, description) = (&rendered.subject, plain_text(&rendered.description));
        let (head, foot) = (format!("{}: ", self.brand_name), format!("\n{}", self.opt_out));
        let body = plain(&format!("{}\n{}", one_line(subject), description));
        // Whether it needs UCS-2, which leaves less than half of the room, is known only now.
        fit(&head, &body, &foot, self.segments, LEAST_OFFER).ok_or_else(|| {
            format!(
                "no {LEAST_OFFER} characters of the offer fit into the text message: one that is not in the GSM alphabet \
                 leaves less than half of the room; shorten BrandName or SmsOptOutText, or raise SmsSegments"
            )
        })
    }
}

/// The composer that the template's parameters describe.
///
/// # Errors
/// If one of them is missing or invalid, or they leave no room for an offer.
pub fn sms_composer() -> Result<SmsComposer, SettingError> {
    let opt_out = settings::line("SmsOptOutText", OPT_OUT_LIMIT)?;
    SmsComposer::new(&settings::brand_name()?, &opt_out, settings::parameter("SmsSegments")?)
        .map_err(|error| SettingError::parameter("SmsOptOutText", error))
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

    fn compose(&self, (): &(), offer: &Offer, customer: &Customer, _: &AddressHash) -> Result<TextMessage, String> {
        let to = self.address(customer).unwrap_or_default().to_owned();
        Ok(TextMessage { to, text: self.text(offer, customer)? })
    }
}

#[cfg(test)]
mod tests {
    use domain::offer::SUBJECT_LIMIT;
    use serde_json::json;

    use super::*;

    fn text(subject: &str, description: &str, segments: usize) -> Result<String, String> {
        let composer = SmsComposer::new("A Bank", "Reply STOP to opt out", segments).unwrap();
        let offer = json!({"code": "X", "subject": subject, "description": description});
        let customer = json!({"name": "Asha", "mobile": "+351912345678", "channels": ["sms"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        composer
            .compose(&(), &testing::offer(offer), &customer, &testing::address_hash(Channel::Sms, "+351912345678"))
            .map(|message| {
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
    fn opt_out_wording_must_leave_room_for_an_offer() {
        for (brand_name, opt_out, segments, has_room) in [
            ("A Bank", "Reply STOP to opt out", 1, true),
            ("A Bank", &"x".repeat(60), 1, true),
            (&"x".repeat(100), &"x".repeat(60), 1, false),
            (&"x".repeat(100), &"x".repeat(60), 2, true),
            // One character that is not in the GSM alphabet leaves 70.
            ("A Bank", "Responda PARE para não receber mais", 1, true),
            ("A Bank", "Responda PARE para não receber mais ofertas", 1, false),
            // A typographic apostrophe is replaced.
            ("A Bank", "Don’t want this? Reply STOP to get no more of these offers", 1, true),
        ] {
            let composer = SmsComposer::new(brand_name, opt_out, segments);
            assert_eq!(composer.is_ok(), has_room, "{brand_name}, {opt_out}, {segments}");
        }
        let error = SmsComposer::new("A Bank", &"🎁".repeat(60), 2).unwrap_err().to_string();
        assert!(
            error.contains("SmsOptOutText") && error.contains("3 segments") && error.contains("allows 2"),
            "{error}"
        );
    }

    #[test]
    fn text_without_anything_of_the_offer_is_not_composed() {
        let customer = json!({"name": "Asha", "mobile": "+351912345678", "channels": ["sms"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        let arabic = "احصل على استرداد نقدي بنسبة خمسة بالمئة على كل مشترياتك هذا الشهر";
        // A message in UCS-2 holds 70 units. Head, ellipsis and foot take 27 more than the brand name.
        for (brand, description, kept) in [
            (23, arabic, Some(23)), // with the ellipsis
            (24, arabic, None),
            (60, arabic, None),
            (60, "Get five per cent cashback on all you spend this month, and on what you saved", Some(20)),
            (23, "🎁", Some(3)),
        ] {
            let composer = SmsComposer::new(&"B".repeat(brand), "Reply STOP to opt out", 1).unwrap();
            let offer = testing::offer(json!({"code": "X", "subject": "%", "description": description}));
            let text = composer.text(&offer, &customer);
            let Some(kept) = kept else {
                let error = text.unwrap_err();
                assert!(error.contains("SmsOptOutText") && error.contains("SmsSegments"), "{error}");
                continue;
            };
            let text = text.unwrap();
            let body = text.strip_suffix("\nReply STOP to opt out").unwrap().strip_prefix(&"B".repeat(brand)).unwrap();
            assert!(body.strip_prefix(": ").unwrap().chars().count() >= kept, "{text}");
            assert_eq!(crate::compose::segments::count(&text), 1);
        }
    }

    #[test]
    fn text_message_with_too_long_values_is_not_composed() {
        let long = "{{ customer.name }}".repeat(SUBJECT_LIMIT / 19);
        let offer = json!({"code": "X", "subject": long, "description": "A"});
        let customer = json!({"name": "x".repeat(200), "mobile": "+351912345678", "channels": ["sms"]});
        let customer = Customer::parse("c-1", customer).unwrap();
        let composer = SmsComposer::new("A Bank", "STOP", 2).unwrap();
        let error = composer.text(&testing::offer(offer), &customer).unwrap_err();
        assert_eq!(error, "subject: with the customer's values, the text has more than 400 characters");
    }

    #[test]
    fn missing_attribute_is_an_error_that_names_it() {
        assert!(text("Save", "{{ customer.city }}", 1).unwrap_err().contains("no city"));
    }
}
