//! Which language of an offer each customer gets.

use std::collections::BTreeMap;

use domain::offer::Announcement;
use language::Language;

use super::ranking::Ranking;

/// Counts customers by the language that they get.
#[derive(Debug, Default)]
pub(super) struct Languages {
    /// Customers by the language that they get.
    pub(super) readers: BTreeMap<Language, u64>,
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
        let matching = locale.and_then(|locale| announcement.matching_language(locale, default_language));
        match locale {
            None => self.without_locale += 1,
            Some(locale) if matching.is_none() => {
                self.fallen_back += 1;
                self.fallback_locales.add(language_of(locale), 1);
            }
            Some(_) => {}
        }
        let language = matching.unwrap_or_else(|| announcement.language(default_language)).clone();
        *self.readers.entry(language.clone()).or_default() += 1;
        language
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (language, customers) in other.readers {
            *self.readers.entry(language).or_default() += customers;
        }
        self.fallen_back += other.fallen_back;
        self.fallback_locales.merge(other.fallback_locales);
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
        }
        let [mut all, other] = both;
        all.merge(other);
        let readers: Vec<_> = all.readers.iter().map(|(language, count)| (language.to_string(), *count)).collect();
        assert_eq!(readers, [("de".to_owned(), 1), ("en".to_owned(), 8), ("pt-PT".to_owned(), 2)]);
        assert_eq!((all.fallen_back, all.without_locale), (5, 2));
        assert_eq!(all.fallback_locales.top(20), [("sv", 3), ("pt", 1), ("und", 1)]);
    }
}
