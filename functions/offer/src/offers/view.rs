//! Offers as callers read them.

use domain::channel::Channels;
use domain::offer::{Announcement, Offer};
use domain::{OfferId, RuleText};
use jiff::Timestamp;
use serde::Serialize;

use crate::preview::findings::Finding;

/// An offer as callers read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfferView<'a> {
    id: OfferId,
    code: &'a str,
    #[serde(flatten)]
    announcement: &'a Announcement,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligibility: Option<&'a str>,
    channels: &'a Channels,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    created_at: Timestamp,
    created_by: &'a str,
}

impl<'a> From<&'a Offer> for OfferView<'a> {
    fn from(offer: &'a Offer) -> Self {
        // Each field is named, so that a new one is not forgotten.
        let Offer { id, code, announcement, eligibility, channels, valid_from, valid_until, created_at, created_by } =
            offer;
        Self {
            id: *id,
            code,
            announcement,
            eligibility: eligibility.as_ref().map(RuleText::source),
            channels,
            valid_from: *valid_from,
            valid_until: *valid_until,
            created_at: *created_at,
            created_by,
        }
    }
}

/// An offer that was just stored, and what will probably go wrong with it.
#[derive(Serialize)]
pub(super) struct CreatedView<'a> {
    #[serde(flatten)]
    pub(super) offer: OfferView<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) warnings: &'a [Finding],
}

#[derive(Serialize)]
pub(super) struct OffersView<'a> {
    pub(super) offers: Vec<OfferView<'a>>,
    pub(super) cursor: Option<String>,
}
