//! What a queue message is about: a push, with its offer and the request for it, as they are stored.
//!
//! A message names its push; all else is read here. The offer and the request are in the Offers table, which only `offer`
//! writes. So no message, and no other function, can have anything sent that no caller has posted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Offer, PushId, Sources};
use jiff::Timestamp;

use crate::offers::PushRequest;
use crate::pushes::Push;
use crate::{Offers, Pushes, StoreError};

/// How long functions that send believe what they have read of pushes, offers and customers.
pub const MAX_READ_AGE: Duration = Duration::from_secs(5);

/// Maximum number of offers that a function remembers. Each is 400 KB at most (DynamoDB, maximum size of an item).
const MAX_KNOWN: usize = 8;

/// A push that was requested, with what it announces.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedOffer {
    /// The push, as it was when this was read.
    pub push: Push,
    /// Its offer. Immutable.
    pub offer: Arc<Offer>,
    /// Who asked for it, and how. Immutable.
    pub request: Arc<PushRequest>,
}

/// Reads pushes with their offers. Offers and requests are remembered for [`MAX_READ_AGE`], since many messages of a push
/// come one after the other; the push itself, which may be cancelled, is read each time.
#[derive(Debug)]
pub struct PushedOffers {
    offers: Offers,
    pushes: Pushes,
    sources: Sources,
    known: Mutex<Vec<Known>>,
}

/// What was read of a push and does not change.
#[derive(Debug, Clone)]
struct Known {
    push: PushId,
    read_at: Timestamp,
    offer: Arc<Offer>,
    request: Arc<PushRequest>,
}

impl PushedOffers {
    /// Reads from these tables.
    pub fn new(offers: Offers, pushes: Pushes, sources: Sources) -> Self {
        Self { offers, pushes, sources, known: Mutex::default() }
    }

    /// A push with its offer, read consistently; `None` unless the push, the request for it and its offer are all stored.
    pub async fn get(&self, id: PushId) -> Result<Option<PushedOffer>, StoreError> {
        let (push, known) = tokio::try_join!(self.pushes.get(id), self.known(id))?;
        Ok(push.zip(known).map(|(push, Known { offer, request, .. })| PushedOffer { push, offer, request }))
    }

    async fn known(&self, id: PushId) -> Result<Option<Known>, StoreError> {
        if let Some(known) = self.remembered(id) {
            return Ok(Some(known));
        }
        let read_at = self.sources.now();
        let (request, offer) = tokio::try_join!(self.offers.push_request(id), self.offers.get(id.offer))?;
        let known = request.zip(offer).map(|(request, offer)| Known {
            push: id,
            read_at,
            offer: Arc::new(offer),
            request: Arc::new(request),
        });
        if let Some(known) = &known {
            self.remember(known.clone());
        }
        Ok(known)
    }

    fn remembered(&self, id: PushId) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|known| known.push == id && self.is_recent(known)).cloned()
    }

    fn remember(&self, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.push != known.push && self.is_recent(other));
        if all.len() == MAX_KNOWN {
            all.remove(0);
        }
        all.push(known);
    }

    fn is_recent(&self, known: &Known) -> bool {
        self.sources.age_of(known.read_at) < MAX_READ_AGE
    }
}
