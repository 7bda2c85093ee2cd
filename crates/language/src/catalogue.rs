//! The fixed texts of messages and of the unsubscribe page, in each language.
//!
//! A catalogue is a file of Fluent messages in `catalogues/`, named after its language. A language is added by adding its
//! file; the tests say what it lacks.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};

use crate::Language;
use crate::formats::plain_spaces;

/// The files in `catalogues/`: each one's language and content.
const SOURCES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/catalogues.rs"));

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| {
    SOURCES
        .iter()
        .map(|(tag, source)| {
            let language: Language = tag.parse().expect("a catalogue is named after its language; a test checks each");
            Catalogue { bundle: LazyLock::new(Box::new(move || bundle(tag, source))), language }
        })
        .collect()
});

static LANGUAGES: LazyLock<Vec<Language>> =
    LazyLock::new(|| CATALOGUES.iter().map(|catalogue| catalogue.language.clone()).collect());

/// The fixed texts in one language.
pub struct Catalogue {
    language: Language,
    /// Parsed when a text is first needed.
    bundle: LazyLock<Bundle, Box<dyn FnOnce() -> Bundle + Send>>,
}

type Bundle = FluentBundle<FluentResource>;

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").field("language", &self.language).finish_non_exhaustive()
    }
}

/// How a message reaches a reader: the variants of texts that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    Email,
    Sms,
}

impl Medium {
    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// A page's title and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageText {
    pub title: String,
    pub text: String,
}

fn bundle(tag: &str, source: &str) -> Bundle {
    let resource = FluentResource::try_new(source.to_owned()).expect("a catalogue is well-formed; a test checks each");
    let mut bundle = FluentBundle::new_concurrent(vec![tag.parse().expect("a tag is one for Fluent as well")]);
    // Isolation marks would end up in subjects and text messages, which do not always hide them.
    bundle.set_use_isolating(false);
    bundle.add_resource(resource).expect("a catalogue has each text once; a test checks each");
    bundle
}

impl Catalogue {
    /// The languages that have a catalogue.
    pub fn languages() -> &'static [Language] {
        &LANGUAGES
    }

    /// The catalogue for messages in this language: its own, or that of the more general language. `None` if there is none.
    pub fn of(language: &Language) -> Option<&'static Self> {
        let found = Language::lookup(&language.to_string(), Self::languages())?;
        CATALOGUES.iter().find(|catalogue| catalogue.language == *found)
    }

    /// As [`Catalogue::of`], and in English if there is none. Every language of an offer has one when it is posted; a later
    /// release may have removed it.
    pub fn of_or_english(language: &Language) -> &'static Self {
        Self::of(language).unwrap_or_else(Self::english)
    }

    /// The catalogue in English.
    ///
    /// # Panics
    /// Never: a test checks that it is there.
    pub fn english() -> &'static Self {
        Self::of(&Language::english()).expect("there is a catalogue in English; a test checks it")
    }

    /// The language that its texts are in.
    pub fn language(&self) -> &Language {
        &self.language
    }

    /// "Valid until …."
    pub fn valid_until(&self, date: &str) -> String {
        self.text("offer-valid-until", &[("date", date)])
    }

    /// Why the customer receives an e-mail.
    pub fn email_reason(&self, brand: &str) -> String {
        self.text("email-reason", &[("brand", brand)])
    }

    /// That the bank never asks for secrets.
    pub fn email_security(&self, brand: &str) -> String {
        self.text("email-security", &[("brand", brand)])
    }

    /// The words of the unsubscribe link.
    pub fn email_unsubscribe(&self) -> String {
        self.text("email-unsubscribe", &[])
    }

    /// How to opt out of text messages.
    pub fn sms_opt_out(&self) -> String {
        self.text("sms-opt-out", &[])
    }

    /// The page of a customer who receives offers.
    pub fn page_subscribed(&self, brand: &str, medium: Medium) -> PageText {
        self.page("page-subscribed", &[("brand", brand), ("channel", medium.as_str())])
    }

    /// The button of that page.
    pub fn page_unsubscribe_button(&self) -> String {
        self.text("page-unsubscribe-button", &[])
    }

    /// The page of a customer who has opted out.
    pub fn page_opted_out(&self, brand: &str, medium: Medium) -> PageText {
        self.page("page-opted-out", &[("brand", brand), ("channel", medium.as_str())])
    }

    /// The button by which they subscribe again.
    pub fn page_subscribe_button(&self) -> String {
        self.text("page-subscribe-button", &[])
    }

    /// The page of a customer who was about to subscribe again, more than so many minutes after they opened it.
    pub fn page_form_expired(&self, brand: &str, minutes: u32) -> PageText {
        let mut args = FluentArgs::new();
        args.set("brand", brand.to_owned());
        args.set("minutes", minutes);
        PageText {
            title: self.format("page-form-expired-title", &args),
            text: self.format("page-form-expired-text", &args),
        }
    }

    /// The page of a customer who has subscribed again.
    pub fn page_subscribed_again(&self, brand: &str, medium: Medium) -> PageText {
        self.page("page-subscribed-again", &[("brand", brand), ("channel", medium.as_str())])
    }

    /// The page of a link that is not valid.
    pub fn page_not_found(&self) -> PageText {
        self.page("page-not-found", &[])
    }

    /// The page that asks to try again.
    pub fn page_unavailable(&self) -> PageText {
        self.page("page-unavailable", &[])
    }

    fn page(&self, name: &str, args: &[(&'static str, &str)]) -> PageText {
        PageText { title: self.text(&format!("{name}-title"), args), text: self.text(&format!("{name}-text"), args) }
    }

    fn text(&self, key: &str, args: &[(&'static str, &str)]) -> String {
        self.format(key, &args.iter().map(|(name, value)| (*name, value.to_owned())).collect())
    }

    fn format(&self, key: &str, args: &FluentArgs<'_>) -> String {
        let pattern = self.bundle.get_message(key).and_then(|message| message.value());
        let pattern = pattern.expect("a catalogue has every text; a test checks each");
        let mut errors = Vec::new();
        let text = plain_spaces(&self.bundle.format_pattern(pattern, Some(args), &mut errors));
        debug_assert!(errors.is_empty(), "{} {key}: {errors:?}", self.language);
        text
    }
}

#[cfg(test)]
mod tests;
