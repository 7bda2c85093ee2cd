//! Links as e-mails have them.

use domain::Channel;
use domain::unsubscribe::Subscription;

use crate::world::World;

/// The token of the link in an e-mail to this address of the customer, if it was composed now.
///
/// # Panics
/// If the product refuses the customer's id.
pub(super) fn token(world: &World, customer: &str, address: &str) -> String {
    world.secrets.ring().link_token(&Subscription {
        customer: customer.parse().expect("an id of a customer"),
        channel: Channel::Email,
        address: world.secrets.hash_key().address(Channel::Email, address),
    })
}
