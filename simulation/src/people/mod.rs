//! The bank's operators and customers, and what they do.
//!
//! They call the functions `offer`, `customer` and `preferences` as clients do, and repeat what was not answered. What they
//! asked for, and when they were told that it is done, is in the [`Log`].
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | who the customers are, and by what a leak of their data is recognised | [`person`] |
//! | what people may do | [`action`] |
//! | how each action is done | `act` |
//! | how a function is called, and how often a call is repeated | `client` |
//! | links as e-mails have them | `link` |
//! | what is known of what people did | [`log`] |
//! | what operators set without a call of a function | [`switches`] |

mod act;
pub mod action;
mod client;
mod link;
pub mod log;
pub mod person;
pub mod switches;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use crate::aws::lambda::Function;
use crate::fault::millis;
use crate::scenario::Scenario;
use crate::world::World;

pub use action::{Action, Change, Post, Rate};
pub use log::{Entry, Log, Outcome, What};
pub use person::Person;
pub use switches::{Rates, Switches};

/// Maximum number of customers in one `POST /customers`.
const CUSTOMERS_PER_CALL: usize = 100;

/// The people of a run: what they know, what they did, and what they have set.
#[derive(Debug)]
pub struct People {
    pub log: Log,
    pub switches: Switches,
    /// The customers as the bank's own records have them.
    customers: Mutex<BTreeMap<String, Person>>,
    /// Whose turn it is to change a customer: the bank changes none twice at the same time.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl People {
    pub fn new(scenario: &Scenario) -> Self {
        let customers = scenario.customers.iter().map(|person| (person.id.clone(), person.clone())).collect();
        Self {
            log: Log::default(),
            switches: Switches::new(&scenario.settings),
            customers: Mutex::new(customers),
            turns: Mutex::default(),
        }
    }

    /// A customer as the bank's own records have them now.
    pub fn customer(&self, id: &str) -> Option<Person> {
        self.customers().get(id).cloned()
    }

    fn turn(&self, customer: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(customer.to_owned()).or_default().clone()
    }

    fn customers(&self) -> MutexGuard<'_, BTreeMap<String, Person>> {
        self.customers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores the customers of the beginning, before anything else happens.
///
/// # Panics
/// If one cannot be stored: a scenario has no fault at the calls that this takes.
pub async fn settle_in(world: &Arc<World>) {
    for people in world.scenario.customers.chunks(CUSTOMERS_PER_CALL) {
        let numbers: Vec<_> = people
            .iter()
            .map(|person| world.people.log.begin(world, None, What::Put { before: None, after: person.clone() }))
            .collect();
        let bodies: Vec<Value> = people.iter().map(Person::with_id).collect();
        let request = json!({"method": "POST", "path": "/customers", "body": bodies});
        let told = client::call(world, Function::Customer, &request).await;
        let answer = told.answer.expect("customers can be stored before anything goes wrong");
        let results = answer.body["results"].as_array().cloned().unwrap_or_default();
        let are_stored = results.len() == people.len() && results.iter().all(|result| result["status"] == "stored");
        assert!(answer.status == 200 && are_stored, "not every customer was stored: {answer:?}");
        for number in numbers {
            world.people.log.end(world, number, 1, Outcome::Done);
        }
    }
}

/// Starts a task of the present runtime for each action of the scenario, which waits for its time.
///
/// # Panics
/// If it is called outside a `LocalSet`: the functions' futures stay on one thread.
pub fn start(world: &Arc<World>) {
    let began = Instant::now();
    let elapsed = world.elapsed_ms();
    for (number, timed) in world.scenario.actions.iter().enumerate() {
        let (world, timed) = (world.clone(), timed.clone());
        spawn_local(async move {
            sleep_until(began + millis(timed.at_ms.saturating_sub(elapsed))).await;
            act::perform(&world, number, &timed.action).await;
        });
    }
}

/// What operators do once nothing goes wrong any more: sending is not held.
pub fn tidy_up(world: &Arc<World>) {
    if !world.people.switches.is_sending_enabled() {
        let number = world.people.log.begin(world, None, What::SendingResumed);
        world.people.switches.resume();
        world.people.log.end(world, number, 0, Outcome::Done);
    }
}
