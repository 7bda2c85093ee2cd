//! The stories, which are the end-to-end tests in `tests/stories`: which of their groups run at the same time.
//!
//! They are one program. libtest would run all its tests at the same time, so this lists the program's tests and then
//! runs the program once for each group. Two alternatives were rejected. A program for each group takes minutes more to
//! link, and cargo runs such programs in the order of their names. `libtest-mimic` can run groups in an order, but it
//! does not capture a test's output, and each test must be added to a list by hand.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use offercast::output as said;
use serde_json::Value;

use super::{output, succeeded};

/// All groups, by stage. Each group is a module in `tests/stories`. The stages run one after the other, the groups of a stage
/// at the same time, and so do the stories of a group.
///
/// Stories of one group may break a part of the stack for a while: the others of the group do not need that part, or share a
/// lock with it. Such a group is a stage of its own, unless the comment says why not. What breaks more than it seems:
/// - A change of a function's environment ends its invocations. Their messages come again after 15 minutes, and MiniStack loses
///   their stream records.
/// - Faults of the SMTP server replace those of other stories.
/// - Messages that come again after a second are dead letters after five.
const STAGES: &[&[&str]] = &[
    // These break nothing. The first three take longest: they begin first, and mostly wait. The faults of `frozen_functions`
    // are for addresses of its own, and it is done with them in seconds.
    &[
        "sample_events",
        "frozen_functions",
        "fuzz",
        "pushes",
        "offers",
        "accessibility",
        "openapi",
        "examples",
        "languages",
        "unsubscribe_page",
    ],
    // Nor do these, but `preview` counts an audience, which takes longer the more customers there are and may then be an
    // estimate; `roles` opens the roles of functions to all callers, which no other story notices.
    &["preview", "telemetry", "operator_tool", "developer_machine", "roles"],
    &["contract"],         // Lets no test messages of previews be sent.
    &["status_page"],      // Slows the SMTP server down, and looks for its offers among the newest.
    &["consent"],          // Changes the keys that sign links, and the faults of the SMTP server.
    &["event_bus"],        // Breaks the event bus, and writes to the offers table.
    &["event_sources"],    // Makes the push function fail.
    &["offer_for_all"],    // Posts an offer for the customers of all stories.
    &["sending_switch"],   // Switches sending off.
    &["killed_functions"], // Kills functions at work for any story.
    &["lost_messages"],    // Empties a queue.
    &["dead_letters"],     // Makes the email function fail, and expects no other dead letters.
    &["rate_limit"],       // Changes the rate.
    &["forged_messages"],  // Fills dead-letter queues, and lets messages come again at once.
    &["ses"],              // Changes the transport of e-mail.
    &["sms"],              // Changes the SNS of texts, and sends e-mail.
    &["smtp_faults"],      // Makes the SMTP server fail.
    &["store_failure"],    // Breaks writes to the offers table, and needs empty queues.
    &["hash_migration"],   // Lets the migration of hashes end: most stories show that what comes before it works.
    &["slow_store"],       // Makes the store refuse writes.
    &["privacy"],          // Last: it reads what the functions logged during all the other stories.
];

/// How much runs at the same time. Stories mostly wait, so it is more than there are processors.
#[derive(Clone, Copy)]
pub(super) struct AtOnce {
    /// The groups of a stage.
    groups: usize,
    /// The stories of a group.
    stories: usize,
}

impl AtOnce {
    /// On MiniStack: the three long groups, and two others.
    pub(super) const MINISTACK: Self = Self { groups: 5, stories: 8 };
    /// On LocalStack, which handles some 70 requests a second and scans one slice at a time. With more, a busy machine makes its
    /// store so slow that the API returns `503`.
    pub(super) const LOCALSTACK: Self = Self { groups: 1, stories: 4 };
}

/// What libtest reads the number of tests at the same time from. By default, it is the number of processors.
const STORIES_VARIABLE: &str = "RUST_TEST_THREADS";

/// The module of all stories. Their names begin with it.
pub(super) const MODULE: &str = "stories::";

/// Whether a group has this name.
pub(super) fn is_group(name: &str) -> bool {
    STAGES.iter().any(|stage| stage.contains(&name))
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
    /// If a group is not in `STAGES`, since its stories would not run.
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
            bail!("the group {forgotten} is missing from STAGES in local/stack/src/test/groups.rs");
        }
        let folder = cargo().get_current_dir().context("cargo runs in the workspace")?.join("tests");
        Ok(Self { program, folder, groups: by_group })
    }

    /// Runs one stage after the other. Returns the names of the groups that failed.
    pub(super) async fn run(
        &self,
        libtest: &[String],
        at_once: AtOnce,
        prepare: impl Fn(&mut Command),
    ) -> Result<Vec<&'static str>> {
        let mut failed = Vec::new();
        for stage in STAGES {
            let selected: Vec<_> = stage.iter().filter_map(|group| Some((*group, self.groups.get(*group)?))).collect();
            let is_alone = selected.len() == 1;
            let groups = selected.into_iter().map(|(group, names)| {
                let mut command = self.command(names, libtest, &prepare);
                if env::var_os(STORIES_VARIABLE).is_none() {
                    command.env(STORIES_VARIABLE, at_once.stories.to_string());
                }
                async move { anyhow::Ok((group, run_group(group, command, is_alone).await?)) }
            });
            let ended: Vec<_> = stream::iter(groups).buffer_unordered(at_once.groups).try_collect().await?;
            failed.extend(ended.iter().filter(|(_, succeeded)| !succeeded).map(|(group, _)| *group));
        }
        Ok(failed)
    }

    /// Runs these stories at the same time.
    fn command(&self, names: &[String], libtest: &[String], prepare: impl Fn(&mut Command)) -> Command {
        let mut command = Command::new(&self.program);
        // A name among the caller's own arguments is selected already, and may be one of another group.
        let options = libtest.iter().filter(|argument| !self.groups.values().flatten().any(|name| name == *argument));
        command.current_dir(&self.folder).args(options).arg("--exact").args(names);
        prepare(&mut command);
        command
    }
}

/// Runs a group. Its output is shown as it comes if no other group runs, otherwise as a whole. Returns whether all its stories
/// succeeded.
async fn run_group(group: &str, command: Command, is_alone: bool) -> Result<bool> {
    let heading = format!("Stories: {group}");
    if is_alone {
        said::step(&heading);
        return Ok(output(command, false).await?.status.success());
    }
    let began = Instant::now();
    let output = output(command, true).await?;
    said::step(&format!("{heading} ({:.1} s)", began.elapsed().as_secs_f32()));
    std::io::stdout().write_all(&output.stdout)?;
    Ok(output.status.success())
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

    use super::STAGES;

    #[test]
    fn every_group_of_stories_has_one_place_and_privacy_is_last() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/stories"));
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let groups: BTreeSet<_> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        // `mod` lists the others, and the tests of the template need no stack.
        let groups: Vec<_> = groups.iter().filter(|name| *name != "mod" && !name.starts_with("template")).collect();
        let mut staged = STAGES.concat();
        staged.sort_unstable();
        assert_eq!(groups, staged);
        assert_eq!(STAGES.last(), Some(&["privacy"].as_slice()));
    }
}
