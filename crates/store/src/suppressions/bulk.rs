//! Lifting many suppressions: all that have a reason and were made in a period, as after a provider's fault.

use domain::{Channel, HashKey};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{Reason, SuppressionItem, Suppressions, is_unmigrated};
use crate::StoreError;
use crate::attributes::{millis, text};
use crate::cursor::{Cursor, InvalidCursor, fits};

/// Items that one call reads. Each of them may have to be lifted, with four calls.
const PAGE: i32 = 500;
/// Suppressions that are lifted at the same time.
const CONCURRENCY: usize = 16;
/// Who reported a suppression of a number. All others report e-mail.
const SMS_REPORTER: &str = "sns";

domain::wire_enum! {
    /// A reason that can be lifted in bulk. An opt-out is the customer's own word, which is lifted one by one.
    pub enum BulkReason {
        /// As [`Reason::Bounced`].
        Bounced = "bounced",
        /// As [`Reason::Complained`].
        Complained = "complained",
    }
}

impl From<BulkReason> for Reason {
    fn from(reason: BulkReason) -> Self {
        match reason {
            BulkReason::Bounced => Self::Bounced,
            BulkReason::Complained => Self::Complained,
        }
    }
}

/// Which suppressions of addresses to lift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Those with this reason,
    pub reason: BulkReason,
    /// of this channel, or of each,
    pub channel: Option<Channel>,
    /// that hold since this time or a later one,
    pub since: Option<Timestamp>,
    /// and since before this time.
    pub until: Option<Timestamp>,
}

/// One page of a bulk lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// How many were lifted or, if it is only asked how many would be, selected.
    pub lifted: u64,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<Cursor>,
}

impl Suppressions {
    /// Reads one page of the table, and lifts the selected suppressions in it, each with a record of who asked; with
    /// `dry_run`, only counts them. A page may select none although there is a next one.
    pub async fn lift_page(
        &self,
        selection: &Selection,
        after: Option<Cursor>,
        dry_run: bool,
        hash_key: &HashKey,
        by: &str,
    ) -> Result<Lifted, StoreError> {
        let mut filter = "(begins_with(pk, :report) OR begins_with(pk, :address)) AND reason = :reason".to_owned();
        let mut scan = self
            .table
            .client()
            .scan()
            .table_name(self.table.name())
            .consistent_read(true)
            .limit(PAGE)
            .set_exclusive_start_key(after.map(Cursor::into_key))
            .expression_attribute_values(":report", text("reported#"))
            .expression_attribute_values(":address", text("address#"))
            .expression_attribute_values(":reason", text(Reason::from(selection.reason)));
        if let Some(since) = selection.since {
            filter.push_str(" AND since >= :since");
            scan = scan.expression_attribute_values(":since", millis(since));
        }
        if let Some(until) = selection.until {
            filter.push_str(" AND since < :until");
            scan = scan.expression_attribute_values(":until", millis(until));
        }
        if let Some(channel) = selection.channel {
            filter.push_str(match channel {
                Channel::Email => " AND #by <> :sms",
                Channel::Sms => " AND #by = :sms",
            });
            scan = scan.expression_attribute_names("#by", "by").expression_attribute_values(":sms", text(SMS_REPORTER));
        }
        let scanned = scan.filter_expression(filter).send().await;
        let page = scanned.map_err(|error| self.table.call_failed("Scan", &error))?;
        let next = page.last_evaluated_key.as_ref().map(Cursor::from_key);
        let items = page.items.unwrap_or_default();
        if dry_run {
            return Ok(Lifted { lifted: items.len() as u64, next });
        }
        let lifted = stream::iter(items)
            .map(async |item| self.lift_selected(self.table.read(item)?, hash_key, by).await)
            .buffer_unordered(CONCURRENCY)
            .try_fold(0, async |lifted, is_lifted| Ok(lifted + u64::from(is_lifted)))
            .await?;
        Ok(Lifted { lifted, next })
    }

    /// Whether the suppression was lifted: not if it has changed since it was read, as when a complaint replaced a
    /// bounce.
    async fn lift_selected(&self, item: SuppressionItem, hash_key: &HashKey, by: &str) -> Result<bool, StoreError> {
        let (Some((_, stored)), Some(suppression)) = (item.pk.split_once('#'), item.suppression()) else {
            return Ok(false);
        };
        let address = hash_key.stored_address(stored);
        let address = address.ok_or_else(|| self.table.unreadable("the key is malformed"))?;
        self.record_lift(address, std::iter::once(suppression.reason), by).await?;
        self.forget_bounces(address).await?;
        let is_lifted = if is_unmigrated(&item.pk) {
            self.lift_unmigrated_report_if(&item.pk, &address, suppression).await?
        } else {
            self.lift_report_if(&item.pk, suppression).await?
        };
        if is_lifted && suppression.reason == Reason::Complained {
            self.lift_opt_outs_by_complaint(&address).await?;
        }
        Ok(is_lifted)
    }

    /// Checks that [`Suppressions::lift_page`] returned this cursor.
    pub fn check_cursor(cursor: &Cursor) -> Result<(), InvalidCursor> {
        fits(cursor, &["pk"]).then_some(()).ok_or(InvalidCursor)
    }
}
