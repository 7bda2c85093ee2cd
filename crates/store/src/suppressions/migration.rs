//! Moves what releases before keyed hashes stored to where this one stores it, while the system runs.
//!
//! Each item is moved at one moment, on the condition that it is as it was read, so that at every moment it suppresses in
//! one place or the other, and a customer who subscribes again or is lifted meanwhile stays so. Readers look in both places until
//! the migration is finished.
//!
//! For its first hour it moves nothing. While a deployment runs, and up to 15 minutes after it (Lambda's longest
//! timeout), functions of the release before run as well, which find only what is where they stored it, and store more.
//! The same holds if the deployment fails and is rolled back; once it is repeated, the hour begins anew. After that hour
//! nothing old comes up any more, so a pass over the whole table that finds nothing old is the last.

use std::ops::AddAssign;
use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use domain::HashKey;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::de::IgnoredAny;

use super::merge::{self, Kept, Stored};
use super::progress::{STATE, State};
use super::{MIGRATED, Suppression, Suppressions, opt_out_key, report_key};
use crate::StoreError;
use crate::attributes::{Item, millis, number, partition_key, text};
use crate::table::{Conditional, Consistency, never_own};

/// Items that are moved at the same time.
const CONCURRENCY: usize = 16;
/// Attempts at moving an item that others change. The next pass tries again.
const ATTEMPTS: u32 = 3;

/// The result of a step of the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationStep {
    /// It was finished before.
    Finished,
    /// It moves nothing before this time.
    Waiting(Timestamp),
    /// Another invocation is at it.
    Overtaken,
    /// One page was migrated, and more are to be read.
    Page(Migrated),
    /// The last page of a pass that found nothing old: it is finished.
    LastPage(Migrated),
}

/// What a step found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Opt-outs and reports that were moved, or were there already.
    pub moved: u64,
    /// Records of lifts that name the keyed hash now.
    pub rewritten: u64,
    /// Counted bounces that were dropped: they expire by themselves, suppress nothing yet, and begin anew.
    pub dropped: u64,
    /// Items that others changed meanwhile. The next pass finds those that are still old.
    pub changed: u64,
    /// Items that cannot be read. They stay as they are, and the migration does not end while there are any.
    pub unreadable: u64,
}

impl AddAssign for Migrated {
    fn add_assign(&mut self, other: Self) {
        let Self { moved, rewritten, dropped, changed, unreadable } = other;
        self.moved += moved;
        self.rewritten += rewritten;
        self.dropped += dropped;
        self.changed += changed;
        self.unreadable += unreadable;
    }
}

impl Migrated {
    const fn old(&self) -> u64 {
        self.moved + self.rewritten + self.dropped + self.changed + self.unreadable
    }
}

/// What an earlier release stored.
enum Old {
    /// An opt-out or a report.
    Suppression(Place),
    /// What counts towards a suppression.
    Counter,
    /// The record of a lift, with the keyed hash of the address.
    Lift(String),
}

/// Where an item is moved.
enum Place {
    /// To the opt-out with this keyed hash of the customer, and to the one of the address.
    OptOut(String),
    /// To what is reported of the address with this keyed hash.
    Report(String),
}

/// Which of two items is kept.
type Rule = fn(Suppression, Option<&Stored>) -> Kept;

impl Old {
    fn parse(item: &Stored, hash_key: &HashKey) -> Option<Self> {
        let (kind, hash) = item.pk.split_once('#')?;
        let keyed = hash_key.rekey(hash);
        match (kind, keyed) {
            ("customer", Some(keyed)) => Some(Self::Suppression(Place::OptOut(keyed))),
            ("address", Some(keyed)) => Some(Self::Suppression(Place::Report(keyed))),
            ("bounces" | "unknown", keyed) => keyed.map(|_| Self::Counter),
            ("lift", _) => item.lifted.as_ref().and_then(|lifted| hash_key.rekey(lifted)).map(Self::Lift),
            _ => None,
        }
    }
}

impl Suppressions {
    /// One step of the migration: reads a page of up to so many items, and migrates what is old in it. Repeated steps
    /// continue where the last one ended, also in another invocation; at the same time, they do no harm.
    pub async fn migrate_page(&self, hash_key: &HashKey, page: i32) -> Result<MigrationStep, StoreError> {
        if self.is_migrated() {
            return Ok(MigrationStep::Finished);
        }
        if self.table.get(partition_key(MIGRATED)).await?.is_some() {
            self.is_migrated.store(true, Ordering::Relaxed);
            return Ok(MigrationStep::Finished);
        }
        let state = self.migration_state().await?;
        if let Some(waiting) = state.waiting(self.table.now()) {
            let starts_at = waiting.starts_at();
            let is_stored = self.store_state(&state, Some(waiting)).await?;
            return Ok(if is_stored { MigrationStep::Waiting(starts_at) } else { MigrationStep::Overtaken });
        }
        let (items, cursor) = self.scan_old(state.cursor.clone(), page).await?;
        let migrated = stream::iter(items)
            .map(async |item| self.migrate(item, hash_key).await)
            .buffer_unordered(CONCURRENCY)
            .try_fold(Migrated::default(), async |mut sum, one| {
                sum += one;
                Ok(sum)
            })
            .await?;
        let next = state.after(migrated.old(), cursor, self.table.now());
        let is_last = next.is_none();
        if !self.store_state(&state, next).await? {
            return Ok(MigrationStep::Overtaken);
        }
        Ok(if is_last { MigrationStep::LastPage(migrated) } else { MigrationStep::Page(migrated) })
    }

    /// The state, which the first step stores.
    async fn migration_state(&self) -> Result<State, StoreError> {
        if let Some(item) = self.table.get(partition_key(STATE)).await? {
            return self.table.read(item);
        }
        let state = State::new(self.table.now(), 0);
        let put = self.table.put(state.item()).condition_expression("attribute_not_exists(pk)");
        Ok(match self.table.put_if(put, never_own).await? {
            Conditional::Done(()) => state,
            Conditional::NotMet(stored) => stored,
        })
    }

    /// Stores what follows the state that was read: the next state or, if there is none, that the migration is finished.
    /// Returns whether it was still that state.
    async fn store_state(&self, read: &State, next: Option<State>) -> Result<bool, StoreError> {
        let is_finished = next.is_none();
        let next = next.unwrap_or_else(|| read.ended());
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(next.item()))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", number(read.version));
        let mut writes = vec![put_write(put)];
        if is_finished {
            let mut marker = partition_key(MIGRATED);
            marker.insert("at".to_owned(), millis(self.table.now()));
            writes.push(put_write(Put::builder().table_name(self.table.name()).set_item(Some(marker))));
        }
        let is_stored = self.table.transact(writes).await?.is_done();
        if is_stored && is_finished {
            self.is_migrated.store(true, Ordering::Relaxed);
        }
        Ok(is_stored)
    }

    /// One page of what may be old, and the last key that was read, if there is more.
    async fn scan_old(&self, after: Option<String>, page: i32) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let mut scan = self
            .table
            .client()
            .scan()
            .table_name(self.table.name())
            .consistent_read(true)
            .limit(page)
            .set_exclusive_start_key(after.map(partition_key));
        let mut kinds = Vec::new();
        for kind in ["address", "customer", "bounces", "unknown", "lift"] {
            kinds.push(format!("begins_with(pk, :{kind})"));
            scan = scan.expression_attribute_values(format!(":{kind}"), text(format!("{kind}#")));
        }
        let scanned = scan.filter_expression(kinds.join(" OR ")).send().await;
        let page = scanned.map_err(|error| self.table.call_failed("Scan", &error))?;
        let last = page.last_evaluated_key.as_ref().and_then(|key| key.get("pk")?.as_s().ok().cloned());
        Ok((page.items.unwrap_or_default(), last))
    }

    async fn migrate(&self, item: Item, hash_key: &HashKey) -> Result<Migrated, StoreError> {
        let none = Migrated::default();
        // It must not stop the others.
        let Ok(item) = self.table.read::<Stored>(item) else {
            return Ok(Migrated { unreadable: 1, ..none });
        };
        let pk = item.pk.clone();
        Ok(match Old::parse(&item, hash_key) {
            None => none,
            Some(Old::Counter) => {
                self.table.delete(partition_key(pk)).await?;
                Migrated { dropped: 1, ..none }
            }
            Some(Old::Lift(keyed)) => {
                let update = self
                    .table
                    .update(partition_key(pk))
                    .update_expression("SET lifted = :keyed")
                    .condition_expression("attribute_exists(pk)")
                    .expression_attribute_values(":keyed", text(keyed));
                self.table.write_if(update, never_own::<IgnoredAny>).await?;
                Migrated { rewritten: 1, ..none }
            }
            Some(Old::Suppression(place)) => self.move_item(item, &place, hash_key).await?,
        })
    }

    /// Moves an item to where it belongs.
    async fn move_item(&self, mut item: Stored, to: &Place, hash_key: &HashKey) -> Result<Migrated, StoreError> {
        let changed = Migrated { changed: 1, ..Migrated::default() };
        for _ in 0..ATTEMPTS {
            let writes = self.moving(&item, to, hash_key).await?;
            if self.table.transact(writes).await?.is_done() {
                return Ok(Migrated { moved: 1, ..Migrated::default() });
            }
            let Some(again) = self.table.get(partition_key(&item.pk)).await? else {
                return Ok(changed);
            };
            item = self.table.read(again)?;
        }
        Ok(changed)
    }

    /// The writes that move an item, each on the condition that nothing has changed since it was read.
    async fn moving(
        &self,
        item: &Stored,
        to: &Place,
        hash_key: &HashKey,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let read = item.suppression();
        let remove = self.remove_as_read(&item.pk, read);
        // An item without a reason suppresses nothing.
        let Some(read) = read else {
            return Ok(vec![remove]);
        };
        // A clock that was ahead must not outlive a lift.
        let suppression = Suppression { since: read.since.min(self.table.now()), ..read };
        let address = item.address_hash.as_ref().and_then(|hash| hash_key.rekey(hash));
        let (keys, rule): (Vec<_>, Rule) = match to {
            // It holds for the address as well.
            Place::OptOut(customer) => {
                ([customer].into_iter().chain(&address).map(opt_out_key).collect(), merge::opt_out)
            }
            Place::Report(address) => (vec![report_key(address)], merge::report),
        };
        let stored = self.table.get_many(keys.iter().map(partition_key).collect(), Consistency::Strong).await?;
        let stored: Vec<Stored> = stored.into_iter().map(|item| self.table.read(item)).collect::<Result<_, _>>()?;
        let mut writes = Vec::new();
        for key in keys {
            let new = stored.iter().find(|new| new.pk == key);
            if rule(suppression, new) == Kept::Old {
                writes.push(self.store_moved(&key, suppression, address.as_ref(), item.by.as_deref(), new));
            }
        }
        writes.push(remove);
        Ok(writes)
    }

    /// Stores what was old under a key, if that still is as it was read.
    fn store_moved(
        &self,
        key: &str,
        Suppression { reason, since }: Suppression,
        address: Option<&String>,
        by: Option<&str>,
        read: Option<&Stored>,
    ) -> TransactWriteItem {
        let mut update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(key)))
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":reason", text(reason))
            .expression_attribute_values(":since", millis(since))
            .expression_attribute_values(":by", text(by.unwrap_or_default()));
        let mut set = "SET reason = :reason, since = :since, #by = :by".to_owned();
        if let Some(address) = address {
            set.push_str(", addressHash = :address");
            update = update.expression_attribute_values(":address", text(address));
        }
        let mut conditions = Vec::new();
        for (name, value) in [
            ("reason", read.and_then(|read| read.reason).map(text)),
            ("since", read.and_then(|read| read.since).map(millis)),
            ("liftedAt", read.and_then(|read| read.lifted_at).map(millis)),
        ] {
            conditions.push(match value {
                Some(value) => {
                    update = update.expression_attribute_values(format!(":{name}Read"), value);
                    format!("{name} = :{name}Read")
                }
                None => format!("attribute_not_exists({name})"),
            });
        }
        let update = update.update_expression(set).condition_expression(conditions.join(" AND "));
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
    }
}

fn put_write(put: PutBuilder) -> TransactWriteItem {
    TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
}
