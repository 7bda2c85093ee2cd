//! What the cells of a column about consent say.

use std::collections::BTreeSet;

/// Letters of a word that is repeated to people at most. A longer cell may be of another column, and name a person.
const WORD: usize = 12;

/// Words that mean yes or no in a file, besides the usual ones. In lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(Vec<(String, bool)>);

impl Words {
    pub(super) fn new(yes: &[String], no: &[String]) -> Self {
        let words =
            |words: &[String], meaning| words.iter().map(move |word| (word.trim().to_lowercase(), meaning)).collect();
        let words: [Vec<_>; 2] = [words(yes, true), words(no, false)];
        Self(words.concat())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a cell says yes. No answer is no consent.
    ///
    /// # Errors
    /// If it says neither.
    pub(super) fn consent(&self, cell: &str) -> Result<bool, String> {
        let word = cell.to_lowercase();
        let own = || self.0.iter().find(|(own, _)| *own == word).map(|(_, meaning)| *meaning);
        usual(&word).or_else(own).ok_or_else(|| unknown(cell))
    }

    /// A sentence for each word that would mean both.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let means_both = |(word, meaning): &&(String, bool)| {
            usual(word) == Some(!meaning) || self.0.contains(&(word.clone(), !meaning))
        };
        let both: BTreeSet<_> = self.0.iter().filter(means_both).map(|(word, _)| word).collect();
        let sentence = |word: &String| {
            format!("`{word}` would mean both yes and no. Leave it out of --yes or --no, or change it in the file")
        };
        both.into_iter().map(sentence).collect()
    }
}

/// What a word says in any file.
fn usual(word: &str) -> Option<bool> {
    match word {
        "true" | "yes" | "y" | "1" => Some(true),
        "false" | "no" | "n" | "0" | "" => Some(false),
        _ => None,
    }
}

fn unknown(cell: &str) -> String {
    if cell.chars().count() <= WORD && cell.chars().all(char::is_alphanumeric) {
        format!("is neither yes nor no: {cell}. If it means one: --yes {cell}, or --no {cell}")
    } else {
        "is neither yes nor no (true, false, 1, 0; other words: --yes and --no)".to_owned()
    }
}
