//! What occurs most often.

use std::cmp::Reverse;
use std::collections::HashMap;

/// How many different texts are counted. Reasons may name a character and its place, and locales are up to the bank, so
/// that there is no limit to them.
const KINDS_LIMIT: usize = 1_000;

/// Counts equal texts: those that it met first, if there are more than it can hold. Of another ranking it meets the most
/// frequent first, so that the same texts always give the same counts.
#[derive(Debug, Default)]
pub(super) struct Ranking(HashMap<String, u64>);

impl Ranking {
    /// Counts a text this many times.
    pub(super) fn add(&mut self, text: &str, times: u64) {
        if let Some(count) = self.0.get_mut(text) {
            *count += times;
        } else if self.0.len() < KINDS_LIMIT {
            self.0.insert(text.to_owned(), times);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (text, times) in other.top(KINDS_LIMIT) {
            self.add(text, times);
        }
    }

    /// The most frequent ones, the first of them the most frequent, with their counts.
    pub(super) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(text, count)| (text.as_str(), *count)).collect();
        all.sort_unstable_by_key(|(text, count)| (Reverse(*count), *text));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_frequent_texts_come_first_and_there_is_a_bound() {
        let mut ranking = Ranking::default();
        for (text, times) in [("b", 2), ("a", 2), ("c", 5), ("d", 1), ("d", 2)] {
            ranking.add(text, times);
        }
        let mut others = Ranking::default();
        (0..2 * KINDS_LIMIT).for_each(|number| others.add(&number.to_string(), 1));
        others.add("0", 1);
        assert_eq!(others.0.len(), KINDS_LIMIT);
        ranking.merge(&others);
        assert_eq!(ranking.top(5), [("c", 5), ("d", 3), ("0", 2), ("a", 2), ("b", 2)]);
        assert_eq!(ranking.0.len(), KINDS_LIMIT);
    }
}
