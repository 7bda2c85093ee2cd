//! Refusals that may be ours, and pushes that are held because of them.
//!
//! A provider may refuse a recipient with a code that does not show whose fault it is. One such refusal among messages
//! that are accepted is the recipient's. Many in a row, of different recipients, are ours until a message is accepted:
//! then the push is *held*. It has a circuit breaker of its own, so that the pushes of other offers are not slowed.
//!
//! How other messages fare is the evidence. It is kept in one place for each suspect: on the transport's item where our
//! reputation is suspected, and on the push's where the content is.

use std::time::Duration;

use domain::notification::Suspect;
use domain::{AddressHash, PushId, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::breaker::{BreakerState, Gate, OPEN, OpenResult, Probe};
use super::{LimitsItem, Line, Scope, TransportLimits};
use crate::StoreError;
use crate::attributes::{millis, number, text, texts};
use crate::table::{Conditional, never_own};

/// This many different recipients refused in a row, with none accepted, are no coincidence.
pub const RUN_LENGTH: usize = 5;
/// How long the item of a push is kept after its last refusal. Longer than any push waits between two of them.
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 30);
/// A transport has shown by this old an acceptance at most that it accepts our messages at present.
const CLEARED_FOR: SignedDuration = SignedDuration::from_secs(30);

/// How the messages of a transport, or of a push, have fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// When one was last accepted, as far as that was recorded.
    pub accepted_at: Option<Timestamp>,
    /// The different recipients refused since then, up to [`RUN_LENGTH`].
    pub refused: usize,
    /// Of a push: others' messages have shown that the transport accepts ours, and did so just now.
    pub is_cleared: bool,
}

/// Whether a transport may be called, and how its messages have fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether it may be called.
    pub state: BreakerState,
    /// How its messages, or those of the push, have fared.
    pub evidence: Evidence,
    /// The slots of the transport that are reserved; of a push, none are.
    pub line: Line,
}

impl LimitsItem {
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { accepted_at: self.accepted_at, refused: self.refused.len(), is_cleared: false }
    }

    /// Whether the reason to hold a push is gone: it was held because all messages through the transport might be
    /// refused, and one of any push has been accepted since.
    fn is_disproved(&self, accepted_at: Option<Timestamp>) -> bool {
        self.suspect == Some(Suspect::Sender) && self.opened_at.is_some_and(|opened| accepted_at > Some(opened))
    }
}

impl TransportLimits {
    /// Returns whether a push's messages may be sent through a transport that may be called. `of_transport` is how the
    /// transport's messages have fared. The right to probe is a lease for this long. Makes up to two calls.
    pub async fn check_hold(
        &self,
        push: PushId,
        transport: TransportId,
        of_transport: &Evidence,
        probe_lease: Duration,
    ) -> Result<Checked, StoreError> {
        let scope = Scope::Push(push, transport);
        let mut item = self.get(scope).await?.unwrap_or_default();
        let now = self.table.now();
        let is_held = item.gate(now) != Gate::Closed;
        let state = if is_held && item.is_disproved(of_transport.accepted_at) {
            self.clear(scope, &item).await?;
            item.cleared_at = Some(now);
            BreakerState::Closed
        } else {
            self.pass_gate(scope, &item, probe_lease).await?
        };
        let is_recent = of_transport.accepted_at.is_some_and(|at| at + CLEARED_FOR > now);
        let is_cleared = item.cleared_at.is_some() && is_recent;
        Ok(Checked { state, evidence: Evidence { is_cleared, ..item.evidence() }, line: item.line })
    }

    /// Lets a push go on whose hold is disproved.
    async fn clear(&self, scope: Scope, item: &LimitsItem) -> Result<(), StoreError> {
        let Some(block) = item.blocked_until else { return Ok(()) };
        let clear = self
            .update(scope)
            .update_expression(
                "SET clearedAt = :now REMOVE blockedUntil, blockedSince, failures, probeUntil, probeToken",
            )
            .condition_expression("blockedUntil = :block")
            .expression_attribute_values(":block", millis(block))
            .expression_attribute_values(":now", millis(self.table.now()));
        // If the condition is not met, another caller has cleared or probed it since.
        self.table.write_if(clear, never_own::<LimitsItem>).await.map(|_| ())
    }

    /// Holds a push, for longer after a failed probe.
    pub async fn hold(
        &self,
        push: PushId,
        transport: TransportId,
        suspect: Suspect,
        probe: Option<&Probe>,
        reason: &str,
    ) -> Result<OpenResult, StoreError> {
        let expires_at = (self.table.now() + KEEP).as_second();
        self.block(Scope::Push(push, transport), probe, reason, |update| {
            update
                .update_expression(format!("{OPEN}, suspect = :suspect, expiresAt = :expiresAt"))
                .expression_attribute_values(":suspect", text(suspect))
                .expression_attribute_values(":expiresAt", number(expires_at))
        })
        .await
    }

    /// Adds a recipient to those refused in a row, and returns how messages have fared now.
    pub async fn add_refusal(
        &self,
        push: PushId,
        transport: TransportId,
        suspect: Suspect,
        recipient: &AddressHash,
    ) -> Result<Evidence, StoreError> {
        let scope = scope_of(push, transport, suspect);
        let add = self.update(scope);
        let add = match scope {
            Scope::Transport(_) => add.update_expression("ADD refused :recipient"),
            Scope::Push(..) => add
                .update_expression("ADD refused :recipient SET expiresAt = :expiresAt")
                .expression_attribute_values(":expiresAt", number((self.table.now() + KEEP).as_second())),
        }
        // More would only make the item larger.
        .condition_expression("attribute_not_exists(refused) OR size(refused) < :run")
        .expression_attribute_values(":recipient", texts([recipient]))
        .expression_attribute_values(":run", number(RUN_LENGTH));
        // Its own repeated write finds the set as it left it.
        Ok(match self.table.update_if(add, never_own::<LimitsItem>).await? {
            Conditional::Done(item) => item.evidence(),
            Conditional::NotMet(item) => item.unwrap_or_default().evidence(),
        })
    }

    /// Records that a message was accepted at `at`, which ends the row of refusals; and of a push, its hold.
    pub async fn record_acceptance(&self, scope: Scope, at: Timestamp) -> Result<(), StoreError> {
        let update = self.update(scope).expression_attribute_values(":at", millis(at));
        let update = match scope {
            Scope::Transport(_) => update.update_expression("SET acceptedAt = :at REMOVE refused"),
            Scope::Push(..) => update.update_expression(
                "SET acceptedAt = :at REMOVE refused, blockedUntil, blockedSince, failures, probeUntil, probeToken",
            ),
        };
        self.table.write_if(update, never_own::<LimitsItem>).await.map(|_| ())
    }
}

/// Where the evidence about a suspect is kept.
pub const fn scope_of(push: PushId, transport: TransportId, suspect: Suspect) -> Scope {
    match suspect {
        Suspect::Sender => Scope::Transport(transport),
        Suspect::Content => Scope::Push(push, transport),
    }
}
