use std::collections::BTreeSet;

use serde_json::{Value, json};
use store::offers::PushRequest;
use store::pushes::Push;

use super::*;

/// A batch in the queue.
pub(in crate::pipeline) fn queued(changed: Value) -> Batch {
    let mut batch = json!({
        "push": {"offer": testing::OFFER, "number": 1}, "slice": 0, "generation": 1, "batch": 0, "channel": "email",
        "customers": ["c-1"],
    });
    batch.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    serde_json::from_value(batch).unwrap()
}

/// A running push with one slice, of this offer.
pub(in crate::pipeline) fn pushed(offer: Offer) -> PushedOffer {
    let (id, at) = (queued(json!({})).push, testing::clock::START);
    let push = Push {
        id,
        state: PushState::Running,
        slices: 1,
        slices_done: 0,
        requested_by: "bank".to_owned(),
        requested_at: at,
        starts_at: None,
        started_at: Some(at),
        cancelled_by: None,
        completed_at: None,
        published: BTreeSet::new(),
    };
    let request = PushRequest {
        push: id,
        requested_by: "bank".to_owned(),
        requested_at: at,
        retry_rejected: true,
        lost_deliveries: 0,
        trace: None,
    };
    PushedOffer { push, offer: Arc::new(offer), request: Arc::new(request) }
}

fn offer(fields: Value) -> Offer {
    let mut body = json!({"code": "A", "description": "B", "channels": ["email"]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    testing::offer(body)
}

#[test]
fn batch_is_used_if_what_it_names_is_stored_and_for_its_channel() {
    let stored = |slices, state| {
        let pushed = pushed(offer(json!({})));
        Some(PushedOffer { push: Push { slices, state, ..pushed.push.clone() }, ..pushed })
    };
    let running = || stored(2, PushState::Running);
    let no_slice = |slices, slice, generation| Some(UnusableBatch::NoSuchSlice { slices, slice, generation });
    let (named, own) = (Channel::Sms, Channel::Email);
    for (changed, pushed, refused) in [
        (json!({}), running(), None),
        (json!({"slice": 1, "generation": 9}), running(), None),
        (json!({}), stored(1, PushState::Cancelled), None),
        (json!({}), stored(1, PushState::Completed), None),
        (json!({}), None, Some(UnusableBatch::NotStored)),
        (json!({"channel": "sms"}), running(), Some(UnusableBatch::OtherChannel { named, own })),
        (json!({"slice": 2}), running(), no_slice(2, 2, 1)),
        (json!({"slice": u32::MAX}), running(), no_slice(2, u32::MAX, 1)),
        (json!({"generation": 0}), running(), no_slice(2, 0, 0)),
        // Its time has not come: it has no slices yet.
        (json!({}), stored(0, PushState::Scheduled), no_slice(0, 0, 1)),
    ] {
        let checked = CheckedBatch::new(&queued(changed.clone()), Channel::Email, pushed);
        assert_eq!(checked.err(), refused, "{changed}");
    }
    assert_eq!(no_slice(2, 3, 1).unwrap().to_string(), "names slice 3 of 2, generation 1");
    let sms_only = pushed(offer(json!({"channels": ["sms"]})));
    let refused = CheckedBatch::new(&queued(json!({})), Channel::Email, Some(sms_only)).unwrap_err();
    assert_eq!(refused, UnusableBatch::NotOffered(Channel::Email));
}

#[test]
fn what_decides_what_is_sent_is_read_from_the_tables() {
    let pushed = pushed(offer(json!({"validFrom": "2026-06-02T12:00:00Z"})));
    let checked = CheckedBatch::new(&queued(json!({})), Channel::Email, Some(pushed.clone())).unwrap();
    assert_eq!((&checked.offer, checked.retry_rejected), (&pushed.offer, true));
    assert_eq!((checked.requested_at, checked.push_is_cancelled), (testing::clock::START, false));
    assert_eq!(checked.due_at().to_string(), "2026-06-02T12:00:00Z");
}
