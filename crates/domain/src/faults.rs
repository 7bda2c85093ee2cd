//! The validation errors of an input, field by field, so that the caller can correct all of them together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One validation error of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The name of the field as the caller wrote it; `body` for the input as a whole.
    pub field: String,
    /// What is wrong and what would be right. It continues a sentence that starts with the field's name.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.detail)
    }
}

/// How many faults a refusal names at most. With more, the last one says how many more there are.
pub const FAULTS_LIMIT: usize = 100;
/// Maximum length of the name of a field in a fault, in characters. What is longer is cut.
pub const FIELD_LIMIT: usize = 160;
/// Maximum length of what a fault says, in characters. What is longer is cut.
const DETAIL_LIMIT: usize = 1_000;

/// The validation errors of one input: the first [`FAULTS_LIMIT`], and how many more there are. Never empty in an `Err`.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct Faults {
    named: Vec<Fault>,
    /// How many were found after those, and only counted: a body of junk must not become a response many times as long.
    unnamed: usize,
}

impl Faults {
    pub fn one(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.add(field, detail);
        faults
    }

    pub fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.add_with(|| field.into(), detail);
    }

    /// Adds a fault whose field is only named if the fault is.
    pub fn add_with(&mut self, field: impl FnOnce() -> String, detail: impl Into<String>) {
        if self.named.len() < FAULTS_LIMIT {
            self.named.push(Fault { field: cut(field(), FIELD_LIMIT), detail: cut(detail.into(), DETAIL_LIMIT) });
        } else {
            self.unnamed += 1;
        }
    }

    /// Adds the faults of an object within the input: those of its field `a` are named `within.a`.
    pub fn append_under(&mut self, within: &str, other: Self) {
        for Fault { field, detail } in other.named {
            self.add_with(|| format!("{within}.{field}"), detail);
        }
        self.unnamed += other.unnamed;
    }

    /// Adds the faults of another part of the input.
    pub fn append(&mut self, other: Self) {
        for Fault { field, detail } in other.named {
            self.add(field, detail);
        }
        self.unnamed += other.unnamed;
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// How many there are, named or not.
    pub fn count(&self) -> usize {
        self.named.len() + self.unnamed
    }

    /// The faults, in the order in which they were found: at most [`FAULTS_LIMIT`].
    pub fn into_vec(self) -> Vec<Fault> {
        self.into_vec_of(FAULTS_LIMIT)
    }

    /// The first faults, at most `limit` (1 or more); the last one says how many more there are.
    pub fn into_vec_of(self, limit: usize) -> Vec<Fault> {
        let count = self.count();
        let mut named = self.named;
        if count > limit {
            named.truncate(limit.max(1) - 1);
            let more = count - named.len();
            named.push(Fault { field: "body".to_owned(), detail: format!("has {more} more errors") });
        }
        named
    }
}

fn cut(mut text: String, limit: usize) -> String {
    // A character has at least one byte.
    if text.len() > limit
        && let Some((end, _)) = text.char_indices().nth(limit)
    {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.named.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        if self.unnamed > 0 {
            write!(f, "; and {} more", self.unnamed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_faults_are_named_and_the_others_counted() {
        for (found, named, last) in [
            (100, 100, "f99 is wrong"),
            (101, 100, "body has 2 more errors"),
            (5_000, 100, "body has 4901 more errors"),
        ] {
            let mut faults = Faults::default();
            for i in 0..found {
                faults.add(format!("f{i}"), "is wrong");
            }
            assert_eq!(faults.count(), found);
            let faults = faults.into_vec();
            assert_eq!((faults.len(), faults[99].to_string().as_str()), (named, last));
        }
        let mut faults = Faults::one("a", "is wrong");
        faults.append(Faults::one("b", "is wrong"));
        faults.add("c", "is wrong");
        let lines: Vec<_> = faults.into_vec_of(2).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["a is wrong", "body has 2 more errors"]);
    }

    #[test]
    fn long_names_and_details_are_cut() {
        let fault = Faults::one("é".repeat(10_000), "ü".repeat(10_000)).into_vec().remove(0);
        assert_eq!(fault.field.chars().count(), FIELD_LIMIT + 1);
        assert_eq!(fault.detail.chars().count(), DETAIL_LIMIT + 1);
        assert!(fault.field.ends_with('…') && fault.detail.ends_with('…'));
        let whole = "é".repeat(FIELD_LIMIT);
        assert_eq!(Faults::one(whole.clone(), "x").into_vec()[0].field, whole);
    }
}
