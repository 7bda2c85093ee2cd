//! Acting on mail to the return path.

use std::time::Duration;

use domain::HashKey;
use domain::return_path::ReturnTag;
use jiff::Timestamp;
use runtime::keys::RING_AGE;
use runtime::metrics::{self, Unit};
use store::deliveries::{DeliveryId, Feedback, FeedbackKind, TaggedDelivery};
use store::suppressions::{Notified, Reason, Report as AddressReport};

use crate::mail::{self, Report, ReturnedMail};
use crate::source::Envelope;
use crate::{App, Effect, FeedbackError};

/// The minimum age of a ring that is read again for a tag that it does not verify: `email` may use a newer key.
const RECHECK_AGE: Duration = Duration::from_secs(1);

impl Report {
    const fn kind(&self) -> FeedbackKind {
        match self {
            Self::Failed { verdict, .. } => verdict.kind(),
            Self::Delayed { .. } => FeedbackKind::Delayed,
            Self::Complained { .. } => FeedbackKind::Complained,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Failed { verdict, .. } => (*verdict).into(),
            // The server still tries.
            Self::Delayed { .. } => Effect::None,
            Self::Complained { .. } => Effect::Complained,
        }
    }

    fn into_detail(self) -> String {
        let (Self::Failed { detail, .. } | Self::Delayed { detail } | Self::Complained { detail }) = self;
        detail
    }
}

/// What is known of when a report reached us.
#[derive(Debug, Clone, Copy, Default)]
struct Arrival {
    /// When who received it says that it arrived.
    received: Option<Timestamp>,
    /// When the report itself says that it was written.
    dated: Option<Timestamp>,
    /// When feedback of this kind on the delivery, which may be the same report, happened.
    recorded: Option<Timestamp>,
}

impl Arrival {
    /// Whether who received the report, or the report itself, says when it happened.
    fn is_known(self, now: Timestamp) -> bool {
        self.received.is_some() || self.dated.is_some_and(|dated| dated <= now)
    }

    /// When the report happened: the same time however often it is read, so that one that is read again is not younger
    /// than a lift in between. Never later than `now`, and `now` only if nothing else is known.
    fn at(self, now: Timestamp) -> Timestamp {
        // The clock of a stranger may be wrong. A time in the future says nothing.
        let dated = self.dated.filter(|dated| *dated <= now);
        self.received.or(dated).or(self.recorded).map_or(now, |at| at.min(now))
    }
}

impl App {
    /// Acts on mail to the return path; repeating it changes nothing. Returns whether it was a report about a delivery.
    ///
    /// Anyone can send such mail. So what cannot be read, or has no tag of ours, is logged and dropped: as a dead letter it
    /// would let a stranger raise an alarm, and no later attempt would read more in it.
    pub(crate) async fn handle_mail(&self, raw: &[u8], envelope: &Envelope) -> Result<bool, FeedbackError> {
        let Some(ReturnedMail { tags, report, dated }) = mail::parse(raw, &envelope.recipients) else {
            return Ok(dropped("unreadable"));
        };
        let Some(report) = report else {
            return Ok(dropped("noReport"));
        };
        if tags.is_empty() {
            return Ok(dropped("untagged"));
        }
        let hash_key = self.hash_keys.get().await?;
        for tag in &tags {
            match self.delivery_of(tag, &hash_key).await? {
                TaggedDelivery::Forged => {}
                TaggedDelivery::Gone(_) => return Ok(dropped("deliveryExpired")),
                // The report was quicker than the record of the sending.
                TaggedDelivery::Found { is_claimed: true, .. } => return Err(FeedbackError::Unfinished),
                TaggedDelivery::Found { id, address, .. } => {
                    let effect = report.effect();
                    let kind = report.kind();
                    let now = self.sources.now();
                    let mut arrival = Arrival { received: envelope.received, dated, recorded: None };
                    if !arrival.is_known(now) {
                        arrival.recorded = self.recorded_at(&id, kind).await?;
                    }
                    let at = arrival.at(now);
                    let feedback = Feedback { kind, detail: report.into_detail(), at };
                    let suppressed = match &address {
                        // A delivery fails once, however many reports of it arrive.
                        Some(address) => {
                            let notified = Some(&Notified::of(&id, &hash_key));
                            let report = AddressReport { address, at: feedback.at, by: "smtp", notified };
                            self.apply(effect, &report, &event_of(&id)).await?
                        }
                        None => None,
                    };
                    let recorded = self.deliveries.add_feedback(&id, &feedback).await?;
                    metrics::emit(&[("outcome", kind.as_str())], &[("ReturnedMail", Unit::Count, 1)]);
                    tracing::info!(
                        offer.id = %id.offer,
                        customer.id = id.customer.as_str(),
                        kind = kind.as_str(),
                        detail = feedback.detail,
                        suppressed = suppressed.map(Reason::as_str),
                        recorded = ?recorded,
                        "report to the return path handled"
                    );
                    return Ok(true);
                }
            }
        }
        Ok(dropped("forged"))
    }

    /// When feedback of this kind on a delivery happened, if it has any.
    async fn recorded_at(&self, id: &DeliveryId, kind: FeedbackKind) -> Result<Option<Timestamp>, FeedbackError> {
        let deliveries = self.deliveries.of_customer(id.offer, &id.customer).await?;
        let feedback = deliveries.into_iter().filter(|delivery| delivery.channel == id.channel);
        let mut feedback = feedback.filter_map(|delivery| delivery.feedback);
        Ok(feedback.find(|feedback| feedback.kind == kind).map(|feedback| feedback.at))
    }

    async fn delivery_of(&self, tag: &ReturnTag, hash_key: &HashKey) -> Result<TaggedDelivery, FeedbackError> {
        let ring = (self.ring)(RING_AGE).await.map_err(FeedbackError::Keys)?;
        match self.deliveries.of_tag(tag, &ring, hash_key).await? {
            TaggedDelivery::Forged => {
                let newer = (self.ring)(RECHECK_AGE).await.map_err(FeedbackError::Keys)?;
                if ring == newer {
                    return Ok(TaggedDelivery::Forged);
                }
                Ok(self.deliveries.of_tag(tag, &newer, hash_key).await?)
            }
            found => Ok(found),
        }
    }
}

fn event_of(id: &DeliveryId) -> String {
    format!("{} {}", id.offer, id.customer)
}

/// Counts and logs mail that is not acted on: not even its sender is named, who may be anyone.
fn dropped(why: &'static str) -> bool {
    metrics::emit(&[("outcome", why)], &[("ReturnedMail", Unit::Count, 1)]);
    tracing::info!(why, "mail to the return path dropped; it is no report about a delivery of ours");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_happened_when_it_arrived_as_far_as_that_is_known() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let now = 100;
        for (received, dated, recorded, expected) in [
            (Some(10), Some(20), Some(30), 10),
            (Some(101), Some(20), Some(30), now),
            (None, Some(20), Some(30), 20),
            (None, Some(now), Some(30), now),
            (None, Some(101), Some(30), 30),
            (None, Some(101), None, now),
            (None, None, Some(30), 30),
            (None, None, Some(101), now),
            (None, None, None, now),
        ] {
            let arrival =
                Arrival { received: received.map(time), dated: dated.map(time), recorded: recorded.map(time) };
            assert_eq!(arrival.at(time(now)), time(expected), "{arrival:?}");
        }
    }
}
