//! The text message of an offer.

use domain::offer::{Rendered, parse_dlt_id};
use domain::{AddressHash, Channel, Customer, Offer};
use language::{Catalogue, Language};
use runtime::settings::{self, SettingError};

use super::Compose;
use super::alphabet::transliteration::in_gsm;
use super::alphabet::{Alphabet, ELLIPSIS, OutsideGsm, SmsAlphabet, plain};
use super::letterhead::one_line;
use super::plain_text::plain_text;
use super::segments::{count, fit};

/// A text message.
#[derive(Clone, PartialEq, Eq)]
pub struct TextMessage {
    /// The recipient's number, in E.164.
    pub to: String,
    /// The text.
    pub text: String,
    /// For a number in India.
    pub dlt: DltIds,
}

/// Without number and text, so that neither reaches a log by accident.
impl std::fmt::Debug for TextMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextMessage").finish_non_exhaustive()
    }
}

/// What operators in India ask of a text message: the ids under which sender and text are registered (DLT: Distributed
/// Ledger Technology; Telecom Commercial Communications Customer Preference Regulations, 2018).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DltIds {
    /// The bank's.
    pub entity: Option<String>,
    /// The text's.
    pub template: Option<String>,
}

/// How text messages are composed.
#[derive(Debug, Clone)]
pub struct SmsSettings {
    /// A text begins with it.
    pub brand_name: String,
    /// How to opt out. `None`: what the catalogue of the message's language says.
    pub opt_out: Option<String>,
    /// The maximum number of segments of a text.
    pub segments: usize,
    pub alphabet: SmsAlphabet,
    /// The language of offers that do not say their own.
    pub default_language: Language,
    /// Of offers that do not say their own.
    pub dlt: DltIds,
}

/// A composed text.
#[derive(Clone, PartialEq, Eq)]
pub struct SmsText {
    pub text: String,
    /// How many segments it takes.
    pub segments: usize,
    pub alphabet: Alphabet,
    /// Whether a part of the offer was left out.
    pub was_cut: bool,
    /// Whether letters or symbols were replaced, other than typographic quotes, dashes and spaces.
    pub transliterated: bool,
}

/// Without the text, so that it does not reach a log by accident.
impl std::fmt::Debug for SmsText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmsText").field("segments", &self.segments).finish_non_exhaustive()
    }
}

/// Composes offers as text messages: brand name, subject and description; then, on lines of their own that are never cut,
/// the link's address and how to opt out.
#[derive(Debug, Clone)]
pub struct SmsComposer {
    settings: SmsSettings,
}

/// Maximum length of `SmsOptOutText`, in characters (`template.yaml`).
const OPT_OUT_LIMIT: usize = 60;
/// How much of a description is looked at, in characters: more than SNS accepts in a message (1,600 bytes).
const DESCRIPTION_LIMIT: usize = 10_000;
/// The least that must be left for an offer, in characters.
const LEAST_OFFER: usize = 20;

/// Settings with which no offer could be composed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSettings {
    /// Brand name and opt-out line leave an offer no room.
    #[error(
        "leaves no room for an offer: with BrandName, the opt-out line and {LEAST_OFFER} characters, a text has {needed} \
         segments, and SmsSegments allows {allowed}; shorten BrandName or SmsOptOutText, or raise SmsSegments"
    )]
    NoRoom { needed: usize, allowed: usize },
    /// What begins or ends each text would be refused.
    #[error("{reason}, and SmsAlphabet is refuse")]
    Refused { parameter: &'static str, reason: String },
}

impl UnusableSettings {
    fn parameter(&self) -> &'static str {
        match self {
            Self::NoRoom { .. } => "SmsOptOutText",
            Self::Refused { parameter, .. } => parameter,
        }
    }
}

/// What a text consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    brand_name: String,
    subject: String,
    description: String,
    /// The link's address: ASCII, and never changed.
    url: Option<String>,
    opt_out: String,
}

impl Parts {
    fn head(&self) -> String {
        format!("{}: ", self.brand_name)
    }

    fn body(&self) -> String {
        format!("{}\n{}", self.subject, self.description)
    }

    fn foot(&self) -> String {
        let url = self.url.as_ref().map(|url| format!("\n{url}")).unwrap_or_default();
        format!("{url}\n{}", self.opt_out)
    }

    fn whole(&self) -> String {
        format!("{}{}{}", self.head(), self.body(), self.foot())
    }

    fn plain(self) -> Self {
        Self {
            brand_name: plain(&self.brand_name),
            subject: plain(&self.subject),
            description: plain(&self.description),
            url: self.url,
            opt_out: plain(&self.opt_out),
        }
    }

    /// In the GSM alphabet, if all of it can be.
    fn in_gsm(&self) -> Option<Self> {
        let write = |text: &str| in_gsm(text).map(std::borrow::Cow::into_owned);
        Some(Self {
            brand_name: write(&self.brand_name)?,
            subject: write(&self.subject)?,
            description: write(&self.description)?,
            url: self.url.clone(),
            opt_out: write(&self.opt_out)?,
        })
    }

    /// As they are sent, and whether they were transliterated. That never costs a segment more.
    fn spelled(self, alphabet: SmsAlphabet) -> (Self, bool) {
        let kept = self.plain();
        let whole = kept.whole();
        if alphabet != SmsAlphabet::Gsm || Alphabet::of(&whole) == Alphabet::Gsm {
            return (kept, false);
        }
        match kept.in_gsm().filter(|gsm| count(&gsm.whole()) <= count(&whole)) {
            Some(gsm) => (gsm, true),
            None => (kept, false),
        }
    }
}

impl SmsComposer {
    /// # Errors
    /// If the settings leave next to nothing for an offer, or refuse each.
    pub fn new(settings: SmsSettings) -> Result<Self, UnusableSettings> {
        let composer = Self { settings };
        let (settings, language) = (&composer.settings, &composer.settings.default_language);
        let opt_out = composer.opt_out(language);
        if settings.alphabet == SmsAlphabet::Refuse {
            let refused = |parameter, reason| Err(UnusableSettings::Refused { parameter, reason });
            if let Some(outside) = OutsideGsm::first_in(&settings.brand_name) {
                return refused("BrandName", outside.to_string());
            }
            match OutsideGsm::first_in(&opt_out) {
                Some(outside) if settings.opt_out.is_some() => return refused("SmsOptOutText", outside.to_string()),
                Some(outside) => {
                    return refused(
                        "SmsOptOutText",
                        format!("is empty: the line in the language {language} {outside}"),
                    );
                }
                None => {}
            }
        }
        let least = Parts {
            brand_name: settings.brand_name.clone(),
            subject: "x".repeat(LEAST_OFFER - 2),
            // One character after the line break.
            description: format!("x{ELLIPSIS}"),
            url: None,
            opt_out,
        };
        let needed = count(&least.spelled(settings.alphabet).0.whole());
        if needed > settings.segments {
            return Err(UnusableSettings::NoRoom { needed, allowed: settings.segments });
        }
        Ok(composer)
    }

    /// The maximum number of segments of a message.
    pub fn segments(&self) -> usize {
        self.settings.segments
    }

    fn opt_out(&self, language: &Language) -> String {
        self.settings.opt_out.clone().unwrap_or_else(|| Catalogue::of_or_english(language).sms_opt_out())
    }

    /// The text for one customer.
    ///
    /// # Errors
    /// Says why it cannot be composed, without the customer's number or values.
    pub fn text(&self, offer: &Offer, customer: &Customer) -> Result<SmsText, String> {
        self.write(offer, &offer.render(customer, Channel::Sms, &self.settings.default_language)?)
    }

    /// The text of an offer that is rendered for a customer.
    ///
    /// # Errors
    /// As those of [`text`](Self::text).
    pub fn write(&self, offer: &Offer, rendered: &Rendered) -> Result<SmsText, String> {
        let description = plain_text(&rendered.description);
        let url = rendered.link.as_ref().map(|link| link.url.clone());
        let opt_out = self.opt_out(&rendered.language);
        if self.settings.alphabet == SmsAlphabet::Refuse
            && let Some(refusal) = refusal(offer, rendered, &description, url.as_deref(), &opt_out)
        {
            return Err(format!("{refusal}, and SmsAlphabet is refuse"));
        }
        let parts = Parts {
            brand_name: self.settings.brand_name.clone(),
            subject: one_line(&rendered.subject),
            // More would be cut in any case, and takes long to fit.
            description: description.trim().chars().take(DESCRIPTION_LIMIT).collect(),
            url,
            opt_out,
        };
        let (parts, transliterated) = parts.spelled(self.settings.alphabet);
        let (whole, allowed) = (parts.whole(), self.settings.segments);
        let needed = count(&whole);
        if needed <= allowed {
            let alphabet = Alphabet::of(&whole);
            return Ok(SmsText { text: whole, segments: needed, alphabet, was_cut: false, transliterated });
        }
        if !offer.announcement.sms.cut {
            return Err(format!(
                "the text message takes {needed} segments; SmsSegments allows {allowed}, and the offer must not be cut"
            ));
        }
        // Whether it needs UCS-2, which leaves less than half of the room, is known only now; so is the link.
        let text = fit(&parts.head(), &parts.body(), &parts.foot(), allowed, LEAST_OFFER).ok_or_else(|| {
            format!(
                "no {LEAST_OFFER} characters of the offer fit into the text message: one that is not in the GSM alphabet \
                 leaves less than half of the room; shorten the link's address, BrandName or SmsOptOutText, or raise \
                 SmsSegments"
            )
        })?;
        Ok(SmsText { segments: count(&text), alphabet: Alphabet::of(&text), text, was_cut: true, transliterated })
    }

    /// A translation is another text than that of the stack's id.
    fn dlt(&self, offer: &Offer, language: &Language) -> DltIds {
        let (announcement, stack) = (&offer.announcement, &self.settings.dlt);
        let template = announcement.dlt_template_id(language).map(str::to_owned);
        let is_translated = announcement.translations.contains_key(language);
        DltIds {
            entity: announcement.sms.dlt_entity_id.as_ref().or(stack.entity.as_ref()).cloned(),
            template: template.or_else(|| stack.template.clone().filter(|_| !is_translated)),
        }
    }
}

/// The first part of a text that is not in the GSM alphabet, with the character if it is the offer's own: one of the
/// customer's name would disclose a part of it.
fn refusal(offer: &Offer, rendered: &Rendered, description: &str, url: Option<&str>, opt_out: &str) -> Option<String> {
    let texts = offer.announcement.texts_in(&rendered.language);
    for (field, posted, rendered_text) in
        [("subject", texts.subject, rendered.subject.as_str()), ("description", texts.description, description)]
    {
        if OutsideGsm::first_in(rendered_text).is_none() {
            continue;
        }
        let translations =
            if posted.is_translated { format!("translations.{}.", rendered.language) } else { String::new() };
        let field = translations + field;
        let source = posted.text.source();
        return Some(match OutsideGsm::all_in(source).find(|outside| rendered_text.contains(outside.character)) {
            Some(outside) => format!("{field}: the text {outside}"),
            None => format!(
                "{field}: with a value of the customer, the text has a character that is not in the GSM alphabet"
            ),
        });
    }
    let named = |name: &str, text| OutsideGsm::first_in(text).map(|outside| format!("{name} {outside}"));
    url.and_then(|url| named("link.url: the address", url)).or_else(|| named("the opt-out line", opt_out))
}

/// The composer that the template's parameters describe.
///
/// # Errors
/// If one of them is missing or invalid, or they leave no room for an offer.
pub fn sms_composer() -> Result<SmsComposer, SettingError> {
    let opt_out = settings::optional_parameter::<String>("SmsOptOutText")?
        .map(|_| settings::line("SmsOptOutText", OPT_OUT_LIMIT))
        .transpose()?;
    let settings = SmsSettings {
        brand_name: settings::brand_name()?,
        opt_out,
        segments: settings::parameter("SmsSegments")?,
        alphabet: settings::parameter("SmsAlphabet")?,
        default_language: settings::default_language()?,
        dlt: DltIds { entity: dlt_id("SmsDltEntityId")?, template: dlt_id("SmsDltTemplateId")? },
    };
    SmsComposer::new(settings).map_err(|error| SettingError::parameter(error.parameter(), error))
}

fn dlt_id(name: &str) -> Result<Option<String>, SettingError> {
    let id: Option<String> = settings::optional_parameter(name)?;
    id.map(|id| parse_dlt_id(&id)).transpose().map_err(|error| SettingError::parameter(name, error))
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
        let rendered = offer.render(customer, Channel::Sms, &self.settings.default_language)?;
        let text = self.write(offer, &rendered)?.text;
        Ok(TextMessage { to, text, dlt: self.dlt(offer, &rendered.language) })
    }
}

#[cfg(test)]
mod tests;
