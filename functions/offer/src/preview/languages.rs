//! What is counted of each language of an offer: the customers who get it, and their messages.

use std::collections::{BTreeMap, HashMap};

use domain::offer::Announcement;
use language::Language;

use super::ranking::Ranking;
use super::texts::TextCounts;

/// How many locales are matched once only. Banks have a few dozen.
const KNOWN_LIMIT: usize = 1_000;

/// What was counted of one language.
#[derive(Debug, Default)]
pub(super) struct LanguageTally {
    /// Customers who get it.
    pub(super) customers: u64,
    /// Of the text messages that were composed.
    pub(super) texts: TextCounts,
    /// The number of characters of the longest subject that was composed; 0 if there is none.
    pub(super) longest_subject: usize,
}

/// Counts customers by the language that they get.
#[derive(Debug, Default)]
pub(super) struct Languages {
    /// The language that matches each locale; `None` if the offer has none. Most customers are only counted, and a match
    /// would take longer than that. Rendering an offer matches again, but for as long as messages are composed only.
    known: HashMap<String, Option<Language>>,
    pub(super) each: BTreeMap<Language, LanguageTally>,
    /// Customers whose locale matches no language of the offer.
    pub(super) fallen_back: u64,
    /// The same, by the language of their locale.
    pub(super) fallback_locales: Ranking,
    /// Customers without a locale.
    pub(super) without_locale: u64,
}

impl Languages {
    /// Counts a customer with this locale, and returns the language that they get.
    pub(super) fn count(
        &mut self,
        announcement: &Announcement,
        default_language: &Language,
        locale: Option<&str>,
    ) -> Language {
        let matching = locale.and_then(|locale| self.matching(announcement, default_language, locale));
        match locale {
            None => self.without_locale += 1,
            Some(locale) if matching.is_none() => {
                self.fallen_back += 1;
                self.fallback_locales.add(language_of(locale), 1);
            }
            Some(_) => {}
        }
        let language = matching.unwrap_or_else(|| announcement.language(default_language).clone());
        self.of(&language).customers += 1;
        language
    }

    fn matching(&mut self, announcement: &Announcement, default_language: &Language, locale: &str) -> Option<Language> {
        if let Some(found) = self.known.get(locale) {
            return found.clone();
        }
        let found = announcement.matching_language(locale, default_language).cloned();
        if self.known.len() < KNOWN_LIMIT {
            self.known.insert(locale.to_owned(), found.clone());
        }
        found
    }

    pub(super) fn of(&mut self, language: &Language) -> &mut LanguageTally {
        self.each.entry(language.clone()).or_default()
    }

    /// What was counted of the text messages in all languages.
    pub(super) fn texts(&self) -> TextCounts {
        let mut total = TextCounts::default();
        self.each.values().for_each(|language| total += language.texts);
        total
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (language, LanguageTally { customers, texts, longest_subject }) in other.each {
            let tally = self.each.entry(language).or_default();
            tally.customers += customers;
            tally.texts += texts;
            tally.longest_subject = tally.longest_subject.max(longest_subject);
        }
        self.fallen_back += other.fallen_back;
        self.fallback_locales.merge(&other.fallback_locales);
        self.without_locale += other.without_locale;
    }
}

/// The language of a locale: `sv` of `sv-SE`.
fn language_of(locale: &str) -> &str {
    locale.split('-').next().unwrap_or(locale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_customer_is_counted_in_the_language_that_they_get() {
        let body = json!({"code": "A", "description": "B", "translations": {"pt-PT": {}, "de": {}}});
        let offer = testing::offer(body);
        let english = Language::english();
        let mut both = [Languages::default(), Languages::default()];
        for (number, (locale, language)) in [
            (Some("en-IN"), "en"),
            (Some("pt-PT"), "pt-PT"),
            (Some("pt-AO"), "pt-PT"),
            (Some("pt-BR"), "en"),
            (Some("sv-SE"), "en"),
            (Some("sv-FI"), "en"),
            (Some("sv-FI"), "en"),
            (Some("und"), "en"),
            (Some("de-CH"), "de"),
            (None, "en"),
            (None, "en"),
        ]
        .into_iter()
        .enumerate()
        {
            let got = both[number % 2].count(&offer.announcement, &english, locale);
            assert_eq!(got.to_string(), language, "{locale:?}");
            let tally = both[number % 2].of(&got);
            tally.texts += TextCounts { written: 1, cut: 1, ucs2: 0, transliterated: 0 };
            tally.longest_subject = tally.longest_subject.max(number);
        }
        let [mut all, other] = both;
        all.merge(other);
        let each = all.each.iter().map(|(language, LanguageTally { customers, texts, longest_subject })| {
            (language.to_string(), *customers, texts.cut, *longest_subject)
        });
        let expected = [("de".to_owned(), 1, 1, 8), ("en".to_owned(), 8, 8, 10), ("pt-PT".to_owned(), 2, 2, 2)];
        assert_eq!(each.collect::<Vec<_>>(), expected);
        assert_eq!(all.texts(), TextCounts { written: 11, cut: 11, ucs2: 0, transliterated: 0 });
        assert_eq!((all.fallen_back, all.without_locale), (5, 2));
        assert_eq!(all.fallback_locales.top(20), [("sv", 3), ("pt", 1), ("und", 1)]);
    }
}
