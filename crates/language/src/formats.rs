//! Numbers, money and dates as a language writes them in a region, with the data of the Unicode CLDR.

use std::str::FromStr;

use fixed_decimal::Decimal;
use icu_calendar::{Date, Gregorian};
use icu_datetime::FixedCalendarDateTimeFormatter;
use icu_datetime::fieldsets::YMD;
use icu_decimal::DecimalFormatter;
use icu_experimental::dimension::currency::CurrencyType;
use icu_experimental::dimension::currency::formatter::CurrencyFormatter;
use icu_locale_core::Locale;

use crate::Language;

/// The formats of a message to one customer: its language, as it is written in the customer's region.
#[derive(Debug, Clone)]
pub struct Formats {
    locale: Locale,
}

/// How long a date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateLength {
    /// `31 August 2026`
    Long,
    /// `31 Aug 2026`
    Medium,
    /// `31/08/2026`
    Short,
}

impl FromStr for DateLength {
    type Err = ();

    fn from_str(string: &str) -> Result<Self, ()> {
        match string {
            "long" => Ok(Self::Long),
            "medium" => Ok(Self::Medium),
            "short" => Ok(Self::Short),
            _ => Err(()),
        }
    }
}

/// The active codes of ISO 4217 (list one), without those of metals, funds and tests.
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD \
    CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG \
    HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK \
    MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD \
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND \
    VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// A currency of ISO 4217, such as `EUR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(CurrencyType);

impl FromStr for Currency {
    type Err = ();

    fn from_str(code: &str) -> Result<Self, ()> {
        let is_active = CURRENCIES.split_ascii_whitespace().any(|active| active == code);
        let code = CurrencyType::try_from_str(code).ok().filter(|_| is_active);
        code.map(Self).ok_or(())
    }
}

impl Formats {
    /// The formats of a message in `language` to a customer with this locale (BCP 47), of which the region counts.
    pub fn new(language: &Language, locale: Option<&str>) -> Self {
        Self { locale: language.in_region_of(locale) }
    }

    /// A number with its groups of digits and its decimal sign.
    pub fn number(&self, number: &Decimal) -> String {
        let format = self.number_format();
        format.map_or_else(|| number.to_string(), |format| plain_spaces(&format.format(number).to_string()))
    }

    /// An amount with its currency's sign, rounded to the currency's smallest unit.
    pub fn money(&self, amount: &Decimal, currency: Currency) -> String {
        self.money_format(currency).map_or_else(
            || format!("{amount} {}", currency.0.iso_code()),
            |format| plain_spaces(&format.format_fixed_decimal(amount).to_string()),
        )
    }

    /// A date of the Gregorian calendar.
    pub fn date(&self, date: jiff::civil::Date, length: DateLength) -> String {
        let (year, month, day) = (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
        match (self.date_format(length), Date::try_new_gregorian(year, month, day)) {
            (Some(format), Ok(date)) => plain_spaces(&format.format(&date).to_string()),
            _ => date.to_string(),
        }
    }

    // `None`, which a test rules out for every catalogue, leaves a value unformatted: a message to a customer goes out.

    fn number_format(&self) -> Option<DecimalFormatter> {
        DecimalFormatter::try_new((&self.locale).into(), Default::default()).ok()
    }

    fn money_format(&self, currency: Currency) -> Option<CurrencyFormatter<DecimalFormatter>> {
        CurrencyFormatter::try_new_symbol((&self.locale).into(), currency.0, Default::default()).ok()
    }

    fn date_format(&self, length: DateLength) -> Option<FixedCalendarDateTimeFormatter<Gregorian, YMD>> {
        let fields = match length {
            DateLength::Long => YMD::long(),
            DateLength::Medium => YMD::medium(),
            DateLength::Short => YMD::short(),
        };
        FixedCalendarDateTimeFormatter::try_new((&self.locale).into(), fields).ok()
    }
}

/// The text with plain spaces in place of those that do not break (U+00A0, U+202F). Not every alphabet and display of the
/// messages has them: one turns a text message of 160 characters into one of 70.
pub fn plain_spaces(text: &str) -> String {
    text.replace(['\u{A0}', '\u{202F}'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(language: &str, locale: Option<&str>) -> Formats {
        Formats::new(&language.parse().unwrap(), locale)
    }

    /// Against the charts of CLDR 49 (numbers, currencies, dates of the Gregorian calendar).
    #[test]
    fn values_follow_the_language_and_the_customers_region() {
        for (language, locale, number, money, date) in [
            ("en", None, "-1,234,567.5", "-€1,234,567.50", "August 31, 2026"),
            ("en", Some("en-GB"), "-1,234,567.5", "-€1,234,567.50", "31 August 2026"),
            ("en", Some("en-IN"), "-12,34,567.5", "-€12,34,567.50", "31 August 2026"),
            ("en", Some("sv-SE"), "-1 234 567,5", "-1 234 567,50 €", "31 August 2026"),
            ("de", Some("de-DE"), "-1.234.567,5", "-1.234.567,50 €", "31. August 2026"),
            ("de", Some("de-AT"), "-1 234 567,5", "-€ 1 234 567,50", "31. August 2026"),
            ("fr", None, "-1 234 567,5", "-1 234 567,50 €", "31 août 2026"),
            ("es", Some("es-MX"), "-1,234,567.5", "-€1,234,567.50", "31 de agosto de 2026"),
            ("pt", None, "-1.234.567,5", "-€ 1.234.567,50", "31 de agosto de 2026"),
            ("pt-PT", None, "-1 234 567,5", "-1 234 567,50 €", "31 de agosto de 2026"),
            ("it", None, "-1.234.567,5", "-1.234.567,50 €", "31 agosto 2026"),
            ("nl", None, "-1.234.567,5", "€ -1.234.567,50", "31 augustus 2026"),
            ("pl", None, "-1 234 567,5", "-1 234 567,50 €", "31 sierpnia 2026"),
            ("hi", None, "-12,34,567.5", "-€12,34,567.50", "31 अगस्त, 2026"),
            ("ar", Some("ar-EG"), "\u{61c}-١٬٢٣٤٬٥٦٧٫٥", "\u{61c}-\u{200f}١٬٢٣٤٬٥٦٧٫٥٠ €", "٣١ أغسطس ٢٠٢٦"),
            ("ar", Some("ar-AE"), "\u{200e}-1,234,567.5", "\u{200f}\u{200e}-1,234,567.50 €", "31 أغسطس 2026"),
        ] {
            let formats = formats(language, locale);
            let value: Decimal = "-1234567.5".parse().unwrap();
            let written = (
                formats.number(&value),
                formats.money(&value, "EUR".parse().unwrap()),
                formats.date(jiff::civil::date(2026, 8, 31), DateLength::Long),
            );
            assert_eq!(written, (number.to_owned(), money.to_owned(), date.to_owned()), "{language} {locale:?}");
        }
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        let money =
            |amount: &str, code: &str| formats("en", None).money(&amount.parse().unwrap(), code.parse().unwrap());
        assert_eq!(money("1234.5", "USD"), "$1,234.50");
        assert_eq!(money("1234.56", "JPY"), "¥1,235");
        assert_eq!(money("1234.5678", "KWD"), "KWD 1,234.568");
        for bad in ["eur", "EURO", "EUX", "XXX", "", "US"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }

    #[test]
    fn language_with_a_catalogue_has_every_format() {
        for language in crate::Catalogue::languages() {
            let formats = Formats::new(language, None);
            assert!(formats.number_format().is_some(), "{language}");
            for code in CURRENCIES.split_ascii_whitespace() {
                assert!(formats.money_format(code.parse().unwrap()).is_some(), "{language} {code}");
            }
            for length in [DateLength::Long, DateLength::Medium, DateLength::Short] {
                assert!(formats.date_format(length).is_some(), "{language} {length:?}");
            }
        }
    }

    #[test]
    fn every_format_is_without_spaces_that_do_not_break_and_without_isolation_marks() {
        for tag in crate::Catalogue::languages() {
            for region in [
                "", "-AT", "-BR", "-CH", "-DE", "-EG", "-ES", "-FR", "-GB", "-IN", "-MA", "-MX", "-PT", "-SE", "-US",
                "-ZA",
            ] {
                let formats = Formats::new(tag, Some(&format!("und{region}")));
                let value: Decimal = "-98765432.1".parse().unwrap();
                let mut written = vec![formats.number(&value)];
                written.extend(["EUR", "INR", "SEK", "AED"].map(|code| formats.money(&value, code.parse().unwrap())));
                written.extend(
                    [DateLength::Long, DateLength::Medium, DateLength::Short]
                        .map(|length| formats.date(jiff::civil::date(2026, 3, 1), length)),
                );
                for text in written {
                    let bad =
                        |c| matches!(c, '\u{A0}' | '\u{202F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
                    assert!(!text.contains(bad), "{tag}{region}: {text:?}");
                }
            }
        }
    }
}
