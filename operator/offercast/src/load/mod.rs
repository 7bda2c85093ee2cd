//! `load`: stores the customers of a CSV file, or generated ones.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the steps, and what is printed | this file |
//! | encodings, delimiters, lines | [`file`] |
//! | what a column is of a customer, and its arguments | [`columns`] |
//! | when a cell is a number; phone numbers | [`cells`] |
//! | which words mean consent | [`consent`] |
//! | a row as a customer | [`customers`] |
//! | calls of the API | [`store`] |
//! | the file of rows that were not stored | [`rejected`] |
//! | generated customers | [`generated`] |

mod cells;
mod columns;
mod consent;
mod customers;
mod file;
mod generated;
mod rejected;
mod store;

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use client::Api;
use domain::channel::Channel;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

pub use self::columns::ColumnArgs;
use self::columns::Columns;
use self::customers::{Contents, Reading};
use self::file::CsvFile;
pub use self::file::Encoding;
use self::generated::GENERATED;
pub use self::generated::generated;
use self::rejected::{Rejected, Rejection};
pub use self::store::store_all;
use self::store::{BYTES_PER_CALL, CONCURRENCY, CUSTOMERS_PER_CALL, Outcome, store};
use crate::output::{self, Step};

/// Rows that are printed with what is wrong with them.
const PRINTED: usize = 10;

/// What to load, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadArgs {
    /// A CSV file, which may be gzipped. Without one, 2,000 customers are made up; only on the local stack.
    ///
    /// Cells are separated by commas, semicolons or tabs, and encoded as UTF-8, UTF-16 or Windows-1252. The first line names the
    /// columns, whatever their case: id, name, email, mobile, channels (email;sms) or emailConsent and smsConsent, locale,
    /// timeZone. Every other column becomes an attribute.
    pub file: Option<PathBuf>,
    /// How the file's characters are encoded, such as utf-8, windows-1252 or iso-8859-2. Default: UTF-8, or else Windows-1252.
    #[arg(long, value_parser = file::parse_encoding, requires = "file")]
    pub encoding: Option<Encoding>,
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Check all rows, and store nothing.
    #[arg(long, requires = "file")]
    pub dry_run: bool,
    /// Where the rows go that cannot be stored. Default: beside the file, with the ending .rejected.csv.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub rejected: Option<PathBuf>,
}

/// Stores the customers. `true` if all of them could be.
///
/// # Errors
/// If the file cannot be loaded as it is, or the API does not respond.
pub async fn load(api: Option<&Api>, args: &LoadArgs) -> Result<bool> {
    let Some(path) = &args.file else {
        store_generated(api.context("customers are made up for the local stack only; name a file")?).await?;
        return Ok(true);
    };
    let (file, contents) = survey(path, args.encoding, &args.columns)?;
    let rejected = match &args.rejected {
        Some(chosen) if chosen.exists() => bail!("{} exists; --rejected must name a new file", chosen.display()),
        Some(chosen) => chosen.clone(),
        None => rejected::path_for(path),
    };
    let rejected = Rejected::new(rejected, file.delimiter, contents.header());
    let api = api.filter(|_| !args.dry_run);
    let loading = Loading {
        contents: &contents,
        api,
        rejected,
        printed: Vec::new(),
        stored: 0,
        unreached: BTreeMap::new(),
        rejected_before: Lines::default(),
    };
    loading.run(&file).await
}

/// Stores customers that are made up.
///
/// # Errors
/// If one of them was not stored.
pub async fn store_generated(api: &Api) -> Result<()> {
    store_all(api, &(1..=GENERATED).map(generated).collect::<Vec<_>>()).await
}

/// Reads the whole file, and says what it is.
fn survey(path: &Path, encoding: Option<Encoding>, args: &ColumnArgs) -> Result<(CsvFile, Contents)> {
    let step = output::step(&format!("Reading {}", path.display()));
    let file = CsvFile::open(path, encoding)?;
    let columns = Columns::of(&file.header()?, args).with_context(|| format!("{} cannot be loaded", path.display()))?;
    let contents = customers::survey(columns, file.rows()?, file.is_guessed)?;
    let (rows, separators, encoding) = (output::count(contents.rows, "row"), file.separators(), file.encoding.name());
    step.done(&format!("{rows}, with {separators} between the cells, in {encoding}"));
    contents.notes.iter().for_each(|note| output::note(note));
    Ok((file, contents))
}

struct Loading<'a> {
    contents: &'a Contents,
    /// `None`: nothing is stored, nor is a file of rejected rows written.
    api: Option<&'a Api>,
    rejected: Rejected,
    /// What is wrong with the first rejected rows; of a check, with all.
    printed: Vec<String>,
    stored: usize,
    /// Rows with consent to a channel, but no address for it.
    unreached: BTreeMap<Channel, Lines>,
    /// Rows with the id of a rejected row before them.
    rejected_before: Lines,
}

/// How many rows have something in common, and the lines of the first of them.
#[derive(Debug, Default)]
struct Lines {
    count: usize,
    first: Vec<String>,
}

impl Lines {
    fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < PRINTED {
            self.first.push(line());
        }
    }

    fn shown(&self) -> String {
        let more = if self.count > self.first.len() { ", …" } else { "" };
        format!("line {}{more}", self.first.join(", "))
    }
}

impl Loading<'_> {
    async fn run(mut self, file: &CsvFile) -> Result<bool> {
        let what = if self.api.is_some() { "Storing" } else { "Checking" };
        let mut step = output::step(&format!("{what} {}", output::count(self.contents.rows, "customer")));
        self.each(file, &mut step).await.with_context(|| {
            let stored = output::count(self.stored, "customer");
            format!("{stored} stored so far. Run the same command again: it begins again, and stores what is missing")
        })?;
        self.finish(step)
    }

    /// Reads the rows, and stores them a hundred at a time.
    async fn each(&mut self, file: &CsvFile, step: &mut Step) -> Result<()> {
        let mut reading = Reading::new(self.contents);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut calls = FuturesUnordered::new();
        for row in file.rows()? {
            match reading.read(row?) {
                None => {}
                Some(Err(rejection)) => self.reject(&rejection)?,
                Some(Ok(loaded)) => {
                    let line = loaded.row.line;
                    for channel in &loaded.unreached {
                        self.unreached.entry(*channel).or_default().add(|| line.to_string());
                    }
                    if let Some(before) = loaded.rejected_before {
                        self.rejected_before.add(|| format!("{line} (rejected: line {before})"));
                    }
                    let size = loaded.json.to_string().len();
                    if batch.len() == CUSTOMERS_PER_CALL || bytes + size > BYTES_PER_CALL {
                        calls.push(store(self.api, mem::take(&mut batch)));
                        bytes = 0;
                    }
                    bytes += size;
                    batch.push(loaded);
                }
            }
            if calls.len() == CONCURRENCY
                && let Some(outcome) = calls.next().await
            {
                self.settle(outcome?, step)?;
            }
        }
        if !batch.is_empty() {
            calls.push(store(self.api, batch));
        }
        while let Some(outcome) = calls.next().await {
            self.settle(outcome?, step)?;
        }
        Ok(())
    }

    fn settle(&mut self, outcome: Outcome, step: &mut Step) -> Result<()> {
        self.stored += outcome.stored;
        outcome.rejections.iter().try_for_each(|rejection| self.reject(rejection))?;
        step.update(&format!("{} of {}", output::grouped(self.stored), output::grouped(self.contents.rows)));
        Ok(())
    }

    fn reject(&mut self, rejection: &Rejection) -> Result<()> {
        // A check shows all, since it writes no file of them.
        if self.rejected.count < PRINTED || self.api.is_none() {
            let faults = rejection.faults.iter().map(|(column, reason)| format!("{column} {reason}"));
            self.printed.push(format!("line {}: {}", rejection.row.line, faults.collect::<Vec<_>>().join("; ")));
        }
        if self.api.is_none() {
            self.rejected.count += 1;
            return Ok(());
        }
        self.rejected.add(rejection)
    }

    fn finish(self, step: Step) -> Result<bool> {
        let (stored, rejected) = (output::count(self.stored, "customer"), self.rejected.count);
        step.done(&match self.api {
            Some(_) => format!("{stored} stored"),
            None => format!("{stored} can be stored; nothing was"),
        });
        for (channel, lines) in &self.unreached {
            let (channel, address) = (output::channel(*channel), address(*channel));
            let (rows, lines) = (output::count(lines.count, "row"), lines.shown());
            output::note(&format!(
                "{rows} with consent to {channel} and no {address}, so nothing is sent there: {lines}"
            ));
        }
        if self.rejected_before.count > 0 {
            let (rows, lines) = (output::count(self.rejected_before.count, "row"), self.rejected_before.shown());
            output::note(&format!(
                "{rows} with the id of an earlier row that is rejected. If that one is corrected and loaded, it replaces the customer: \
                 {lines}"
            ));
        }
        if rejected == 0 {
            return Ok(true);
        }
        output::warning(&format!("{} cannot be stored:", output::count(rejected, "row")));
        self.printed.iter().for_each(|line| output::note(line));
        if rejected > self.printed.len() {
            output::note(&format!("and {} more", output::grouped(rejected - self.printed.len())));
        }
        if self.api.is_some() {
            let path = self.rejected.path().display().to_string();
            self.rejected.finish()?;
            output::note(&format!(
                "They are in {path}. Correct them there, and load that file with the same arguments"
            ));
        }
        Ok(false)
    }
}

/// The field of a customer that holds the address for a channel.
const fn address(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "email",
        Channel::Sms => "mobile",
    }
}

#[cfg(test)]
mod tests;
