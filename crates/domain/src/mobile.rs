//! Mobile numbers of customers.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, PhoneNumberType, Region};

/// The country codes that the ITU assigns to services instead of countries (E.164 list of assigned country codes):
/// freephone, shared cost, satellites, international networks, universal personal and premium-rate numbers, relief.
/// Providers send no text messages there: none is among AWS End User Messaging's supported countries and regions.
const CODES_OF_SERVICES: [&str; 11] = ["800", "808", "870", "878", "881", "882", "883", "888", "979", "991", "999"];

/// A mobile number in E.164: `+`, country code, number, 7 to 15 digits in all. It can exist in its country, and is not
/// known to be anything but a phone that receives texts.
///
/// A number in a range that the numbering plan of this release does not know is accepted if its length is possible:
/// countries open new ranges faster than a deployed release learns of them. So is one that may be a landline or a mobile
/// number (as all in the USA and Canada may), and VoIP and personal numbers, which can receive texts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mobile(String);

impl Mobile {
    /// The number as text. Personal data: not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A number from a table. Earlier releases stored any number in E.164's form, and what was stored then is read.
    ///
    /// # Errors
    /// If not even an earlier release would have stored it.
    pub fn stored(string: String) -> Result<Self, InvalidMobile> {
        check_form(&string)?;
        Ok(Self(string))
    }
}

impl FromStr for Mobile {
    type Err = InvalidMobile;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let digits = check_form(string)?;
        if CODES_OF_SERVICES.iter().any(|code| digits.starts_with(code)) {
            return Err(InvalidMobile::NoCountry);
        }
        let number = PHONE_NUMBER_UTIL.parse(string, None).map_err(|error| match error {
            ParseError::InvalidCountryCode => InvalidMobile::NoCountry,
            ParseError::TooLongNsn => InvalidMobile::TooLong,
            _ => InvalidMobile::TooShort,
        })?;
        match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
            Ok(NumberLengthType::IsPossible) => {}
            Ok(NumberLengthType::IsPossibleLocalOnly) | Err(rlibphonenumber::ValidationError::TooShort) => {
                return Err(InvalidMobile::TooShort);
            }
            Err(rlibphonenumber::ValidationError::TooLong) => return Err(InvalidMobile::TooLong),
            Err(_) => return Err(InvalidMobile::WrongLength),
        }
        // The parser drops a prefix for calls within the country; with it, providers cannot route the number.
        if PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164) != string {
            return Err(InvalidMobile::NationalPrefix);
        }
        let is = |what| Err(InvalidMobile::NotMobile { what });
        match PHONE_NUMBER_UTIL.get_number_type(&number) {
            PhoneNumberType::FixedLine => is("a landline"),
            PhoneNumberType::PremiumRate => is("a premium-rate number"),
            PhoneNumberType::TollFree => is("a toll-free number"),
            PhoneNumberType::SharedCost => is("a shared-cost number"),
            PhoneNumberType::Pager => is("a pager"),
            PhoneNumberType::UAN => is("a company's access number"),
            PhoneNumberType::VoiceMail => is("a voicemail number"),
            PhoneNumberType::Mobile
            | PhoneNumberType::FixedLineOrMobile
            | PhoneNumberType::VoIP
            | PhoneNumberType::PersonalNumber
            | PhoneNumberType::Unknown => Ok(Self(string.to_owned())),
        }
    }
}

/// A country, whose numbers are written there without its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(Region);

impl Country {
    /// A number as it is written in this country, in E.164's form. `None` if it is none by the country's numbering plan.
    pub fn international(self, written: &str) -> Option<String> {
        let number = PHONE_NUMBER_UTIL.parse(written, Some(self.0)).ok()?;
        let is_valid = PHONE_NUMBER_UTIL.is_valid_number(&number);
        is_valid.then(|| PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned())
    }
}

impl FromStr for Country {
    type Err = &'static str;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        let region = code.to_uppercase().parse().ok();
        // The library has some, such as ZZ, that are no countries.
        let country = region.filter(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some());
        country.map(Self).ok_or("expected the two letters of a country (ISO 3166), such as PT")
    }
}

/// The digits of a number in E.164's form.
fn check_form(string: &str) -> Result<&str, InvalidMobile> {
    let digits = string.strip_prefix('+').ok_or(InvalidMobile::Form)?;
    let valid =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if valid { Ok(digits) } else { Err(InvalidMobile::Form) }
}

impl fmt::Debug for Mobile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mobile(…)")
    }
}

/// Why a string is not a mobile number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMobile {
    /// It is not in E.164's form.
    #[error("is not a phone number in E.164 form; expected something like +351912345678")]
    Form,
    /// Its country code is unassigned, or of a satellite or an international service.
    #[error("must begin with a country's code; texts go neither to satellite phones nor to international services")]
    NoCountry,
    /// It has too few digits for its country.
    #[error("has too few digits for its country; check it")]
    TooShort,
    /// It has too many digits for its country.
    #[error("has too many digits for its country; check it")]
    TooLong,
    /// No number of its country has as many digits.
    #[error("has a number of digits that no number of its country has; check it")]
    WrongLength,
    /// It has a prefix for calls within its country.
    #[error(
        "must not have the 0, or another prefix for calls within the country, after the country code; leave it out"
    )]
    NationalPrefix,
    /// It is a number of another type.
    #[error("is {what}; texts go to mobile numbers only")]
    NotMobile {
        /// The type, with its article.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn national_numbers_are_read_by_the_rules_of_their_country() {
        for (country, written, expected) in [
            ("DE", "0151 23456789", Some("+4915123456789")),
            ("de", "0049 151 23456789", Some("+4915123456789")),
            ("DE", "+351 912 345 678", Some("+351912345678")),
            ("PT", "912 345 678", Some("+351912345678")),
            // Their zero stays.
            ("IT", "347 123 4567", Some("+393471234567")),
            // Their trunk prefix is 06.
            ("HU", "06 20 123 4567", Some("+36201234567")),
            ("US", "(212) 555-2368", Some("+12125552368")),
            ("PT", "12", None),
            ("PT", "nobody", None),
        ] {
            let country: Country = country.parse().unwrap();
            assert_eq!(country.international(written).as_deref(), expected, "{written}");
        }
        for code in ["", "P", "Portugal", "351", "ZZ"] {
            assert!(code.parse::<Country>().is_err(), "{code}");
        }
    }
    use InvalidMobile as Invalid;

    #[test]
    fn only_a_number_that_may_receive_texts_is_a_mobile_number() {
        for good in [
            "+351912345678",
            "+447400123456",
            "+919876543210",
            "+8613812345678",
            "+4915112345678",
            "+5491123456789",
            "+525512345678",
            "+393123456789",
            // Landline or mobile.
            "+14155552671",
            // Personal, and VoIP.
            "+447012345678",
            "+445612345678",
        ] {
            match good.parse::<Mobile>() {
                Ok(mobile) => assert_eq!(mobile.as_str(), good),
                Err(error) => panic!("{good} {error}"),
            }
        }
        let not = |what| Invalid::NotMobile { what };
        for (bad, why) in [
            ("", Invalid::Form),
            ("351912345678", Invalid::Form),
            ("+0351912345", Invalid::Form),
            ("+12345", Invalid::Form),
            ("+1234567890123456", Invalid::Form),
            ("+35191234567x", Invalid::Form),
            ("+351 912345678", Invalid::Form),
            ("+2108000000", Invalid::NoCountry),
            ("+99912345678", Invalid::NoCountry),
            ("+35191234567", Invalid::TooShort),
            ("+3519123456789", Invalid::TooLong),
            ("+3519000000000", Invalid::TooLong),
            ("+4407400123456", Invalid::NationalPrefix),
            ("+351211234567", not("a landline")),
            ("+442071838750", not("a landline")),
            ("+19005551234", not("a premium-rate number")),
            ("+18005551234", not("a toll-free number")),
            ("+351808123456", not("a shared-cost number")),
            ("+447640123456", not("a pager")),
            ("+445512345678", not("a company's access number")),
        ] {
            assert_eq!(bad.parse::<Mobile>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn number_in_a_range_that_is_not_known_yet_is_accepted() {
        for unknown in ["+351999999999", "+447999999999"] {
            assert!(unknown.parse::<Mobile>().is_ok(), "{unknown}");
        }
    }

    /// Satellite phones and international services: Inmarsat, Iridium, Thuraya, international networks, premium rate.
    #[test]
    fn code_without_a_country_is_refused() {
        for number in
            ["+870773111632", "+881612345678", "+88213000000", "+883510000000000", "+979123456789", "+80012345678"]
        {
            assert_eq!(number.parse::<Mobile>(), Err(Invalid::NoCountry), "{number}");
        }
    }

    #[test]
    fn number_that_an_earlier_release_stored_is_read() {
        for stored in ["+351211234567", "+19005551234", "+3519000000000", "+88213000000", "+9991234567"] {
            assert_eq!(Mobile::stored(stored.to_owned()).map(|mobile| mobile.0).as_deref(), Ok(stored));
        }
        for never in ["351912345678", "+0351912345", "+12345", "+1234567890123456", "+35191234567x"] {
            assert_eq!(Mobile::stored(never.to_owned()), Err(Invalid::Form), "{never}");
        }
    }

    #[test]
    fn debug_output_hides_the_number() {
        let mobile: Mobile = "+351912345678".parse().unwrap();
        assert!(!format!("{mobile:?}").contains('3'));
    }
}
