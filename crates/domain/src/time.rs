//! Times as callers write them.

use jiff::Timestamp;

use crate::sources::to_millis;

/// What a time looks like, for messages.
const EXPECTED: &str = "must be a time with its offset, such as 2026-12-24T18:00:00Z";
/// `0000-01-01T00:00:00Z`, in seconds.
const YEAR_0: Timestamp = Timestamp::constant(-62_167_219_200, 0);
/// Digits of a fraction of a second that are read. Times are kept in whole milliseconds.
const FRACTION_DIGITS: usize = 9;

/// Reads a time as RFC 3339 defines it (section 5.6), and nothing else: no dates without a time, no names of zones, no
/// spaces, no commas. It is rounded to whole milliseconds.
///
/// A leap second (`:60`) is refused, although RFC 3339 has it: none is planned, and clocks here do not know any.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_time(string: &str) -> Result<Timestamp, String> {
    let is_leap_second = has_form(string).ok_or(EXPECTED)?;
    if is_leap_second {
        return Err("must not be a leap second (:60); write the second before or after it".to_owned());
    }
    let parsed: Result<Timestamp, _> = match string.split_once('.') {
        None => string.parse(),
        Some((seconds, rest)) => {
            let (fraction, offset) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
            format!("{seconds}.{}{offset}", &fraction[..fraction.len().min(FRACTION_DIGITS)]).parse()
        }
    };
    // RFC 3339 has no form for a time before the year 0, which an offset can lead to.
    parsed
        .ok()
        .filter(|time| *time >= YEAR_0)
        .map(to_millis)
        .ok_or_else(|| format!("{EXPECTED}; this one is in no calendar"))
}

/// Whether a string has the form `date-time` of RFC 3339: `None` if not, otherwise whether its second is 60.
fn has_form(string: &str) -> Option<bool> {
    let (start, rest) = string.as_bytes().split_at_checked(19)?;
    let fits = start.iter().zip(b"0000-00-00T00:00:00").all(|(b, form)| match form {
        b'0' => b.is_ascii_digit(),
        _ => b.eq_ignore_ascii_case(form),
    });
    let rest = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| digits > 0)?
        }
    };
    let two = |tens: u8, ones: u8| tens.wrapping_sub(b'0') * 10 + ones.wrapping_sub(b'0');
    let is_offset = match *rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => {
            [a, b, c, d].iter().all(u8::is_ascii_digit) && two(a, b) < 24 && two(c, d) < 60
        }
        _ => false,
    };
    (fits && is_offset && two(start[11], start[12]) < 24).then(|| &start[17..] == b"60")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_rfc_3339_is_read() {
        for (written, time) in [
            ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z"),
            ("2026-12-24t18:00:00z", "2026-12-24T18:00:00Z"),
            ("2026-12-24T18:00:00+05:30", "2026-12-24T12:30:00Z"),
            ("2026-12-24T18:00:00-00:00", "2026-12-24T18:00:00Z"),
            ("2026-12-24T00:30:00+23:59", "2026-12-23T00:31:00Z"),
            ("2026-12-24T18:00:00.5Z", "2026-12-24T18:00:00.5Z"),
            ("2026-12-24T18:00:00.123456789123456789-01:00", "2026-12-24T19:00:00.123Z"),
            ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.87Z"),
        ] {
            assert_eq!(parse_time(written).map(|time| time.to_string()).as_deref(), Ok(time), "{written}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for other in [
            "",
            "tomorrow",
            "1782216000",
            "2026-12-24",
            "2026-12-24T18:00:00",
            "2026-12-24T18:00Z",
            "2026-12-24T18Z",
            "2026-12-24 18:00:00Z",
            " 2026-12-24T18:00:00Z",
            "2026-12-24T18:00:00Z ",
            "2026-12-24T18:00:00 Z",
            "2026-12-24T18:00:00,5Z",
            "2026-12-24T18:00:00.Z",
            "2026-12-24T18:00:00+01",
            "2026-12-24T18:00:00+0100",
            "2026-12-24T18:00:00+01:00:00",
            "2026-12-24T18:00:00+24:00",
            "2026-12-24T18:00:00+01:60",
            "2026-12-24T18:00:00\u{2212}01:00",
            "2026-12-24T18:00:00Z[Europe/Lisbon]",
            "2026-12-24T18:00:00+00:00[Europe/Lisbon]",
            "2026-12-24T18:00:00Z[u-ca=iso8601]",
            "20261224T180000Z",
            "2026-W52-4T18:00:00Z",
            "2026-358T18:00:00Z",
            "+002026-12-24T18:00:00Z",
            "-002026-12-24T18:00:00Z",
            "12026-12-24T18:00:00Z",
            "26-12-24T18:00:00Z",
            "2026-02-29T18:00:00Z",
            "2026-13-01T18:00:00Z",
            "2026-00-10T18:00:00Z",
            "2026-12-24T24:00:00Z",
            "2026-12-24T18:60:00Z",
            "2026-12-24T18:00:61Z",
            "2026-12-2٤T18:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00+10:00",
            "0000-01-01T00:00:00.999+00:01",
        ] {
            let refused = parse_time(other).unwrap_err();
            assert!(refused.contains("such as 2026-12-24T18:00:00Z"), "{other} {refused}");
        }
    }

    #[test]
    fn leap_second_is_refused_with_its_reason() {
        for leap in ["2016-12-31T23:59:60Z", "2016-12-31T18:59:60.5-05:00"] {
            assert!(parse_time(leap).unwrap_err().contains("leap second"), "{leap}");
        }
    }
}
