//! SNS: text messages to phone numbers, by the Query protocol.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::TransportId;
use url::form_urlencoded;

use crate::aws::call::{Body, Call};
use crate::fault::millis;
use crate::network::Reply;
use crate::people::person::named;
use crate::process::Process;
use crate::providers::handover::offer_code;
use crate::providers::{Answers, Offered, Outcome, Refusal, Treatment, mode};
use crate::scenario::Scenario;
use crate::world::World;

/// SNS.
#[derive(Debug, Default)]
pub struct Sns {
    opted_out: Mutex<BTreeSet<String>>,
}

impl Sns {
    pub fn new(_scenario: &Scenario) -> Self {
        Self::default()
    }

    /// Somebody answers STOP (SNS developer guide, "Opting out of receiving SMS messages").
    pub fn opt_out(&self, number: &str) {
        self.opted_out().insert(number.to_owned());
    }

    /// Somebody is opted in again.
    pub fn opt_in(&self, number: &str) {
        self.opted_out().remove(number);
    }

    /// `Publish` and `CheckIfPhoneNumberIsOptedOut` (SNS API reference).
    pub fn serve(&self, world: &World, process: &Process, call: &Call) -> Reply {
        let Body::Form(form) = &call.body else { panic!("{} takes a form", call.point()) };
        let parameter = |name: &str| {
            let value = form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.into_owned()).unwrap_or_else(|| panic!("{} needs {name}", call.point()))
        };
        let number = parameter("PhoneNumber");
        let is_opted_out = self.opted_out().contains(&number);
        match call.operation.as_str() {
            "CheckIfPhoneNumberIsOptedOut" => check(world, &number, is_opted_out),
            "Publish" => {
                let message = parameter("Message");
                let (offer, customer) = (offer_code(&message), named(&message));
                let offered = Offered { provider: TransportId::Sns, process, recipient: &number, offer, customer };
                // It is accepted and not delivered (developer guide, as above).
                let outcome = if is_opted_out { Outcome::Dropped } else { Outcome::Taken };
                let answers = Answers {
                    accepted: |number| {
                        let result = format!("<MessageId>sns-{number}</MessageId>");
                        response("Publish", &result)
                    },
                    refused: Refusal::of_sns,
                    error: sns_error(500, "InternalError", "An internal error occurred."),
                };
                offered.handle(world, outcome, answers).0
            }
            other => panic!("no model of SNS {other}"),
        }
    }

    fn opted_out(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.opted_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to the question, which a mode changes as it changes that to a message: but what is wrong with a recipient
/// or a message is not said here.
fn check(world: &World, number: &str, is_opted_out: bool) -> Reply {
    let mode = mode(world, TransportId::Sns);
    let mut reply = match mode.map(|mode| mode.treats(TransportId::Sns, number)) {
        Some(Treatment::AcceptedUnheard(unheard) | Treatment::Ignored(unheard)) => {
            unheard.reply(sns_error(500, "InternalError", "An internal error occurred."))
        }
        Some(Treatment::Refused(refusal)) if refusal.is_no_customers() || refusal.is_for_now() => refusal.of_sns(),
        _ => response("CheckIfPhoneNumberIsOptedOut", &format!("<isOptedOut>{is_opted_out}</isOptedOut>")),
    };
    reply.after += millis(mode.map_or(0, super::Mode::delay));
    reply
}

fn response(operation: &str, result: &str) -> Reply {
    let body = format!(
        "<{operation}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{operation}Result>{result}</{operation}\
         Result><ResponseMetadata><RequestId>simulated</RequestId></ResponseMetadata></{operation}Response>"
    );
    Reply::new(200, "text/xml", body)
}

/// An error as SNS reports it.
pub fn sns_error(status: u16, code: &str, message: &str) -> Reply {
    let side = if status < 500 { "Sender" } else { "Receiver" };
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>{side}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>simulated</RequestId></ErrorResponse>"
    );
    Reply::new(status, "text/xml", body)
}
