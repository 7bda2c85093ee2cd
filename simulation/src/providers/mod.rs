//! The providers: SES, SNS, and a mail server.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a provider does for a while instead of accepting messages | [`mode`] |
//! | why a provider refuses a message, and how each says so | [`refusal`] |
//! | what is kept of every message at a provider | [`handover`] |
//! | SES, and SNS | [`ses`], [`sns`] |
//! | what SES reports later: bounces and complaints | [`feedback`] |
//! | the mail server: its connections, and its conversation | [`smtp`] |

use domain::TransportId;

use crate::fault::millis;
use crate::network::{Arrival, Reply};
use crate::process::Process;
use crate::scenario::Trouble;
use crate::world::World;

pub mod feedback;
pub mod handover;
pub mod mode;
pub mod refusal;
pub mod ses;
pub mod smtp;
pub mod sns;
#[cfg(test)]
pub(crate) mod tests;

pub use self::handover::{Handover, Handovers, Outcome};
pub use self::mode::{Mode, Step, Treatment, Unheard};
pub use self::refusal::Refusal;
pub use self::ses::Ses;
pub use self::smtp::SmtpServer;
pub use self::sns::{Sns, sns_error};

/// What a provider does at present instead of accepting messages. Of several outages, the first in the scenario.
pub fn mode(world: &World, provider: TransportId) -> Option<Mode> {
    world.troubles().find_map(|trouble| match trouble {
        Trouble::Provider(whose, mode) if *whose == provider => Some(*mode),
        _ => None,
    })
}

/// A message that a provider is offered in one call.
struct Offered<'a> {
    provider: TransportId,
    process: &'a Process,
    recipient: &'a str,
    offer: Option<String>,
    customer: Option<String>,
}

/// How a provider words its answers.
struct Answers<A, R> {
    /// To a message that it accepts, by its number.
    accepted: A,
    refused: R,
    /// An error that does not say what became of the message.
    error: Reply,
}

impl Offered<'_> {
    /// Accepts or refuses the message, and keeps that. Returns the provider's answer, and the number of the message if it
    /// was accepted. `outcome` is that of a message that is.
    fn handle<A, R>(self, world: &World, outcome: Outcome, answers: Answers<A, R>) -> (Reply, Option<usize>)
    where
        A: FnOnce(usize) -> Reply,
        R: FnOnce(Refusal) -> Reply,
    {
        let mode = mode(world, self.provider);
        let treatment = mode.map_or(Treatment::Accepted, |mode| mode.treats(self.provider, self.recipient));
        let (mut reply, accepted) = match treatment {
            Treatment::Accepted => {
                let number = self.keep(world, outcome);
                (Reply { handover: Some(number), ..(answers.accepted)(number) }, Some(number))
            }
            Treatment::AcceptedUnheard(unheard) => {
                let number = self.keep(world, outcome);
                (unheard.reply(answers.error), Some(number))
            }
            Treatment::Refused(refusal) => {
                let number = self.keep(world, Outcome::Refused(refusal));
                (Reply { handover: Some(number), ..(answers.refused)(refusal) }, None)
            }
            Treatment::Ignored(unheard) => (unheard.reply(answers.error), None),
        };
        reply.after += millis(mode.map_or(0, Mode::delay));
        (reply, accepted)
    }

    fn keep(&self, world: &World, outcome: Outcome) -> usize {
        let now = world.clock.now();
        keep(
            world,
            Handover {
                number: 0,
                provider: self.provider,
                process: self.process.clone(),
                recipient: self.recipient.to_owned(),
                offer: self.offer.clone(),
                customer: self.customer.clone(),
                begun: now,
                taken_at: now,
                outcome,
                answered_at: None,
            },
        )
    }
}

impl Unheard {
    fn reply(self, error: Reply) -> Reply {
        match self {
            Self::Closed => Reply { arrival: Arrival::Lost, ..error },
            Self::Silence => Reply { arrival: Arrival::Never, ..error },
            Self::Error => error,
        }
    }
}

/// Adds a handover to the run's, and to its history.
fn keep(world: &World, handover: Handover) -> usize {
    let Handover { provider, process, recipient, offer, outcome, .. } = &handover;
    let offer = offer.as_deref().unwrap_or("a message");
    world.history.note(format_args!("{provider} for {process}: {outcome:?}: {offer} to {recipient}"));
    world.handovers.add(handover)
}
