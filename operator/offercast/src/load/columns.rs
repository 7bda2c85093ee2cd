//! What each column of a file is of a customer.

use std::collections::BTreeSet;
use std::str::FromStr;

use clap::Args;
use csv::StringRecord;
use domain::channel::Channels;
use domain::customer::{OWN_FIELDS, is_attribute_name};
use domain::{Channel, Country};

use super::cells::Notation;
use super::consent::Words;

/// What a column's name in the file may end in: what its values are.
pub(super) const NUMBER: &str = ":number";
pub(super) const TEXT: &str = ":text";

/// How the columns of a file are read.
#[derive(Debug, Clone, Default, Args)]
pub struct ColumnArgs {
    /// What a column is, as in --map Email=email or --map 'Saldo (EUR)=balance'. Without a field (--map IBAN=), it is left out.
    ///
    /// Fields are id, name, email, mobile, channels, emailConsent, smsConsent, locale and timeZone. Any other name makes the
    /// column an attribute of that name.
    #[arg(long = "map", value_name = "COLUMN=FIELD")]
    pub map: Vec<Mapping>,
    /// All customers of the file consented to these channels: for a file that has no column about consent.
    #[arg(long, value_name = "email|sms", value_delimiter = ',', value_parser = parse_channel)]
    pub consent: Vec<Channel>,
    /// Words that mean consent, besides true, yes, y and 1: --yes ja.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub yes: Vec<String>,
    /// Words that mean no consent, besides false, no, n, 0 and nothing: --no nein.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub no: Vec<String>,
    /// Mobile numbers without a country's code are those of this country, as in --country PT.
    #[arg(long, value_name = "CODE")]
    pub country: Option<Country>,
    /// This column has numbers, however they are written: 2.50 becomes 2.5, and 1E5 becomes 100000.
    #[arg(long = "number", value_name = "COLUMN")]
    pub numbers: Vec<String>,
    /// Numbers have a decimal comma, as in 1.234,50: for the columns of --number.
    #[arg(long, requires = "numbers")]
    pub decimal_comma: bool,
    /// This column has texts, even if all of them look like numbers, or like true and false.
    #[arg(long = "text", value_name = "COLUMN")]
    pub texts: Vec<String>,
}

/// A column, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    column: String,
    field: String,
}

impl FromStr for Mapping {
    type Err = &'static str;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        // A column's name may have an equals sign, a field's has none.
        let (column, field) = string.rsplit_once('=').ok_or("expected COLUMN=FIELD, for example Email=email")?;
        Ok(Self { column: column.trim().to_owned(), field: field.trim().to_owned() })
    }
}

fn parse_channel(channel: &str) -> Result<Channel, String> {
    channel.parse::<Channel>().map_err(|error| error.to_string())
}

/// What a column is of a customer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Id,
    Name,
    Email,
    Mobile,
    /// The channels that the customer consented to.
    Channels,
    /// Whether the customer consented to this channel.
    Consent(Channel),
    Locale,
    TimeZone,
    Attribute(String),
}

impl Field {
    /// As the API names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Id => "id".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Email => "email".to_owned(),
            Self::Mobile => "mobile".to_owned(),
            Self::Channels | Self::Consent(_) => "channels".to_owned(),
            Self::Locale => "locale".to_owned(),
            Self::TimeZone => "timeZone".to_owned(),
            Self::Attribute(name) => format!("attributes.{name}"),
        }
    }

    /// What a column of this name is, whatever its case, and with or without blanks, `-` and `_`. `None`: an attribute.
    fn known(name: &str) -> Option<Self> {
        let letters: String = name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).collect();
        Some(match letters.to_lowercase().as_str() {
            "id" => Self::Id,
            "name" => Self::Name,
            "email" => Self::Email,
            "mobile" => Self::Mobile,
            "channels" => Self::Channels,
            "emailconsent" => Self::Consent(Channel::Email),
            "smsconsent" => Self::Consent(Channel::Sms),
            "locale" => Self::Locale,
            "timezone" => Self::TimeZone,
            _ => return None,
        })
    }

    fn attribute(name: &str) -> Result<Self, String> {
        if OWN_FIELDS.contains(&name) {
            return Err(format!("{name} is a field that every customer has"));
        }
        if is_attribute_name(name) {
            return Ok(Self::Attribute(name.to_owned()));
        }
        Err("an attribute has a name of at most 64 letters without accents, digits and _ that does not begin with a digit"
            .to_owned())
    }
}

/// What the values of an attribute are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Numbers, however they are written with a decimal point or comma.
    Numbers(Notation),
    Texts,
    /// What they all are, so that nothing of them is lost.
    Whatever,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// As the file has it.
    pub(super) name: String,
    /// `None`: it is left out.
    pub(super) field: Option<Field>,
    pub(super) wanted: Wanted,
}

/// The columns of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    /// The consent of all customers, if no column says it.
    pub(super) consent: Option<Channels>,
    pub(super) words: Words,
    /// Whose numbers those without a country's code are.
    pub(super) country: Option<Country>,
}

/// Why a file cannot be loaded as it is: a sentence for each thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n  "))]
pub(super) struct WrongColumns(pub(super) Vec<String>);

impl Columns {
    /// The columns that the first row names.
    pub(super) fn of(header: &StringRecord, args: &ColumnArgs) -> Result<Self, WrongColumns> {
        let names: Vec<_> = header.iter().map(str::trim).collect();
        let mut wrong = unknown_columns(&names.iter().map(|name| without_kind(name)).collect::<Vec<_>>(), args);
        let all: Vec<_> = names.iter().map(|name| column(name, args, &mut wrong)).collect();
        let columns = Self { all, consent: None, words: Words::new(&args.yes, &args.no), country: args.country };
        wrong.extend(columns.named_twice());
        wrong.extend(columns.wrong_words());
        wrong.extend(columns.missing(args));
        if !wrong.is_empty() {
            return Err(WrongColumns(wrong));
        }
        let consent = Some(args.consent.iter().copied().collect()).filter(|_| !args.consent.is_empty());
        Ok(Self { consent, ..columns })
    }

    /// Words that contradict each other, or that nothing is asked about.
    fn wrong_words(&self) -> Vec<String> {
        if !self.words.is_empty() && !self.has(|field| matches!(field, Field::Consent(_))) {
            return vec![
                "--yes and --no are for columns of consent, and no column is one. Say which is: --map COLUMN=emailConsent"
                    .to_owned(),
            ];
        }
        self.words.contradictions()
    }

    fn has(&self, wanted: impl Fn(&Field) -> bool) -> bool {
        self.all.iter().filter_map(|column| column.field.as_ref()).any(wanted)
    }

    /// The name that the file has for a field of the API; the field's own if no column is that.
    pub(super) fn named<'a>(&'a self, field: &'a str) -> &'a str {
        let is_it = |column: &&Column| column.field.as_ref().is_some_and(|own| own.name() == field);
        self.all.iter().find(is_it).map_or(field, |column| &column.name)
    }

    /// Which column a field is in, from 0.
    pub(super) fn position(&self, field: &Field) -> Option<usize> {
        self.all.iter().position(|column| column.field.as_ref() == Some(field))
    }

    fn named_twice(&self) -> Vec<String> {
        let mut seen: Vec<(&Field, &str)> = Vec::new();
        let mut wrong = Vec::new();
        for Column { name, field, .. } in &self.all {
            let Some(field) = field else { continue };
            match seen.iter().find(|(other, _)| *other == field) {
                Some((_, other)) => wrong.push(format!(
                    "The columns `{other}` and `{name}` are both {}. Leave one out: --map '{name}='",
                    field.name()
                )),
                None => seen.push((field, name)),
            }
        }
        wrong
    }

    /// What no customer can do without.
    fn missing(&self, args: &ColumnArgs) -> Vec<String> {
        let says_consent = self.has(|field| matches!(field, Field::Channels | Field::Consent(_)));
        let has_both =
            self.has(|field| *field == Field::Channels) && self.has(|field| matches!(field, Field::Consent(_)));
        let list = self.all.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut wrong = Vec::new();
        if !self.has(|field| *field == Field::Id) {
            wrong.push(format!(
                "No column is the customers' id, by which they are found again. Say which is: --map COLUMN=id. The columns are: {list}"
            ));
        }
        if !self.has(|field| *field == Field::Name) {
            wrong.push("No column is the customers' name. Say which is: --map COLUMN=name".to_owned());
        }
        if !self.has(|field| matches!(field, Field::Email | Field::Mobile)) {
            wrong.push(
                "No column is an address. Say which is: --map COLUMN=email, or --map COLUMN=mobile for numbers"
                    .to_owned(),
            );
        }
        match (says_consent, args.consent.is_empty()) {
            (false, true) => wrong.push(
                "No column says which channels each customer consented to. Say which does: --map COLUMN=channels (email;sms), or --map COLUMN=emailConsent and --map COLUMN=smsConsent (yes, no). If all of them consented: --consent email"
                    .to_owned(),
            ),
            _ if has_both => wrong.push(
                "One column lists the channels that each customer consented to, and another says it of one channel. Leave one of them out: --map COLUMN="
                    .to_owned(),
            ),
            (true, false) => wrong.push(
                "--consent is for files without a column about consent, and this one has one. Leave one of them out".to_owned(),
            ),
            _ => {}
        }
        wrong
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// What arguments say of columns that the file does not have.
fn unknown_columns(names: &[&str], args: &ColumnArgs) -> Vec<String> {
    let mapped = args.map.iter().map(|mapping| ("--map", mapping.column.as_str()));
    let numbers = args.numbers.iter().map(|column| ("--number", column.as_str()));
    let texts = args.texts.iter().map(|column| ("--text", column.as_str()));
    let named = mapped.chain(numbers).chain(texts);
    let unknown = named.filter(|(_, column)| !names.iter().any(|name| is_same(name, column.trim())));
    let list = names.join(", ");
    unknown.map(|(flag, column)| format!("{flag}: there is no column `{column}`. The columns are: {list}")).collect()
}

/// The name of a column, without what its values are.
fn without_kind(name: &str) -> &str {
    name.strip_suffix(NUMBER).or_else(|| name.strip_suffix(TEXT)).unwrap_or(name)
}

fn column(written: &str, args: &ColumnArgs, wrong: &mut Vec<String>) -> Column {
    let name = without_kind(written);
    let listed = |columns: &[String]| columns.iter().any(|column| is_same(column.trim(), name));
    let is_listed = listed(&args.numbers);
    let notation = if is_listed && args.decimal_comma { Notation::Comma } else { Notation::Point };
    let are_numbers = written.ends_with(NUMBER) || is_listed;
    let are_texts = written.ends_with(TEXT) || listed(&args.texts);
    let wanted = match (are_numbers, are_texts) {
        (true, true) => {
            wrong.push(format!("`{name}` cannot be both --number and --text"));
            Wanted::Texts
        }
        (true, false) => Wanted::Numbers(notation),
        (false, true) => Wanted::Texts,
        (false, false) => Wanted::Whatever,
    };
    let mapped: BTreeSet<_> = args
        .map
        .iter()
        .filter(|mapping| is_same(&mapping.column, name))
        .map(|mapping| mapping.field.as_str())
        .collect();
    let field = match mapped.iter().copied().collect::<Vec<_>>()[..] {
        [] if name.is_empty() => Ok(None),
        [] => Field::known(name).map_or_else(|| Field::attribute(&name.replace(['.', '-', ' '], "_")), Ok).map(Some),
        [""] => Ok(None),
        [field] => Field::known(field).map_or_else(|| Field::attribute(field), Ok).map(Some),
        _ => Err("--map says more than one thing of it".to_owned()),
    };
    let field = field.unwrap_or_else(|why| {
        wrong.push(format!(
            "The column `{name}`: {why}. Name it: --map '{name}=NAME'. Or leave it out: --map '{name}='"
        ));
        None
    });
    Column { name: name.to_owned(), field, wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(map: &[&str], consent: &[Channel]) -> ColumnArgs {
        let map = map.iter().map(|mapping| mapping.parse().unwrap()).collect();
        ColumnArgs { map, consent: consent.to_vec(), ..ColumnArgs::default() }
    }

    fn of(header: &str, args: &ColumnArgs) -> Result<Columns, String> {
        Columns::of(&header.split(',').collect(), args).map_err(|wrong| wrong.to_string())
    }

    fn fields(header: &str, args: &ColumnArgs) -> Vec<String> {
        let columns = of(header, args).unwrap();
        columns.all.iter().map(|column| column.field.as_ref().map_or("-".to_owned(), Field::name)).collect()
    }

    #[test]
    fn columns_are_known_by_their_names_whatever_their_case() {
        let header = " ID ,Name,E-Mail,MOBILE,Channels,Locale,Time Zone,Monthly spend,";
        let expected =
            ["id", "name", "email", "mobile", "channels", "locale", "timeZone", "attributes.Monthly_spend", "-"];
        assert_eq!(fields(header, &args(&[], &[])), expected);
    }

    #[test]
    fn any_column_can_be_mapped_or_left_out() {
        let args = args(&["kundennummer=id", "Mail=email", "Saldo (EUR)=balance", "IBAN=", "a=b=smsConsent"], &[]);
        let header = "Kundennummer,Name,Mail,Saldo (EUR),IBAN,a=b";
        assert_eq!(fields(header, &args), ["id", "name", "email", "attributes.balance", "-", "channels"]);
    }

    #[test]
    fn nothing_is_made_up_for_a_column_that_is_missing() {
        let complete = "id,name,email,channels";
        for (header, map, consent, expected) in [
            ("customer_id,full name,mail", &[][..], &[][..], "No column is the customers' id"),
            ("id,email,channels", &[], &[], "No column is the customers' name"),
            ("id,name,channels", &[], &[], "No column is an address"),
            ("id,name,email", &[], &[], "--consent email"),
            (complete, &[], &[Channel::Email], "--consent is for files without"),
            ("id,name,email,Email,channels", &[], &[], "The columns `email` and `Email` are both email"),
            (
                complete,
                &["Mail=email"],
                &[],
                "--map: there is no column `Mail`. The columns are: id, name, email, channels",
            ),
            (complete, &["email=email", "email="], &[], "--map says more than one thing"),
            ("id,name,email,channels,Saldo (€)", &[], &[], "--map 'Saldo (€)=NAME'"),
            (complete, &["channels=timeZone"], &[], "No column says which channels"),
            ("id,name,email,channels,emailConsent", &[], &[], "One column lists the channels"),
        ] {
            let wrong = of(header, &args(map, consent)).unwrap_err();
            assert!(wrong.contains(expected), "{header}: {wrong}");
        }
        // Everything that is wrong is said together.
        assert_eq!(of("a,b", &args(&[], &[])).unwrap_err().lines().count(), 4);
    }

    #[test]
    fn the_consent_of_a_file_without_a_column_for_it_is_given_with_it() {
        let columns = of("id,name,email", &args(&[], &[Channel::Email])).unwrap();
        assert_eq!(columns.consent, Some([Channel::Email].into_iter().collect()));
    }

    #[test]
    fn what_arguments_want_of_columns_that_do_not_exist_is_an_error() {
        let numbers = ColumnArgs { numbers: vec!["Balance".to_owned()], ..args(&[], &[Channel::Email]) };
        assert_eq!(of("id,name,email,balance", &numbers).unwrap().all[3].wanted, Wanted::Numbers(Notation::Point));
        let named = of("id,name,email,balance:number,zip:text", &args(&[], &[Channel::Email])).unwrap();
        let wanted: Vec<_> = named.all[3..].iter().map(|column| (column.name.as_str(), column.wanted)).collect();
        assert_eq!(wanted, [("balance", Wanted::Numbers(Notation::Point)), ("zip", Wanted::Texts)]);
        assert!(of("id,name,email", &numbers).unwrap_err().contains("--number: there is no column `Balance`"));
    }
}
