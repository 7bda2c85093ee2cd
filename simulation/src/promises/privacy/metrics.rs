//! What functions write as metrics, while a run lasts: `runtime::metrics::redirect(promises::metrics::look)`.

use std::cell::RefCell;

use jiff::Timestamp;

use crate::promises::facts::Leak;

thread_local! {
    /// What was found in the present run, which has this thread for itself.
    static FOUND: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Looks through a line.
pub fn look(line: &str) {
    if let Some(text) = super::personal(line) {
        FOUND.with_borrow_mut(|found| found.push(text.to_owned()));
    }
}

/// What was found on this thread since the last time.
pub fn take() -> Vec<Leak> {
    let leak = |text| Leak { at: Timestamp::UNIX_EPOCH, place: "a metric".to_owned(), text };
    FOUND.with_borrow_mut(std::mem::take).into_iter().map(leak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_with_personal_data_are_found() {
        look(r#"{"Sent": 1, "transport": "ses"}"#);
        look(r#"{"Sent": 1, "customer": "Zq1Name"}"#);
        assert_eq!(take().len(), 1);
        assert_eq!(take(), []);
    }
}
