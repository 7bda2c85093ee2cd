//! Links as e-mails have them.

use domain::unsubscribe::{KeyRing, Subscription};
use domain::{Channel, HashKey};
use serde_json::{Value, json};

use crate::aws::call::{Body, Call, Service};
use crate::aws::lambda::Function;
use crate::world::World;

/// The token of the link in an e-mail to this address of the customer.
///
/// # Panics
/// If the secrets of the simulation are not what the product reads.
pub(super) fn token(world: &World, customer: &str, address: &str) -> String {
    let ring = KeyRing::parse(&secret(world, "UnsubscribeKeys")).expect("the keys of links are valid");
    let hash_key = HashKey::parse(&secret(world, "HashKey")).expect("the key of hashes is valid");
    ring.link_token(&Subscription {
        customer: customer.parse().expect("an id of a customer"),
        channel: Channel::Email,
        address: hash_key.address(Channel::Email, address),
    })
}

/// A secret as it is now, read outside the simulated network.
fn secret(world: &World, id: &str) -> String {
    let reply = world.secrets.serve(
        world,
        &Call {
            function: Function::Email,
            service: Service::SecretsManager,
            operation: "GetSecretValue".to_owned(),
            target: id.to_owned(),
            body: Body::Json(json!({"SecretId": id})),
        },
    );
    let body: Value = serde_json::from_str(&reply.body).expect("a reply is JSON");
    body["SecretString"].as_str().expect("a secret is text").to_owned()
}
