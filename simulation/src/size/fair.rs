//! How long pushes take beside each other, at the template's own rate and concurrency (`EmailRatePerSecond`,
//! `EmailConcurrency`).

use std::time::Duration;

use super::bank::Bank;
use super::meter::Meter;
use super::{Size, meter, post, pushes, run, scenario, took};
use crate::people::Action;
use crate::scenario::TimedAction;

/// A push: when it is posted, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct Posted {
    pub at: Duration,
    pub to: To,
}

/// The customers that a push selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    All,
    /// One in 400, in all slices.
    Few,
}

/// What was seen when the last of the pushes to few was completed, or all of them.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How long each push took, in their order; `None` if it is not completed.
    pub took: Vec<Option<Duration>>,
    /// E-mails that were sent until then.
    pub sent: u64,
    /// Until when that was, from the beginning.
    pub until: Duration,
    /// How often batches were received from the queue until then.
    pub received: u64,
}

/// The rate and the concurrency of the template.
const RATE: u32 = 14;
const CONCURRENCY: u32 = 10;

/// Posts these offers to a bank of so many customers, in the order of their times. With `to_the_end`, all pushes are waited for,
/// otherwise those to few.
pub fn measure(customers: u64, posted: &[Posted], to_the_end: bool) -> Seen {
    let size = Size { customers, rate: RATE, concurrency: CONCURRENCY, refuses_for: Duration::ZERO };
    let actions = posted.iter().enumerate().map(|(index, one)| {
        let rule = (one.to == To::Few).then_some(r#"customer.tier == "rare""#);
        let at_ms = u64::try_from(one.at.as_millis()).unwrap_or(u64::MAX);
        TimedAction { at_ms, action: Action::PostOffer(post(&format!("OFFER-{index}"), rule)) }
    });
    let is_awaited: Vec<_> = posted.iter().map(|one| to_the_end || one.to == To::Few).collect();
    run(scenario(size, actions.collect()), Meter::new(Bank { customers }, 0), |world| {
        let took: Vec<_> = pushes(world).iter().map(took).collect();
        let is_over = took.len() == posted.len()
            && took.iter().zip(&is_awaited).all(|(took, is_awaited)| took.is_some() || !is_awaited);
        let counts = meter(world).counts();
        let until = Duration::from_millis(world.elapsed_ms());
        is_over.then(|| Seen { took, sent: counts.sent, until, received: counts.received })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u64 = 20_000;

    fn posted(at: u64, to: To) -> Posted {
        Posted { at: Duration::from_secs(at), to }
    }

    fn alone() -> Duration {
        measure(LARGE, &[posted(1, To::Few)], false).took[0].expect("it is completed")
    }

    #[test]
    fn a_small_push_beside_a_large_one_takes_up_to_three_times_as_long_as_alone() {
        let alone = alone();
        for after in [10, 60] {
            let seen = measure(LARGE, &[posted(1, To::All), posted(1 + after, To::Few)], false);
            let beside = seen.took[1].expect("it is completed");
            println!("50 customers alone: {alone:?}; {after} s after 20,000 others: {beside:?}");
            assert!(beside <= alone * 3, "{beside:?} beside a large push, {alone:?} alone");
        }
    }

    #[test]
    fn a_large_push_goes_on_beside_many_small_ones() {
        let small = (0..12).map(|number| posted(10 + 5 * number, To::Few));
        let seen = measure(LARGE, &[posted(1, To::All)].into_iter().chain(small).collect::<Vec<_>>(), false);
        let of_large = seen.sent - 12 * LARGE / super::super::bank::EACH_RARE;
        let share = of_large as f64 / (f64::from(RATE) * seen.until.as_secs_f64());
        println!("beside 12 small pushes, {:.0} % of the rate; {seen:?}", share * 100.0);
        assert!(share > 0.25, "{:.0} % of the rate for the large push", share * 100.0);
    }

    #[test]
    fn the_rate_is_used_and_few_batches_circulate() {
        let seen = measure(3_000, &[posted(1, To::All)], true);
        let used = 3_000.0 / f64::from(RATE) / seen.took[0].expect("it is completed").as_secs_f64();
        println!("{:.0} % of the rate is used; {seen:?}", used * 100.0);
        assert!(used > 0.9, "{:.0} % of the rate is used", used * 100.0);
        assert!(seen.received < 60 * 8, "60 batches were received {} times", seen.received);
    }
}
