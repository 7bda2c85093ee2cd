//! What goes wrong with a step of a conversation: the planned faults at the point `<function> SMTP.<STEP>`.

use std::sync::Arc;

use tokio::time::sleep;

use crate::fault::{Fault, Struck, millis};
use crate::network::Network;
use crate::process::Process;
use crate::providers::Step;
use crate::world::World;

/// One passing of a step.
pub(super) struct Passage {
    network: Network,
    step: Step,
    point: String,
    struck: Struck,
}

/// How a step goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As usual.
    On,
    /// With this reply instead.
    Reply(&'static str),
    /// The connection closes.
    Close,
    /// Nothing more comes, and the connection stays open.
    Hang,
}

impl Passage {
    pub(super) fn of(world: &Arc<World>, process: &Process, step: Step) -> Self {
        let point = format!("{} SMTP.{}", process.function(), step.name());
        let struck = world.faults.pass(&point);
        if struck.before.is_some() || struck.after.is_some() {
            world.evidence.struck_at_server(process, world.clock.now());
        }
        Self { network: Network { world: world.clone(), process: process.clone() }, step, point, struck }
    }

    /// Before the step has an effect.
    pub(super) async fn before(&self) -> Way {
        match self.struck.before {
            Some(Fault::Kill) => self.kill("before"),
            Some(Fault::Freeze(time)) => {
                self.network.freeze(&self.point, "before", time).await;
                // It has not sent its command yet.
                sleep(millis(time)).await;
                if self.network.process.is_dead() { Way::Close } else { Way::On }
            }
            // What a reply means is in RFC 5321, 4.2.3: 421 closes the connection.
            Some(Fault::Throttle) => Way::Reply("421 4.7.0 too many connections"),
            Some(Fault::Unavailable) => Way::Reply("451 4.3.0 local error"),
            other => self.delay(other, "command").await,
        }
    }

    /// After it had its effect, before its reply. `has_effect`: unless the server refused it.
    pub(super) async fn after(&self, has_effect: bool) -> Way {
        if self.struck.after.is_some() && has_effect {
            self.network.world.faults.took_effect(&self.point);
        }
        match self.struck.after {
            Some(Fault::Kill) => self.kill("after"),
            Some(Fault::Freeze(time)) => {
                self.network.freeze(&self.point, "after", time).await;
                Way::On
            }
            // A 4xx after the message would say that it was not accepted.
            Some(Fault::Unavailable) if self.step == Step::Message => Way::Reply("354 odd"),
            Some(Fault::Unavailable) => Way::Reply("451 4.3.0 local error"),
            other => self.delay(other, "reply").await,
        }
    }

    /// Adds to the history what came of it.
    pub(super) fn note(&self, result: &str) {
        let Self { network, point, struck, .. } = self;
        network.world.history.note(format_args!("{} {point} #{}: {result}", network.process, struck.nth));
    }

    /// What is the same before and after. `what` is on its way.
    async fn delay(&self, fault: Option<Fault>, what: &str) -> Way {
        match fault {
            Some(Fault::Late(time)) => {
                sleep(millis(time)).await;
                Way::On
            }
            Some(Fault::Lose) => {
                self.note(&format!("{what} lost"));
                Way::Close
            }
            Some(Fault::Hang) => {
                self.note(&format!("{what} never arrives"));
                Way::Hang
            }
            _ => Way::On,
        }
    }

    fn kill(&self, moment: &str) -> Way {
        self.network.kill(&self.point, moment);
        Way::Close
    }
}
