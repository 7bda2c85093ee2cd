//! The values of attributes: of which kind those of a column are, so that nothing of any of them is lost.

use domain::Country;
use serde_json::{Number, Value};

/// As many digits as every double keeps (IEEE 754).
const DIGITS: usize = 15;

/// The kind that the values of a column have. In a column of more than one, all are texts, so that a rule can compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers,
    Booleans,
    Texts,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// `1234.50`.
    Point,
    /// `1.234,50`, as in most of Europe.
    Comma,
}

impl Notation {
    fn with_point(self, cell: &str) -> String {
        match self {
            Self::Point => cell.to_owned(),
            Self::Comma if is_grouped(cell) => cell.replace('.', "").replace(',', "."),
            // Not a number in this notation: 12.50 must not become 1250.
            Self::Comma => String::new(),
        }
    }
}

/// Whether dots stand only between groups of three digits before the comma.
fn is_grouped(cell: &str) -> bool {
    let (whole, fraction) = cell.split_once(',').unwrap_or((cell, ""));
    let mut groups = whole.split('.');
    let first = groups.next().unwrap_or_default().trim_start_matches('-');
    let has_groups = whole.contains('.');
    !fraction.contains('.') && (!has_groups || (1..=3).contains(&first.len())) && groups.all(|group| group.len() == 3)
}

/// What the cells of a column have in common so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Survey {
    are_numbers: bool,
    are_booleans: bool,
    /// Whether each would be a number for a person, such as 2.50.
    look_like_numbers: bool,
    /// Whether each would be one if it had a decimal comma.
    look_like_commas: bool,
    is_empty: bool,
    /// The line and the first cell that would be changed if it became a number.
    changed: Option<(u64, String)>,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            are_numbers: true,
            are_booleans: true,
            look_like_numbers: true,
            look_like_commas: true,
            is_empty: true,
            changed: None,
        }
    }
}

impl Survey {
    /// Looks at a cell, which is not empty.
    pub(super) fn add(&mut self, line: u64, cell: &str) {
        let is_number = exact_number(cell).is_some();
        self.is_empty = false;
        self.are_numbers &= is_number;
        self.are_booleans &= boolean(cell).is_some();
        self.look_like_numbers &= is_finite(cell);
        self.look_like_commas &= is_finite(&Notation::Comma.with_point(cell));
        if !is_number && (self.look_like_numbers || self.look_like_commas) && self.changed.is_none() {
            self.changed = Some((line, cell.to_owned()));
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.are_numbers, self.are_booleans) {
            _ if self.is_empty => Kind::Texts,
            (true, _) => Kind::Numbers,
            (_, true) => Kind::Booleans,
            _ => Kind::Texts,
        }
    }

    /// The line and the first cell because of which a column of numbers is kept as texts, and how the numbers are written.
    pub(super) fn kept_for(&self) -> Option<(u64, &str, Notation)> {
        let (line, cell) = self.changed.as_ref()?;
        match (self.look_like_numbers, self.look_like_commas) {
            (true, _) => Some((*line, cell, Notation::Point)),
            (_, true) => Some((*line, cell, Notation::Comma)),
            _ => None,
        }
    }
}

/// The value of a cell in a column of this kind.
pub(super) fn value(cell: &str, kind: Kind) -> Value {
    let of_kind = match kind {
        Kind::Numbers => exact_number(cell).map(Value::Number),
        Kind::Booleans => boolean(cell).map(Value::Bool),
        Kind::Texts => None,
    };
    of_kind.unwrap_or_else(|| cell.into())
}

/// The number that a cell is, however it is written.
///
/// # Errors
/// If it is none, or has more digits than a number keeps. The text follows the column's name.
pub(super) fn number(written: &str, notation: Notation) -> Result<Value, String> {
    let cell = &notation.with_point(written);
    if let Some(exact) = exact_number(cell) {
        return Ok(exact.into());
    }
    let digits = cell.chars().filter(char::is_ascii_digit).count();
    match cell.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(_) if digits > DIGITS => Err(format!("has {digits} digits, and a number keeps {DIGITS}; load it as text")),
        Some(number) => Ok(number.into()),
        None if notation == Notation::Comma => Err("is not a number such as 1.234,50".to_owned()),
        None => Err("is not a number such as 1234.50; if it has a decimal comma: --decimal-comma".to_owned()),
    }
}

/// The number that a cell is, if it is written as the number would be: `007`, `1E5` and `2.50` are not.
fn exact_number(cell: &str) -> Option<Number> {
    if let Ok(whole) = cell.parse::<i64>() {
        return (whole.to_string() == cell).then(|| whole.into());
    }
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    let number = cell.parse::<f64>().ok().filter(|number| digits <= DIGITS && number.to_string() == cell)?;
    Number::from_f64(number)
}

/// A phone number without what people write between its digits, as in `+44 (0)20 7946-0018`, and with a country's code if the numbers
/// without one are those of a country that is known. What is no number stays as it is.
pub(super) fn mobile(cell: &str, country: Option<Country>) -> String {
    let is_between = |c: char| c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2013}' | '/' | '.' | '(' | ')');
    // What follows a slash may be the end of another number.
    let is_one = cell.rsplit_once('/').is_none_or(|(_, end)| end.chars().filter(char::is_ascii_digit).count() >= 4);
    if !is_one {
        return cell.to_owned();
    }
    if cell.starts_with('+') {
        // What is dialled within the country only.
        return cell.replace("(0)", "").chars().filter(|c| !is_between(*c)).collect();
    }
    let digits: String = cell.chars().filter(|c| !is_between(*c)).collect();
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let international = country.filter(|_| is_number).and_then(|country| country.international(&digits));
    international.unwrap_or_else(|| cell.to_owned())
}

fn is_finite(cell: &str) -> bool {
    cell.parse::<f64>().is_ok_and(f64::is_finite)
}

fn boolean(cell: &str) -> Option<bool> {
    cell.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn survey(cells: &[&str]) -> Survey {
        let mut survey = Survey::default();
        (2..).zip(cells).for_each(|(line, cell)| survey.add(line, cell));
        survey
    }

    #[test]
    fn a_column_has_the_kind_that_all_its_cells_are_without_loss() {
        for (cells, expected) in [
            (&["1", "-20", "2.5"][..], json!([1, -20, 2.5])),
            (&["true", "false"], json!([true, false])),
            (&["TRUE", "true"], json!(["TRUE", "true"])),
            (&["1", "true"], json!(["1", "true"])),
            (&["7", "007"], json!(["7", "007"])),
            (&["1E5"], json!(["1E5"])),
            (&["12345678901234567890123"], json!(["12345678901234567890123"])),
            (&["9223372036854775807"], json!([9_223_372_036_854_775_807_i64])),
            (&["0.1234567890123456"], json!(["0.1234567890123456"])),
            (&["2.5", "2.50"], json!(["2.5", "2.50"])),
            (&["1,5"], json!(["1,5"])),
            (&["+5"], json!(["+5"])),
            (&["-0"], json!(["-0"])),
            (&["inf", "NaN"], json!(["inf", "NaN"])),
            (&["null"], json!(["null"])),
        ] {
            let kind = survey(cells).kind();
            let values: Vec<_> = cells.iter().map(|cell| value(cell, kind)).collect();
            assert_eq!(json!(values), expected);
        }
    }

    #[test]
    fn a_phone_number_loses_what_stands_between_its_digits() {
        for (cell, expected) in [
            ("+351912345678", "+351912345678"),
            ("+351 912 345 678", "+351912345678"),
            ("+49\u{a0}151/234-567.80", "+4915123456780"),
            ("+44 (0)20 7946\u{2013}0018", "+442079460018"),
            ("0151 2345678", "0151 2345678"),
            ("+49 151 2345678/9", "+49 151 2345678/9"),
            ("+351 91x", "+35191x"),
        ] {
            assert_eq!(mobile(cell, None), expected);
        }
    }

    #[test]
    fn phone_numbers_without_a_code_are_those_of_the_country() {
        let germany = Some("DE".parse().unwrap());
        for (cell, expected) in [
            ("0151 2345-6789", "+4915123456789"),
            ("0151/23456789", "+4915123456789"),
            ("+351 912 345 678", "+351912345678"),
            // Two numbers, no number, and one that cannot be.
            ("0151 2345678/9", "0151 2345678/9"),
            ("n/a 0151", "n/a 0151"),
            ("12", "12"),
        ] {
            assert_eq!(mobile(cell, germany), expected);
        }
    }

    #[test]
    fn numbers_that_are_kept_as_texts_are_reported_with_the_first_of_them() {
        assert_eq!(survey(&["1", "2.50", "3.00"]).kept_for(), Some((3, "2.50", Notation::Point)));
        assert_eq!(survey(&["1", "1.234,50"]).kept_for(), Some((3, "1.234,50", Notation::Comma)));
        for cells in [&["1", "2.5"][..], &["2.50", "a"], &["a", "2.50"], &["2,5", "a"], &["1", "true"]] {
            assert_eq!(survey(cells).kept_for(), None, "{cells:?}");
        }
    }

    #[test]
    fn a_column_that_is_said_to_have_numbers_is_read_as_numbers() {
        for (cell, expected) in
            [("2.50", json!(2.5)), ("1E5", json!(100_000.0)), ("007", json!(7.0)), ("12", json!(12))]
        {
            assert_eq!(number(cell, Notation::Point), Ok(expected), "{cell}");
        }
        for (cell, expected) in
            [("1.234,50", json!(1234.5)), ("-1.234.567", json!(-1_234_567)), ("12", json!(12)), ("0,5", json!(0.5))]
        {
            assert_eq!(number(cell, Notation::Comma), Ok(expected), "{cell}");
        }
        for cell in ["12.50", "1.2,5", "1,234.5", "1234.567", ""] {
            assert!(number(cell, Notation::Comma).is_err(), "{cell}");
        }
        for cell in ["12345678901234567890123", "1,5", "a", "inf"] {
            assert!(number(cell, Notation::Point).is_err(), "{cell}");
        }
    }
}
