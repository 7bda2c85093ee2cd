//! What an offer's rule reads that customers lack.

use domain::Customer;
use domain::audience::Audience;

use super::ranking::Ranking;

/// What was found lacking of the customers who were read.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// How many customers were read. Those whose records cannot be read are not among them.
    pub(super) customers: u64,
    /// How often the rule could not be evaluated.
    pub(super) unevaluable: u64,
    /// What any of them lack.
    any: Ranking,
    /// What is lacking where the rule could not be evaluated.
    of_unevaluable: Ranking,
}

impl Lacking {
    /// Looks at a customer. `is_unevaluable`: the rule has no result for them.
    pub(super) fn add(&mut self, audience: &Audience<'_>, customer: &Customer, is_unevaluable: bool) {
        self.customers += 1;
        self.unevaluable += u64::from(is_unevaluable);
        for name in audience.lacking(customer) {
            self.any.add(name, 1);
            if is_unevaluable {
                self.of_unevaluable.add(name, 1);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.customers += other.customers;
        self.unevaluable += other.unevaluable;
        self.any.merge(&other.any);
        self.of_unevaluable.merge(&other.of_unevaluable);
    }

    /// What no customer has: probably its name is misspelt.
    pub(super) fn unknown(&self, most: usize) -> Vec<&str> {
        let lacked_by_all = self.any.top(most).into_iter().take_while(|(_, customers)| *customers == self.customers);
        lacked_by_all.map(|(name, _)| name).collect()
    }

    /// What is lacking where the rule could not be evaluated, the most frequent first, without what no customer has.
    pub(super) fn by_unevaluable(&self, most: usize) -> Vec<&str> {
        let unknown = self.unknown(usize::MAX);
        let named = self.of_unevaluable.top(usize::MAX).into_iter().map(|(name, _)| name);
        named.filter(|name| !unknown.contains(name)).take(most).collect()
    }
}
