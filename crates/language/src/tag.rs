//! Language tags (BCP 47), and which of several languages suits a customer best.

use std::fmt::{self, Display};
use std::str::FromStr;

use icu_locale::fallback::{LocaleFallbackConfig, LocaleFallbacker, LocaleFallbackerWithConfig};
use icu_locale::{LocaleDirectionality, LocaleExpander};
use icu_locale_core::{LanguageIdentifier, Locale};
use serde::{Deserialize, Serialize};

/// Maximum length of a tag, in characters: what the longest registered ones need (RFC 5646, 4.4.1).
pub const LENGTH_LIMIT: usize = 35;

/// A language: a tag of BCP 47 in its canonical form, such as `pt-PT`. It has no extensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(LanguageIdentifier);

/// The direction in which a language is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    LeftToRight,
    RightToLeft,
}

impl Direction {
    /// The value of the attribute `dir` in HTML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeftToRight => "ltr",
            Self::RightToLeft => "rtl",
        }
    }
}

/// A text that names no language. To follow the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a language tag (BCP 47) such as pt-PT: a language of 2 or 3 letters, then perhaps a script and a region"
)]
pub struct InvalidLanguage;

impl FromStr for Language {
    type Err = InvalidLanguage;

    fn from_str(string: &str) -> Result<Self, InvalidLanguage> {
        let tag = string.replace('_', "-");
        if tag.len() > LENGTH_LIMIT {
            return Err(InvalidLanguage);
        }
        let tag = Locale::normalize(&tag).map_err(|_| InvalidLanguage)?;
        let id: LanguageIdentifier = tag.parse().map_err(|_| InvalidLanguage)?;
        if id.language.is_unknown() { Err(InvalidLanguage) } else { Ok(Self(id)) }
    }
}

impl TryFrom<String> for Language {
    type Error = InvalidLanguage;

    fn try_from(string: String) -> Result<Self, InvalidLanguage> {
        string.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.to_string()
    }
}

impl Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl PartialOrd for Language {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Language {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Language {
    /// English, whose catalogue is always there.
    pub fn english() -> Self {
        Self(icu_locale_core::langid!("en"))
    }

    /// The direction in which its script is written.
    pub fn direction(&self) -> Direction {
        if LocaleDirectionality::new_extended().is_right_to_left(&self.0) {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        }
    }

    /// Whether both are the same language although their tags may differ: `pt` and `pt-BR`, or `zh-TW` and `zh-Hant`.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self == other || shortest(&self.0) == shortest(&other.0)
    }

    /// The one of these languages that a reader with this locale gets: the lookup of RFC 4647, 3.4. The locale becomes more
    /// general step by step, as the Unicode CLDR orders its locales: a reader in `es-AR` gets `es-419` if there is one, then
    /// `es`; a reader in `zh-TW` never gets `zh`, which is written in another script.
    pub fn lookup<'l>(locale: &str, languages: impl IntoIterator<Item = &'l Self> + Clone) -> Option<&'l Self> {
        let wanted = Locale::try_from_str(locale).ok()?.id;
        if let Some(exact) = languages.clone().into_iter().find(|language| language.0 == wanted) {
            return Some(exact);
        }
        let mut steps = FALLBACK.fallback_for((&wanted).into());
        while !steps.get().is_unknown() {
            let step = shortest(&steps.get().into_locale().id);
            let found = languages.clone().into_iter().find(|language| shortest(&language.0) == step);
            if found.is_some() {
                return found;
            }
            steps.step();
        }
        None
    }

    /// This language as it is written in the region of the customer's locale, or else its own.
    pub(crate) fn in_region_of(&self, locale: Option<&str>) -> Locale {
        let mut id = self.0.clone();
        let region = locale.and_then(|locale| Locale::try_from_str(locale).ok()).and_then(|locale| locale.id.region);
        id.region = region.or(id.region);
        id.into()
    }

    #[cfg(test)]
    pub(crate) fn id(&self) -> &LanguageIdentifier {
        &self.0
    }
}

const FALLBACK: LocaleFallbackerWithConfig<'static> =
    LocaleFallbacker::new().for_config(LocaleFallbackConfig::default());
const EXPANDER: LocaleExpander = LocaleExpander::new_common();

/// The tag without what is understood: `pt` for `pt-BR`, `zh-TW` for `zh-Hant-TW` and for `zh-Hant`.
fn shortest(id: &LanguageIdentifier) -> LanguageIdentifier {
    let mut id = id.clone();
    EXPANDER.minimize(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    #[test]
    fn tag_is_canonical_and_names_a_language() {
        for (written, canonical) in
            [("pt_pt", "pt-PT"), ("EN", "en"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419")]
        {
            assert_eq!(language(written).to_string(), canonical);
        }
        for bad in [
            "",
            "und",
            "x",
            "english",
            "en-",
            "en-u-ca-gregory",
            "de-x-bank",
            "pt-PT ",
            "de-1901-1996-abcdefg1-abcdefg2-abcdefg3",
        ] {
            assert_eq!(bad.parse::<Language>(), Err(InvalidLanguage), "{bad}");
        }
    }

    #[test]
    fn reader_gets_the_closest_language() {
        let languages = ["en", "en-GB", "pt-PT", "es", "es-419", "zh", "zh-Hant", "de-AT", "fr"].map(language);
        for (locale, expected) in [
            ("en", Some("en")),
            ("en-US", Some("en")),
            ("en-GB", Some("en-GB")),
            ("en-IE", Some("en")),
            ("pt-PT", Some("pt-PT")),
            ("pt-AO", Some("pt-PT")), // the CLDR orders it under pt-PT
            ("pt-BR", None),
            ("pt", None),
            ("es-ES", Some("es")),
            ("es-AR", Some("es-419")),
            ("es-MX", Some("es-419")),
            ("zh-CN", Some("zh")),
            ("zh-TW", Some("zh-Hant")),
            ("zh-Hant-HK", Some("zh-Hant")),
            ("zh-HK", Some("zh-Hant")),
            ("de", None),
            ("de-AT", Some("de-AT")),
            ("de-AT-1996", Some("de-AT")),
            ("fr-CA", Some("fr")),
            ("fr-CH-u-ca-gregory", Some("fr")),
            ("ja-JP", None),
            ("und", None),
            ("no tag", None),
        ] {
            let found = Language::lookup(locale, &languages).map(ToString::to_string);
            assert_eq!(found.as_deref(), expected, "{locale}");
        }
    }

    #[test]
    fn tags_of_one_language_are_the_same() {
        for (a, b, same) in [
            ("pt", "pt-BR", true),
            ("zh-TW", "zh-Hant", true),
            ("en", "en-US", true),
            ("en", "en-GB", false),
            ("sr", "sr-Latn", false),
        ] {
            assert_eq!(language(a).is_same_as(&language(b)), same, "{a} {b}");
        }
    }

    #[test]
    fn direction_is_that_of_the_script() {
        for (tag, direction) in [
            ("ar", "rtl"),
            ("he", "rtl"),
            ("ur-PK", "rtl"),
            ("fa", "rtl"),
            ("dv", "rtl"),
            ("arc", "rtl"),
            ("hi", "ltr"),
            ("az-Arab", "rtl"),
            ("en", "ltr"),
        ] {
            assert_eq!(language(tag).direction().as_str(), direction, "{tag}");
        }
    }
}
