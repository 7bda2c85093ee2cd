//! The stories, which are the end-to-end tests in `tests/stories`: the order in which their groups run.
//!
//! They are one program. libtest would run all its tests at the same time, so this lists the program's tests and then
//! runs the program once for each group. Two alternatives were rejected. A program for each group takes minutes more to
//! link, and cargo runs such programs in the order of their names. `libtest-mimic` can run groups in an order, but it
//! does not capture a test's output, and each test must be added to a list by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{output, succeeded};
use crate::progress;

/// All groups. Each is a module in `tests/stories`. They run one after the other, and the stories of each at the same
/// time.
///
/// A story may therefore break a part of the stack for a while. The stories of its own group either do not need that
/// part, or share a lock with it. A comment says what a group breaks, or why it has its place. A group without a
/// comment breaks nothing and may have any place.
const ORDER: [&str; 32] = [
    "consent",       // Changes the keys that sign links.
    "contract",      // Lets no test messages of previews be sent.
    "event_bus",     // Breaks the event bus and writes to the offers table.
    "event_sources", // Makes the push function fail.
    "sample_events", // Posts an offer for all customers: no other story may count mail until it is sent.
    "offer_for_all", // Posts an offer for all customers, and counts mail.
    "frozen_functions",
    "fuzz",             // Cancels pushes and changes customers of any story.
    "sending_switch",   // Switches sending off.
    "killed_functions", // Kills functions at work for any story.
    "lost_messages",    // Empties queues.
    "dead_letters",     // Makes the email function fail, and expects no other dead letters.
    "developer_machine",
    "languages",
    "offers",
    "openapi",
    "rate_limit", // Changes the rate.
    "accessibility",
    "unsubscribe_page",
    "preview",
    "pushes",
    "forged_messages", // Opens the roles of functions to all callers, and fills dead-letter queues.
    "roles",           // Opens the functions' roles to all callers.
    "ses",             // Changes the transport of e-mail.
    "sms",             // Breaks SNS, and empties the e-mail queue.
    "smtp_faults",     // Makes the SMTP server fail.
    "status_page",     // Slows the SMTP server down.
    "store_failure",   // Breaks writes to the offers table, and needs empty queues.
    "telemetry",
    "hash_migration", // Lets the migration of hashes end.
    "slow_store",     // Slows the store down, and makes it refuse writes.
    "privacy",        // Last: it reads what the functions logged during all the other stories.
];

/// The module of all stories. Their names begin with it.
pub(super) const MODULE: &str = "stories::";

/// Whether a group has this name.
pub(super) fn is_group(name: &str) -> bool {
    ORDER.contains(&name)
}

/// The program that holds the stories, and those to run, by group.
pub(super) struct Stories {
    program: PathBuf,
    folder: PathBuf,
    groups: BTreeMap<String, Vec<String>>,
}

impl Stories {
    /// Builds the program and selects the stories to run: those of `groups`, or of all groups if there are none.
    /// `cargo` makes a call of `cargo test` with the caller's own arguments; `libtest` has the arguments for the
    /// program.
    ///
    /// # Errors
    /// If a group is not in `ORDER`, since its stories would not run.
    pub(super) async fn select(cargo: impl Fn() -> Command, libtest: &[String], groups: &[String]) -> Result<Self> {
        let mut build = cargo();
        build.args(["--test", "stories", "--no-run", "--message-format", "json-render-diagnostics"]);
        let built = succeeded("cargo test --no-run", output(build, true).await?)?;
        let program = built.lines().find_map(program_in).context("cargo reports no program with the stories")?;
        let mut list = cargo();
        list.args(["--quiet", "--test", "stories", "--", "--list", "--format", "terse"]).args(libtest);
        let listed = succeeded("the stories' program", output(list, true).await?)?;
        let mut by_group = BTreeMap::<String, Vec<String>>::new();
        for name in listed.lines().filter_map(|line| line.strip_suffix(": test")) {
            let group = name.strip_prefix(MODULE).and_then(|rest| rest.split("::").next());
            let group = group.with_context(|| format!("{name} is not in a group of stories"))?;
            if groups.is_empty() || groups.iter().any(|wanted| wanted == group) {
                by_group.entry(group.to_owned()).or_default().push(name.to_owned());
            }
        }
        if let Some(forgotten) = by_group.keys().find(|group| !is_group(group)) {
            bail!("the group {forgotten} is missing from ORDER in local/stack/src/test/groups.rs");
        }
        let folder = cargo().get_current_dir().context("cargo runs in the workspace")?.join("tests");
        Ok(Self { program, folder, groups: by_group })
    }

    /// Runs one group after the other. Returns the names of those that failed.
    pub(super) async fn run(&self, libtest: &[String], prepare: impl Fn(&mut Command)) -> Result<Vec<&'static str>> {
        let mut failed = Vec::new();
        for group in ORDER {
            let Some(names) = self.groups.get(group) else { continue };
            progress::step(&format!("Stories: {group}"));
            let mut command = Command::new(&self.program);
            // A name among the caller's own arguments is selected already, and may be one of another group.
            let options =
                libtest.iter().filter(|argument| !self.groups.values().flatten().any(|name| name == *argument));
            command.current_dir(&self.folder).args(options).arg("--exact").args(names);
            prepare(&mut command);
            if !output(command, false).await?.status.success() {
                failed.push(group);
            }
        }
        Ok(failed)
    }
}

/// The program that a line of cargo's JSON reports, if it is the one with the stories.
fn program_in(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_stories = message["target"]["name"] == "stories" && message["target"]["kind"][0] == "test";
    is_stories.then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::ORDER;

    #[test]
    fn every_group_of_stories_has_one_place_and_privacy_is_last() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/stories"));
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let groups: BTreeSet<_> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        // `mod` lists the others, and the tests of the template need no stack.
        let groups: Vec<_> = groups.iter().filter(|name| *name != "mod" && !name.starts_with("template")).collect();
        let mut ordered = ORDER;
        ordered.sort_unstable();
        assert_eq!(groups, ordered);
        assert_eq!(ORDER.last(), Some(&"privacy"));
    }
}
