//! SES: `SendEmail` of the API v2, with a raw message.

use data_encoding::BASE64;
use domain::TransportId;
use mail_parser::MessageParser;
use serde_json::json;

use crate::aws::call::Call;
use crate::chance::Chance;
use crate::network::Reply;
use crate::people::person::named;
use crate::process::Process;
use crate::providers::feedback::{Reports, Sent};
use crate::providers::handover::offer_code;
use crate::providers::refusal::{Refusal, ses_error};
use crate::providers::{Answers, Offered, Outcome};
use crate::scenario::Scenario;
use crate::world::World;

/// SES.
#[derive(Debug)]
pub struct Ses {
    /// What it reports of messages that it accepted.
    pub reports: Reports,
}

impl Ses {
    pub fn new(scenario: &Scenario) -> Self {
        Self { reports: Reports::new(Chance::of(scenario.seed, "feedback")) }
    }

    /// `SendEmail` (SES API v2 reference). Without a destination in the request, the message's own headers name the
    /// recipient.
    pub fn serve(&self, world: &World, process: &Process, call: &Call) -> Reply {
        let request = call.json();
        let raw = request["Content"]["Raw"]["Data"].as_str().expect("a message is sent raw");
        let raw = BASE64.decode(raw.as_bytes()).expect("a message is sent in base64");
        let Headers { recipient, offer, customer } = Headers::of(&raw);
        let offered = Offered { provider: TransportId::Ses, process, recipient: &recipient, offer, customer };
        let answers = Answers {
            accepted: |number| Reply::json(200, &json!({"MessageId": message_id(number)})),
            refused: |refusal: Refusal| refusal.of_ses(&recipient),
            error: ses_error(500, "InternalFailure", "An internal error occurred."),
        };
        let (reply, accepted) = offered.handle(world, Outcome::Taken, answers);
        if let Some(number) = accepted {
            let sent = Sent { message_id: message_id(number), tags: request["EmailTags"].clone() };
            self.reports.follow(world, &world.handovers.get(number), &sent);
        }
        reply
    }
}

fn message_id(number: usize) -> String {
    format!("ses-{number}")
}

/// What the providers of e-mail look for in a message.
pub(super) struct Headers {
    pub(super) recipient: String,
    pub(super) offer: Option<String>,
    pub(super) customer: Option<String>,
}

impl Headers {
    /// Reads a message.
    ///
    /// # Panics
    /// If it has no recipient.
    pub(super) fn of(raw: &[u8]) -> Self {
        let message = MessageParser::new().parse(raw).expect("what is sent is a message");
        let recipient =
            message.to().and_then(|to| to.first()?.address()).expect("a message has a recipient").to_owned();
        let subject = message.subject();
        Self { recipient, offer: subject.and_then(offer_code), customer: subject.and_then(named) }
    }
}
