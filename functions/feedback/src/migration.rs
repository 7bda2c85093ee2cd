//! The migration of hashes, as the schedule runs it: see [`store::suppressions`].

use jiff::SignedDuration;
use serde_json::{Value, json};
use store::StoreError;
use store::suppressions::{Migrated, MigrationStep};

use crate::App;

/// How long one invocation migrates. The function has 30 seconds, and a step may need some.
const MIGRATE_FOR: SignedDuration = SignedDuration::from_secs(15);
/// Items that one step reads.
const PAGE: i32 = 200;

/// Whether the schedule asks for the migration; `template.yaml` sets this input.
pub(crate) fn is_asked_for(payload: &Value) -> bool {
    payload.get("migrate").is_some_and(|what| what == "keyedHashes")
}

impl App {
    /// Migrates page by page until the time is up, or there is nothing to do now.
    pub(crate) async fn migrate(&self) -> Result<Value, StoreError> {
        let hash_key = self.hash_keys.get().await?;
        let end = self.sources.now() + MIGRATE_FOR;
        let mut sum = Migrated::default();
        let mut state = "running";
        while self.sources.now() < end {
            match self.suppressions.migrate_page(&hash_key, PAGE).await? {
                MigrationStep::Page(migrated) => sum += migrated,
                MigrationStep::LastPage(migrated) => {
                    sum += migrated;
                    state = "finished now";
                    break;
                }
                MigrationStep::Finished => return Ok(json!({"migration": "finished"})),
                MigrationStep::Waiting(until) => {
                    tracing::info!(%until, "the migration of hashes waits for functions of the release before to end");
                    return Ok(json!({"migration": "waiting", "until": until}));
                }
                MigrationStep::Overtaken => {
                    state = "overtaken";
                    break;
                }
            }
        }
        let Migrated { moved, rewritten, dropped, changed, unreadable } = sum;
        tracing::info!(state, moved, rewritten, dropped, changed, "hashes migrated");
        if unreadable > 0 {
            tracing::error!(
                unreadable,
                "suppressions that cannot be read; the migration of hashes does not end while there are any"
            );
        }
        Ok(json!({"migration": state, "moved": moved, "rewritten": rewritten, "dropped": dropped, "changed": changed}))
    }
}
