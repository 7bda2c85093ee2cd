//! Which language of an offer a customer gets, and its texts in that language.

use language::Language;

use super::announcement::Announcement;
use super::translation::Translation;
use crate::link::LinkUrl;
use crate::text::Text;

/// A text in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InLanguage<'a, T> {
    pub text: &'a T,
    /// Whether it is the translation's; otherwise the translation lacks it, and it is the offer's own.
    pub is_translated: bool,
}

/// All texts of an offer in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts<'a> {
    pub subject: InLanguage<'a, Text>,
    pub description: InLanguage<'a, Text>,
    pub link: Option<LinkTexts<'a>>,
    pub preheader: Option<InLanguage<'a, Text>>,
    pub terms: Option<InLanguage<'a, Text>>,
    pub image: Option<ImageTexts<'a>>,
}

/// The texts of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTexts<'a> {
    pub url: InLanguage<'a, LinkUrl>,
    pub label: InLanguage<'a, Text>,
}

/// The texts of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTexts<'a> {
    pub url: InLanguage<'a, LinkUrl>,
    pub alt: InLanguage<'a, Text>,
}

impl<'a> Texts<'a> {
    /// Each of them, with those of the URLs.
    pub fn all(&self) -> impl Iterator<Item = &'a Text> + use<'a> {
        let Self { subject, description, link, preheader, terms, image } = self;
        let (link, image) = (link.as_ref(), image.as_ref());
        let texts = [
            Some(subject.text),
            Some(description.text),
            link.map(|link| link.url.text.as_text()),
            link.map(|link| link.label.text),
            preheader.as_ref().map(|preheader| preheader.text),
            terms.as_ref().map(|terms| terms.text),
            image.map(|image| image.url.text.as_text()),
            image.map(|image| image.alt.text),
        ];
        texts.into_iter().flatten()
    }
}

impl Announcement {
    /// The id under which its text in this language is registered in India (DLT). A translation is another text, so it has
    /// an id of its own or none. `None` in the offer's own language: the stack's.
    pub fn dlt_template_id(&self, language: &Language) -> Option<&str> {
        let own = match self.translations.get(language) {
            Some(translation) => translation.sms.as_ref().and_then(|sms| sms.dlt_template_id.as_ref()),
            None => self.sms.dlt_template_id.as_ref(),
        };
        own.map(String::as_str)
    }

    /// The languages that it is in; the first one is its own.
    pub fn languages<'a>(&'a self, default_language: &'a Language) -> Vec<&'a Language> {
        std::iter::once(self.language(default_language)).chain(self.translations.keys()).collect()
    }

    /// Its own language.
    pub fn language<'a>(&'a self, default_language: &'a Language) -> &'a Language {
        self.language.as_ref().unwrap_or(default_language)
    }

    /// The language that a customer with this locale gets: its own if none of its languages matches.
    pub fn language_for<'a>(&'a self, locale: Option<&str>, default_language: &'a Language) -> &'a Language {
        locale
            .and_then(|locale| self.matching_language(locale, default_language))
            .unwrap_or_else(|| self.language(default_language))
    }

    /// The one of its languages that matches this locale.
    pub fn matching_language<'a>(&'a self, locale: &str, default_language: &'a Language) -> Option<&'a Language> {
        Language::lookup(locale, self.languages(default_language))
    }

    /// Its texts in one of its languages. What the translation lacks is as in its own language; what the offer itself lacks
    /// is not sent, unless it is a preheader or terms.
    pub fn texts_in(&self, language: &Language) -> Texts<'_> {
        let translation = self.translations.get(language);
        let (link, image) = (translation.and_then(|t| t.link.as_ref()), translation.and_then(|t| t.image.as_ref()));
        let translated = |text: fn(&Translation) -> Option<&Text>| translation.and_then(text);
        let (preheader, terms) = (translated(|t| t.preheader.as_ref()), translated(|t| t.terms.as_ref()));
        Texts {
            subject: choose(translated(|t| t.subject.as_ref()), &self.subject),
            description: choose(translated(|t| t.description.as_ref()), &self.description),
            link: self.link.as_ref().map(|own| LinkTexts {
                url: choose(link.and_then(|link| link.url.as_ref()), &own.url),
                label: choose(link.and_then(|link| link.label.as_ref()), &own.label),
            }),
            preheader: preheader.or(self.preheader.as_ref()).map(|own| choose(preheader, own)),
            terms: terms.or(self.terms.as_ref()).map(|own| choose(terms, own)),
            image: self.image.as_ref().map(|own| ImageTexts {
                url: choose(image.and_then(|image| image.url.as_ref()), &own.url),
                alt: choose(image.and_then(|image| image.alt.as_ref()), &own.alt),
            }),
        }
    }
}

fn choose<'a, T>(translated: Option<&'a T>, own: &'a T) -> InLanguage<'a, T> {
    InLanguage { text: translated.unwrap_or(own), is_translated: translated.is_some() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An announcement whose every text is this one, in a language of its own.
    fn announcement(translation: &Value) -> Announcement {
        let url = "https://bank.example/own";
        serde_json::from_value(json!({
            "subject": "own", "description": "own", "link": {"url": url, "label": "own"}, "preheader": "own",
            "terms": "own", "image": {"url": url, "alt": "own"}, "language": "en", "translations": {"de": translation},
        }))
        .unwrap()
    }

    fn sources(texts: &Texts<'_>) -> Vec<String> {
        texts.all().map(|text| text.source().trim_start_matches("https://bank.example/").to_owned()).collect()
    }

    #[test]
    fn each_text_is_the_translations_or_else_the_offers_own() {
        let german = "de".parse().unwrap();
        let url = "https://bank.example/de";
        let whole = json!({
            "subject": "de", "description": "de", "link": {"url": url, "label": "de"}, "preheader": "de", "terms": "de",
            "image": {"url": url, "alt": "de"},
        });
        let announcement = announcement(&whole);
        assert_eq!(sources(&announcement.texts_in(&german)), ["de"; 8]);
        for own in [Language::english(), "fr".parse().unwrap()] {
            let texts = announcement.texts_in(&own);
            assert_eq!(sources(&texts), ["own"; 8]);
            assert!(!texts.subject.is_translated && !texts.image.unwrap().url.is_translated, "{own}");
        }
    }

    #[test]
    fn one_text_of_a_translation_changes_no_other() {
        let url = "https://bank.example/de";
        for (number, translation) in [
            json!({"subject": "de"}),
            json!({"description": "de"}),
            json!({"link": {"url": url}}),
            json!({"link": {"label": "de"}}),
            json!({"preheader": "de"}),
            json!({"terms": "de"}),
            json!({"image": {"url": url}}),
            json!({"image": {"alt": "de"}}),
        ]
        .iter()
        .enumerate()
        {
            let announcement = announcement(translation);
            let texts = announcement.texts_in(&"de".parse().unwrap());
            let mut expected = ["own"; 8];
            expected[number] = "de";
            assert_eq!(sources(&texts), expected, "{translation}");
            let (link, image) = (texts.link.unwrap(), texts.image.unwrap());
            let flags = [
                texts.subject.is_translated,
                texts.description.is_translated,
                link.url.is_translated,
                link.label.is_translated,
                texts.preheader.unwrap().is_translated,
                texts.terms.unwrap().is_translated,
                image.url.is_translated,
                image.alt.is_translated,
            ];
            assert_eq!(flags, std::array::from_fn(|place| place == number), "{translation}");
        }
    }

    #[test]
    fn translation_may_add_a_preheader_and_terms() {
        let stored = json!({"subject": "own", "description": "own", "translations": {"de": {
            "preheader": "de", "terms": "de", "link": {"label": "de"}
        }}});
        let announcement: Announcement = serde_json::from_value(stored).unwrap();
        assert_eq!(sources(&announcement.texts_in(&"de".parse().unwrap())), ["own", "own", "de", "de"]);
    }
}
