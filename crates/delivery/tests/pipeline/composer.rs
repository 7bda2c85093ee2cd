//! Composes short letters, and fails when a customer's attributes say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use delivery::Compose;
use domain::{AddressHash, Channel, Customer, Offer};

/// The attribute that decides how composing goes: `fails`, `panics`, or no such attribute.
pub(crate) const COMPOSING: &str = "composing";

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) customer: String,
    pub(crate) to: String,
    pub(crate) subject: String,
}

/// A composer of letters. Clones are the same composer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Composer {
    has_no_keys: Arc<AtomicBool>,
}

impl Composer {
    /// Its keys cannot be loaded until this is called with false.
    pub(crate) fn lose_keys(&self, lost: bool) {
        self.has_no_keys.store(lost, Ordering::Relaxed);
    }
}

impl Compose for Composer {
    type Message = Letter;
    type Keys = ();

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn address<'c>(&self, customer: &'c Customer) -> Option<&'c str> {
        customer.email.as_ref().map(domain::EmailAddress::as_str)
    }

    async fn prepare(&self) -> Result<(), String> {
        if self.has_no_keys.load(Ordering::Relaxed) { Err("the secret is unavailable".to_owned()) } else { Ok(()) }
    }

    fn compose(&self, (): &(), offer: &Offer, customer: &Customer, _: &AddressHash) -> Result<Letter, String> {
        match customer.attributes.get(COMPOSING).and_then(|composing| composing.as_str()) {
            Some("fails") => Err("description: customer.points is missing".to_owned()),
            Some("panics") => panic!("the composer panics for {}", customer.id),
            _ => {
                let to = self.address(customer).expect("a screened customer has an address").to_owned();
                let subject = offer.announcement.subject.source().to_owned();
                Ok(Letter { customer: customer.id.to_string(), to, subject })
            }
        }
    }
}
