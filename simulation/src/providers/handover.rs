//! Every message that a provider accepted or refused: what the promises about copies, times and failures are checked
//! against.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::TransportId;
use jiff::Timestamp;

use crate::process::Process;
use crate::providers::refusal::Refusal;

/// A message at a provider. Times are true ones, whatever the process's clock shows.
#[derive(Debug, Clone)]
pub struct Handover {
    /// Its own in a run, counted from 0.
    pub number: usize,
    pub provider: TransportId,
    /// Which process sent it.
    pub process: Process,
    /// The address or number.
    pub recipient: String,
    /// The code in its subject or text, such as `OFFER-3`. `None` if it has none, or the provider refused the message
    /// before it saw that.
    pub offer: Option<String>,
    /// Who is named in it, which tells customers apart who share an address. `None` as for the offer.
    pub customer: Option<String>,
    /// When the process began the conversation about this message; of a call, when the provider got it.
    pub begun: Timestamp,
    /// When the provider accepted or refused it: before its answer.
    pub taken_at: Timestamp,
    pub outcome: Outcome,
    /// When the process read that. `None` if it never did.
    pub answered_at: Option<Timestamp>,
}

/// What a provider did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The customer gets it.
    Taken,
    /// The provider says that it accepted it, and drops it: the number has opted out.
    Dropped,
    Refused(Refusal),
}

impl Handover {
    pub fn is_taken(&self) -> bool {
        self.outcome == Outcome::Taken
    }
}

/// All handovers of a run, in the order in which the providers decided.
#[derive(Debug, Default)]
pub struct Handovers(Mutex<Vec<Handover>>);

impl Handovers {
    /// Adds one, whose number it sets and returns.
    pub fn add(&self, handover: Handover) -> usize {
        let mut all = self.lock();
        let number = all.len();
        all.push(Handover { number, ..handover });
        number
    }

    /// The process has read the provider's answer.
    pub fn answered(&self, number: usize, at: Timestamp) {
        self.lock()[number].answered_at.get_or_insert(at);
    }

    /// The one of a number that [`Handovers::add`] returned.
    pub fn get(&self, number: usize) -> Handover {
        self.lock()[number].clone()
    }

    /// Who is named in the message of this number.
    pub fn customer(&self, number: usize) -> Option<String> {
        self.lock()[number].customer.clone()
    }

    pub fn all(&self) -> Vec<Handover> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handover>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The offer's code in a subject or text: `OFFER-` and digits.
pub fn offer_code(text: &str) -> Option<String> {
    const PREFIX: &str = "OFFER-";
    text.match_indices(PREFIX).find_map(|(at, _)| {
        let digits = text[at + PREFIX.len()..].bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then(|| text[at..at + PREFIX.len() + digits].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_offer_is_found_in_any_text() {
        for (text, expected) in [
            ("OFFER-1", Some("OFFER-1")),
            ("Save with OFFER-12, today", Some("OFFER-12")),
            ("OFFER-: see OFFER-3", Some("OFFER-3")),
            ("OFFER-", None),
            ("", None),
        ] {
            assert_eq!(offer_code(text).as_deref(), expected, "{text}");
        }
    }
}
