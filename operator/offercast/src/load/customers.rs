//! The customers of a file, row by row.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use csv::StringRecord;
use domain::{Channel, Customer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::cells::{self, Kind, Notation, Survey};
use super::columns::{Column, Columns, Field, NUMBER, TEXT, Wanted};
use super::file::{Row, Rows};
use super::rejected::Rejection;

/// What a file has, found by reading all of it.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) columns: Columns,
    /// The kind of each column's values, for attributes.
    kinds: Vec<Kind>,
    /// Rows that are not empty.
    pub(super) rows: usize,
    /// Sentences about what may not be as expected.
    pub(super) notes: Vec<String>,
}

/// Reads all rows, to find the kind of each column.
///
/// `is_guessed`: the encoding is only what is most likely.
///
/// # Errors
/// If there is no customer, or the file cannot be read.
pub(super) fn survey(columns: Columns, rows: Rows, is_guessed: bool) -> Result<Contents> {
    let mut surveys = vec![Survey::default(); columns.all.len()];
    let mut unnamed = vec![0_usize; columns.all.len()];
    let mut foreign = None;
    let mut padded = Padded::default();
    let mut count = 0;
    for row in rows {
        let Row { line, cells } = row?;
        if is_empty(&cells) {
            continue;
        }
        count += 1;
        for (i, cell) in cells.iter().enumerate().take(columns.all.len()) {
            let column = &columns.all[i];
            let trimmed = cell.trim();
            padded.look(line, cell, &column.name);
            if foreign.is_none() && !cell.is_ascii() {
                foreign = Some((line, trimmed.to_owned()));
            }
            match &column.field {
                _ if trimmed.is_empty() => {}
                Some(Field::Attribute(_)) => surveys[i].add(line, trimmed),
                None if column.name.is_empty() => unnamed[i] += 1,
                _ => {}
            }
        }
    }
    ensure!(count > 0, "the file has no customers: after the line that names the columns, all is empty");
    let mut notes = Vec::new();
    for ((column, survey), position) in columns.all.iter().zip(&surveys).zip(1..) {
        if let (Wanted::Whatever, Some((line, cell, notation))) = (column.wanted, survey.kept_for()) {
            let name = &column.name;
            let comma = if notation == Notation::Comma { " --decimal-comma" } else { "" };
            notes.push(format!(
                "{name} is stored as text: {cell} in line {line} would change as a number. To store numbers: --number '{name}'{comma}"
            ));
        }
        if unnamed[position - 1] > 0 {
            let count = unnamed[position - 1];
            notes.push(format!("Column {position} has no name, and is left out; {count} rows have something in it"));
        }
    }
    if let Some((line, cell)) = foreign.filter(|_| is_guessed) {
        notes.push(format!(
            "Line {line} is not UTF-8, and read as Windows-1252: {cell}. If that is not what was written: --encoding, such as iso-8859-2"
        ));
    }
    notes.extend(padded.note());
    let kind = |(column, survey): (&Column, &Survey)| match column.wanted {
        Wanted::Texts => Kind::Texts,
        Wanted::Numbers(_) => Kind::Numbers,
        Wanted::Whatever => survey.kind(),
    };
    let kinds = columns.all.iter().zip(&surveys).map(kind).collect();
    Ok(Contents { columns, kinds, rows: count, notes })
}

impl Contents {
    /// The first row of a file with some of these rows: its columns have the kinds that they have here.
    pub(super) fn header(&self) -> StringRecord {
        let named = |(column, kind): (&Column, &Kind)| match (&column.field, kind) {
            (Some(Field::Attribute(_)), Kind::Texts) => format!("{}{TEXT}", column.name),
            // The one who loads it again says so again.
            (Some(Field::Attribute(_)), Kind::Numbers) if column.wanted != Wanted::Numbers(Notation::Comma) => {
                format!("{}{NUMBER}", column.name)
            }
            _ => column.name.clone(),
        };
        self.columns.all.iter().zip(&self.kinds).map(named).collect()
    }
}

/// Cells with blanks around them, which are removed.
#[derive(Debug, Default)]
struct Padded {
    count: usize,
    first: Option<(u64, String)>,
}

impl Padded {
    fn look(&mut self, line: u64, cell: &str, column: &str) {
        if cell.trim().len() < cell.len() && !cell.trim().is_empty() {
            self.count += 1;
            self.first.get_or_insert_with(|| (line, column.to_owned()));
        }
    }

    fn note(self) -> Option<String> {
        let (line, column) = self.first?;
        Some(match self.count {
            1 => format!("Blanks around a cell are removed: {column} in line {line}"),
            count => format!("Blanks around {count} cells are removed; the first is {column} in line {line}"),
        })
    }
}

/// A customer of the file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) row: Row,
    /// As the API takes it.
    pub(super) json: Value,
    /// The channels that the customer consented to, but has no address for.
    pub(super) unreached: Vec<Channel>,
    /// The line of a row before this one that has the same id, and was rejected.
    pub(super) rejected_before: Option<u64>,
}

/// Turns rows into customers.
pub(super) struct Reading<'a> {
    contents: &'a Contents,
    /// Hashes of the ids so far, since ten million of them would take a gigabyte.
    seen: HashSet<[u8; 16]>,
    /// The same of rejected rows, with their lines.
    rejected: HashMap<[u8; 16], u64>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(contents: &'a Contents) -> Self {
        Self { contents, seen: HashSet::new(), rejected: HashMap::new() }
    }

    /// The customer of a row, or what is wrong with it. `None` if all its cells are empty.
    pub(super) fn read(&mut self, row: Row) -> Option<Result<Loaded, Rejection>> {
        if is_empty(&row.cells) {
            return None;
        }
        Some(match self.parse(&row.cells) {
            Ok((customer, json)) => self.accept(row, &customer, json),
            // A row that is rejected anyway does not stand in the way of a right one.
            Err(faults) => {
                if let Some(id) = self.id_in(&row.cells) {
                    self.rejected.entry(hash(id)).or_insert(row.line);
                }
                Err(Rejection { row, faults })
            }
        })
    }

    /// Takes a customer who is valid, unless an earlier row had their id.
    fn accept(&mut self, row: Row, customer: &Customer, json: Value) -> Result<Loaded, Rejection> {
        let id = hash(customer.id.as_str());
        if !self.seen.insert(id) {
            let column = self.contents.columns.named("id").to_owned();
            return Err(Rejection { row, faults: vec![(column, "is in an earlier row already".to_owned())] });
        }
        let is_unreached = |channel: &Channel| customer.channels.contains(channel) && !customer.reachable_by(*channel);
        let unreached = Channel::ALL.into_iter().filter(is_unreached).collect();
        Ok(Loaded { row, json, unreached, rejected_before: self.rejected.get(&id).copied() })
    }

    /// The id in a row. `None` in one of another shape, where it may be in another column.
    fn id_in<'c>(&self, cells: &'c StringRecord) -> Option<&'c str> {
        let columns = &self.contents.columns;
        let has_all = cells.len() == columns.all.len();
        cells.get(columns.position(&Field::Id)?).map(str::trim).filter(|_| has_all)
    }

    fn parse(&self, cells: &StringRecord) -> Result<(Customer, Value), Vec<(String, String)>> {
        let Contents { columns, kinds, .. } = self.contents;
        if cells.len() != columns.all.len() {
            let detail = format!(
                "has {} cells, and the first line {}: a quotation mark may not be closed, or a cell with a separator may lack them",
                cells.len(),
                columns.all.len()
            );
            return Err(vec![("row".to_owned(), detail)]);
        }
        let unreadable =
            columns.all.iter().zip(cells.iter()).filter_map(|(column, cell)| Some((column, unreadable(cell)?)));
        let unreadable: Vec<_> = unreadable.map(|(column, why)| (column.name.clone(), why.to_owned())).collect();
        if !unreadable.is_empty() {
            return Err(unreadable);
        }
        let mut customer = Map::new();
        let mut attributes = Map::new();
        let mut channels = columns.consent.as_ref().map(|consent| consent.iter().copied().collect::<Vec<_>>());
        let mut faults = Vec::new();
        for ((column, kind), cell) in columns.all.iter().zip(kinds).zip(cells.iter().map(str::trim)) {
            match &column.field {
                None => {}
                Some(Field::Channels) => {
                    let named = cell.split([';', ',', '|', '+', '/', ' ']).filter(|channel| !channel.is_empty());
                    customer.insert("channels".to_owned(), named.map(str::to_lowercase).collect());
                }
                Some(Field::Consent(channel)) => {
                    let channels = channels.get_or_insert_default();
                    match columns.words.consent(cell) {
                        Ok(true) => channels.push(*channel),
                        Ok(false) => {}
                        Err(detail) => faults.push((column.name.clone(), detail)),
                    }
                }
                // Absent.
                _ if cell.is_empty() => {}
                Some(Field::Attribute(name)) => match (column.wanted, kind) {
                    (Wanted::Numbers(notation), _) => match cells::number(cell, notation) {
                        Ok(number) => {
                            attributes.insert(name.clone(), number);
                        }
                        Err(detail) => faults.push((column.name.clone(), detail)),
                    },
                    (_, kind) => {
                        attributes.insert(name.clone(), cells::value(cell, *kind));
                    }
                },
                Some(Field::Mobile) => {
                    customer.insert(Field::Mobile.name(), cells::mobile(cell, columns.country).into());
                }
                Some(field) => {
                    customer.insert(field.name(), cell.into());
                }
            }
        }
        if let Some(channels) = channels {
            let channels = channels.iter().map(|channel: &Channel| channel.to_string());
            customer.insert("channels".to_owned(), channels.collect());
        }
        customer.insert("attributes".to_owned(), attributes.into());
        let json = Value::Object(customer);
        match Customer::parse_with_id(json.clone()) {
            Ok(customer) if faults.is_empty() => return Ok((customer, json)),
            Ok(_) => {}
            Err(invalid) => faults.extend(invalid.into_vec().into_iter().map(|fault| {
                let is_national =
                    fault.field == "mobile" && !json["mobile"].as_str().is_some_and(|to| to.starts_with('+'));
                let hint = if is_national && columns.country.is_none() { COUNTRY_HINT } else { "" };
                (columns.named(&fault.field).to_owned(), fault.detail + hint)
            })),
        }
        Err(faults)
    }
}

/// Follows what is wrong with a number without a country's code.
const COUNTRY_HINT: &str = "; if such numbers are those of one country, name it: --country PT";

/// Lines of a cell at most. More are rows that a stray quotation mark has swallowed.
const MOST_LINES: usize = 20;

/// Why a cell cannot be what was meant.
fn unreadable(cell: &str) -> Option<&'static str> {
    if cell.contains(char::REPLACEMENT_CHARACTER) {
        return Some("has an octet that is no character in the file's encoding");
    }
    (cell.lines().count() > MOST_LINES).then_some("has more than 20 lines: a quotation mark before may not be closed")
}

fn hash(id: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(id)[..16]);
    short
}

fn is_empty(cells: &StringRecord) -> bool {
    cells.iter().all(|cell| cell.trim().is_empty())
}
