//! Making a scenario that breaks a promise smaller, so that a person can read what happens in it.

use super::points::is_call;
use super::{Scenario, Settings};
use crate::fault::Fault;
use crate::people::{Action, Change};

/// The shortest duration to which faults and outages are shortened, in milliseconds.
const SHORTEST: u64 = 100;

/// Returns the smallest scenario found that still `fails`, by running at most `budget` others.
///
/// Each pass drops what it can, halves first and then single things, and makes what is left simpler. It ends when a pass
/// changes nothing: then every single thing in the scenario is needed.
pub fn shrink(scenario: &Scenario, budget: u32, fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut search = Search { best: scenario.clone(), budget, fails };
    loop {
        let before = search.best.clone();
        search.drop_some(|scenario| &mut scenario.faults);
        search.drop_some(|scenario| &mut scenario.outages);
        search.drop_some(|scenario| &mut scenario.actions);
        search.drop_customers();
        search.simplify_settings();
        search.simplify_faults();
        search.simplify_outages();
        search.shorten(|scenario| Some(&mut scenario.calm_after_ms));
        search.simplify_actions();
        if search.budget == 0 || search.best == before {
            return search.best;
        }
    }
}

struct Search<F> {
    /// The smallest that fails, so far.
    best: Scenario,
    budget: u32,
    fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Search<F> {
    /// Makes a change, if the scenario fails with it as well.
    fn attempt(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut changed = self.best.clone();
        change(&mut changed);
        if changed == self.best || self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let fails = (self.fails)(&changed);
        if fails {
            self.best = changed;
        }
        fails
    }

    /// Drops all of a list that can be dropped: all at once, halves, quarters, and so on down to single ones.
    fn drop_some<T>(&mut self, list: impl Fn(&mut Scenario) -> &mut Vec<T>) {
        self.drop_parts(
            |scenario| list(scenario).len(),
            |scenario, from, to| {
                list(scenario).drain(from..to);
            },
        );
    }

    /// As [`Search::drop_some`]. What people would do to a customer who is dropped is dropped as well.
    fn drop_customers(&mut self) {
        self.drop_parts(
            |scenario| scenario.customers.len(),
            |scenario, from, to| {
                let dropped: Vec<_> = scenario.customers.drain(from..to).map(|person| person.id).collect();
                scenario.actions.retain(|timed| match &timed.action {
                    Action::PutCustomer { change: Change::New(_), .. } => true,
                    Action::PutCustomer { customer, .. }
                    | Action::DeleteCustomer { customer }
                    | Action::Unsubscribe { customer }
                    | Action::AnswerStop { customer }
                    | Action::LiftSuppression { customer, .. } => !dropped.contains(customer),
                    _ => true,
                });
            },
        );
    }

    fn drop_parts(&mut self, len: impl Fn(&mut Scenario) -> usize, drop: impl Fn(&mut Scenario, usize, usize)) {
        let mut part = len(&mut self.best);
        while part > 0 {
            // From the end: what comes later is needed less often.
            let mut to = len(&mut self.best);
            while to > 0 && self.budget > 0 {
                let from = to.saturating_sub(part);
                self.attempt(|scenario| drop(scenario, from, to));
                to = from;
            }
            part /= 2;
        }
    }

    fn simplify_settings(&mut self) {
        let plain = Settings::plain();
        if self.attempt(|scenario| scenario.settings = plain.clone()) {
            return;
        }
        let changes: [fn(&mut Settings, &Settings); 12] = [
            |settings, _| settings.max_skew_ms = 0,
            |settings, _| settings.stale_percent = 0,
            |settings, _| settings.fallback_email_transport = None,
            |settings, plain| settings.email_transport = plain.email_transport,
            |settings, plain| settings.retry_hours = plain.retry_hours,
            |settings, plain| settings.email_rate = plain.email_rate,
            |settings, plain| settings.fallback_email_rate = plain.fallback_email_rate,
            |settings, plain| settings.sms_rate = plain.sms_rate,
            |settings, plain| settings.audience_concurrency = plain.audience_concurrency,
            |settings, plain| settings.email_concurrency = plain.email_concurrency,
            |settings, plain| settings.sms_concurrency = plain.sms_concurrency,
            |settings, plain| settings.feedback_concurrency = plain.feedback_concurrency,
        ];
        for change in changes {
            self.attempt(|scenario| change(&mut scenario.settings, &plain));
        }
    }

    fn simplify_faults(&mut self) {
        for at in 0..self.best.faults.len() {
            let planned = &self.best.faults[at];
            // The others have no simpler ones.
            let simpler = if is_call(&planned.point) { planned.fault.simpler() } else { Vec::new() };
            for fault in simpler {
                if self.attempt(|scenario| scenario.faults[at].fault = fault) {
                    break;
                }
            }
            self.shorten(|scenario| scenario.faults[at].fault.duration());
        }
    }

    fn simplify_outages(&mut self) {
        for at in 0..self.best.outages.len() {
            self.shorten(|scenario| Some(&mut scenario.outages[at].for_ms));
        }
    }

    fn simplify_actions(&mut self) {
        for at in 0..self.best.actions.len() {
            let changes: [fn(&mut Action); 4] = [
                |action| {
                    if let Action::PostOffer(post) = action {
                        post.eligibility = None;
                    }
                },
                |action| {
                    if let Action::PostOffer(post) = action {
                        post.starts_after_ms = None;
                    }
                },
                |action| {
                    if let Action::PostOffer(post) = action {
                        post.valid_for_ms = None;
                    }
                },
                |action| {
                    if let Action::PostOffer(post) = action {
                        post.names_tier = false;
                    }
                },
            ];
            for change in changes {
                self.attempt(|scenario| change(&mut scenario.actions[at].action));
            }
        }
    }

    /// Halves a duration as long as the scenario fails.
    fn shorten(&mut self, duration: impl Fn(&mut Scenario) -> Option<&mut u64>) {
        let halve = |scenario: &mut Scenario| {
            if let Some(duration) = duration(scenario).filter(|duration| **duration > SHORTEST) {
                *duration = (*duration / 2).max(SHORTEST);
            }
        };
        while self.attempt(halve) {}
    }
}

impl Fault {
    /// Faults that are easier to understand and may do the same.
    fn simpler(self) -> Vec<Self> {
        match self {
            Self::Kill | Self::Gone => Vec::new(),
            Self::Freeze(_) | Self::Hang => vec![Self::Kill],
            Self::Throttle | Self::Unavailable | Self::Late(_) => vec![Self::Lose],
            Self::Lose => vec![Self::Kill],
            Self::Twice(_) => Vec::new(),
        }
    }

    /// How long it lasts, in milliseconds.
    fn duration(&mut self) -> Option<&mut u64> {
        match self {
            Self::Freeze(time) | Self::Late(time) | Self::Twice(time) => Some(time),
            Self::Kill | Self::Lose | Self::Hang | Self::Throttle | Self::Unavailable | Self::Gone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Outage, TimedAction, Trouble};
    use domain::TransportId;

    use super::*;
    use crate::fault::{Moment, Planned};
    use crate::people::{Person, Post};

    const BUDGET: u32 = 5_000;

    fn planned(point: &str, fault: Fault) -> Planned {
        Planned { point: point.to_owned(), nth: 1, moment: Moment::Before, fault }
    }

    /// A scenario with a lot in it.
    fn large() -> Scenario {
        let mut scenario = Scenario::draw(3, Options { customers: Some(40) });
        scenario.faults = (0..30).map(|number| planned(&format!("point {number}"), Fault::Lose)).collect();
        scenario.outages =
            (0..5).map(|from_ms| Outage { from_ms, for_ms: 600_000, what: Trouble::StoreUnavailable }).collect();
        scenario
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let mut scenario = large();
        scenario.faults[7].fault = Fault::Freeze(600_000);
        let fails = |scenario: &Scenario| {
            let freezes = scenario.faults.iter().any(|planned| {
                planned.point == "point 7" && matches!(planned.fault, Fault::Freeze(time) if time >= 10_000)
            });
            let loses = scenario.faults.iter().any(|planned| planned.point == "point 21");
            freezes && loses && scenario.customers.iter().any(|person| person.id == "c33")
        };
        let small = shrink(&scenario, BUDGET, fails);
        assert!(fails(&small));
        let points: Vec<_> = small.faults.iter().map(|planned| planned.point.as_str()).collect();
        assert_eq!(points, ["point 7", "point 21"]);
        assert!(matches!(small.faults[0].fault, Fault::Freeze(10_000..20_000)));
        assert_eq!(small.faults[1].fault, Fault::Kill);
        assert_eq!(small.customers.len(), 1);
        assert!(small.outages.is_empty() && small.actions.is_empty());
        assert_eq!(small.settings, Settings::plain());
        assert_eq!(small.calm_after_ms, SHORTEST);
    }

    #[test]
    fn two_that_are_needed_together_are_kept_though_each_is_in_another_half() {
        let scenario = large();
        let fails = |scenario: &Scenario| {
            let outages: Vec<_> = scenario.outages.iter().map(|outage| outage.from_ms).collect();
            outages.contains(&0) && outages.contains(&4)
        };
        let small = shrink(&scenario, BUDGET, fails);
        assert_eq!(small.outages.len(), 2);
        assert!(small.outages.iter().all(|outage| outage.for_ms == SHORTEST));
    }

    #[test]
    fn settings_that_matter_stay() {
        let mut scenario = large();
        scenario.settings.max_skew_ms = 1_500;
        scenario.settings.email_transport = TransportId::Smtp;
        let small = shrink(&scenario, BUDGET, |scenario| scenario.settings.max_skew_ms > 0);
        assert_eq!(small.settings, Settings { max_skew_ms: 1_500, ..Settings::plain() });
    }

    #[test]
    fn nothing_is_done_to_a_customer_who_is_dropped() {
        let mut scenario = large();
        let unsubscribe = |customer: &str| Action::Unsubscribe { customer: customer.to_owned() };
        scenario.actions = vec![
            TimedAction { at_ms: 1, action: unsubscribe("c1") },
            TimedAction { at_ms: 2, action: unsubscribe("c2") },
        ];
        let small = shrink(&scenario, BUDGET, |scenario| {
            scenario.actions.iter().all(|timed| {
                matches!(&timed.action, Action::Unsubscribe { customer }
                if scenario.customers.iter().any(|person| person.id == *customer))
            }) && scenario.customers.iter().any(|person| person.id == "c9")
        });
        assert_eq!(small.customers.len(), 1);
        assert!(small.actions.is_empty());
    }

    #[test]
    fn an_offer_becomes_plain() {
        let mut scenario = large();
        let post = Post {
            code: "OFFER-1".to_owned(),
            channels: domain::Channel::ALL.into(),
            eligibility: Some("customer.balance > 1".to_owned()),
            starts_after_ms: Some(1),
            valid_for_ms: Some(1),
            names_tier: true,
        };
        scenario.actions = vec![TimedAction { at_ms: 1, action: Action::PostOffer(post.clone()) }];
        let small = shrink(&scenario, BUDGET, |scenario| {
            scenario
                .actions
                .iter()
                .any(|timed| matches!(&timed.action, Action::PostOffer(post) if post.valid_for_ms.is_some()))
        });
        let plain = Post { eligibility: None, starts_after_ms: None, names_tier: false, ..post };
        assert_eq!(small.actions[0].action, Action::PostOffer(plain));
    }

    #[test]
    fn no_more_scenarios_are_run_than_the_budget_has() {
        for budget in [0, 1, 10] {
            let mut runs = 0;
            shrink(&large(), budget, |_| {
                runs += 1;
                runs % 2 == 0
            });
            assert!(runs <= budget, "{runs} of {budget}");
        }
    }

    #[test]
    fn a_scenario_that_needs_everything_stays_as_it_is() {
        let scenario = Scenario { customers: vec![Person::numbered(1)], ..large() };
        assert_eq!(shrink(&scenario, BUDGET, |_| false), scenario);
    }
}
