//! The customers whose messages a preview shows: a typical one for each language, and those who test the texts most.

use std::collections::BTreeMap;

use domain::characters::is_blank;
use domain::offer::Announcement;
use domain::{Channel, Customer, Text};
use language::{Direction, Language};
use serde::Serialize;

/// Why a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Case {
    /// As most customers get it in this language.
    Typical,
    /// To the customer with the longest name.
    LongestName,
    /// To a customer who cannot get it, since it cannot be composed, or else to the one who gets the most defaults.
    MissingValues,
    /// In a language that is written from right to left, or to a customer whose name is; preferably only one of the two.
    RightToLeft,
}

impl Case {
    pub(super) const EXTREMES: [Self; 3] = [Self::LongestName, Self::MissingValues, Self::RightToLeft];
}

/// What matters of a customer's message.
#[derive(Debug, Clone)]
pub(super) struct Traits<'a> {
    pub(super) channel: Channel,
    pub(super) language: &'a Language,
    /// How many placeholders have their default.
    pub(super) defaults: usize,
    /// Whether the message cannot be composed.
    pub(super) fails: bool,
}

/// The customers with the smallest ids among those who are alike, so that every full count selects the same ones.
#[derive(Debug, Default)]
pub(super) struct SampleCustomers {
    /// With their scores. The typical ones are those of one language each.
    selected: BTreeMap<(Channel, Case, Option<Language>), (usize, Customer)>,
}

impl SampleCustomers {
    /// Selects a customer that the channel reaches, in each case for which there is none yet that suits it better.
    pub(super) fn consider(&mut self, customer: &Customer, traits: &Traits<'_>) {
        for case in Case::EXTREMES.into_iter().chain([Case::Typical]) {
            let language = (case == Case::Typical).then(|| traits.language.clone());
            self.select((traits.channel, case, language), score(case, customer, traits), customer);
        }
    }

    fn select(&mut self, key: (Channel, Case, Option<Language>), score: usize, customer: &Customer) {
        let is_first = |(most, found): &(usize, Customer)| score > *most || score == *most && customer.id < found.id;
        if score > 0 && self.selected.get(&key).is_none_or(is_first) {
            self.selected.insert(key, (score, customer.clone()));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, (score, customer)) in other.selected {
            self.select(key, score, &customer);
        }
    }

    /// The one with the smallest id of all that a channel reaches.
    pub(super) fn first(&self, channel: Channel) -> Option<&Customer> {
        let is_typical = |(of, case, _): &(Channel, Case, _)| *of == channel && *case == Case::Typical;
        let typical = self.selected.iter().filter(|(key, _)| is_typical(key)).map(|(_, (_, customer))| customer);
        typical.min_by(|a, b| a.id.cmp(&b.id))
    }

    /// The one with the smallest id who gets this language.
    pub(super) fn typical(&self, channel: Channel, language: &Language) -> Option<&Customer> {
        self.get(channel, Case::Typical, Some(language.clone()))
    }

    /// The customer of an extreme case, if there is one.
    pub(super) fn extreme(&self, channel: Channel, case: Case) -> Option<&Customer> {
        self.get(channel, case, None)
    }

    fn get(&self, channel: Channel, case: Case, language: Option<Language>) -> Option<&Customer> {
        self.selected.get(&(channel, case, language)).map(|(_, customer)| customer)
    }
}

/// How well a case suits a customer; 0 if not at all.
fn score(case: Case, customer: &Customer, traits: &Traits<'_>) -> usize {
    match case {
        Case::Typical => 1,
        Case::LongestName => customer.name.chars().count(),
        Case::MissingValues if traits.fails => usize::MAX,
        Case::MissingValues => traits.defaults,
        Case::RightToLeft => {
            match (is_right_to_left(&customer.name), traits.language.direction() == Direction::RightToLeft) {
                (false, false) => 0,
                (true, true) => 1,
                // Mixed directions are what goes wrong.
                _ => 2,
            }
        }
    }
}

/// Whether a text has a letter of a script that is written from right to left (the blocks of the classes R and AL in
/// Unicode's DerivedBidiClass).
fn is_right_to_left(text: &str) -> bool {
    let is_letter = |c| {
        matches!(c, '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFE}'
            | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
    };
    text.chars().any(is_letter)
}

/// The attributes that an offer's texts name with a default, in each of its languages.
#[derive(Debug)]
pub(super) struct Defaults(BTreeMap<Language, Vec<String>>);

impl Defaults {
    pub(super) fn of(announcement: &Announcement, default_language: &Language) -> Self {
        let fields = |language: &Language| {
            announcement.texts_in(language).all().flat_map(Text::fields_with_default).map(str::to_owned).collect()
        };
        let languages = announcement.languages(default_language).into_iter();
        Self(languages.map(|language| (language.clone(), fields(language))).collect())
    }

    /// How many placeholders have their default for this customer.
    pub(super) fn used(&self, language: &Language, customer: &Customer) -> usize {
        let is_missing = |field: &&String| {
            let value = customer.field(field).filter(|value| !value.is_null());
            value.is_none_or(|value| value.as_str().is_some_and(is_blank))
        };
        self.0.get(language).into_iter().flatten().filter(is_missing).count()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn customer(id: &str, name: &str, attributes: &Value) -> Customer {
        let body = json!({"name": name, "email": "a@b.example", "channels": ["email"], "attributes": attributes});
        Customer::parse(id, body).unwrap()
    }

    #[test]
    fn extreme_customers_are_found_whatever_their_order() {
        let (english, arabic) = (Language::english(), "ar".parse().unwrap());
        let all = [
            ("a", "Asha", &english, 0, false),
            ("b", "Maria Theresia", &english, 2, false),
            ("c", "شيماء", &arabic, 1, false),
            ("d", "דנה", &english, 0, false),
            ("e", "Theresia Maria", &english, 3, false),
            ("f", "Ines", &english, 0, true),
            ("g", "Omar", &arabic, 0, true),
            ("h", "Maria-Theresia", &english, 0, true),
        ];
        for turned in [false, true] {
            let mut both = [SampleCustomers::default(), SampleCustomers::default()];
            let order: Vec<_> = if turned { all.iter().rev().collect() } else { all.iter().collect() };
            for (number, &&(id, name, language, defaults, fails)) in order.iter().enumerate() {
                let traits = Traits { channel: Channel::Email, language, defaults, fails };
                both[number % 2].consider(&customer(id, name, &json!({})), &traits);
            }
            let [mut customers, other] = both;
            customers.merge(other);
            let id = |customer: Option<&Customer>| customer.map(|customer| customer.id.to_string());
            let extremes = Case::EXTREMES.map(|case| id(customers.extreme(Channel::Email, case)).unwrap());
            assert_eq!(extremes, ["b", "f", "d"]);
            assert_eq!(id(customers.first(Channel::Email)).as_deref(), Some("a"));
            assert_eq!(id(customers.typical(Channel::Email, &arabic)).as_deref(), Some("c"));
            assert_eq!(id(customers.first(Channel::Sms)), None);
        }
    }

    #[test]
    fn defaults_are_counted_in_the_texts_that_the_customer_gets() {
        let offer = testing::offer(json!({
            "code": "A", "subject": "{{ customer.city | default: \"you\" }}", "description": "{{ customer.name }}",
            "link": {"url": "https://bank.example/?c={{ customer.tier | default: \"x\" }}", "label": "Go"},
            "image": {"url": "https://bank.example/?c={{ customer.card | default: \"x\" }}", "alt": "A card"},
            "translations": {"de": {"subject": "Hallo", "description":
                "{{ customer.city | default: \"Stadt\" }} {{ customer.city | default: \"Stadt\" }}"}},
        }));
        let defaults = Defaults::of(&offer.announcement, &Language::english());
        for (attributes, english, german) in [
            (json!({}), 3, 4),
            (json!({"city": "Lisbon"}), 2, 2),
            (json!({"city": " ", "tier": 1, "card": 2}), 1, 2),
            (json!({"city": "Lisbon", "tier": "gold", "card": 2}), 0, 0),
        ] {
            let customer = customer("a", "Asha", &attributes);
            assert_eq!(defaults.used(&Language::english(), &customer), english, "{attributes}");
            assert_eq!(defaults.used(&"de".parse().unwrap(), &customer), german, "{attributes}");
        }
    }
}
