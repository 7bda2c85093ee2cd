//! How long pushes take beside each other, at the template's own rate (`EmailRatePerSecond`).

use std::time::Duration;

use super::bank::{Bank, TO_RARE};
use super::meter::Meter;
use super::{Size, meter, post, pushes, run, scenario, took};
use crate::people::Action;
use crate::scenario::TimedAction;

/// A push: when it is posted, and for which customers.
#[derive(Debug, Clone, Copy)]
struct Posted {
    at: Duration,
    to: To,
}

/// The customers that a push selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    All,
    /// One in 400, in all slices.
    Few,
}

/// What was seen when the last of the pushes to few was completed, or all of them.
#[derive(Debug, Clone)]
struct Seen {
    /// How long each push took, in their order; `None` if it is not completed.
    took: Vec<Option<Duration>>,
    /// E-mails that were sent until then.
    sent: u64,
    /// Until when that was, from the beginning.
    until: Duration,
    /// How often batches were received from the queue until then.
    received: u64,
}

/// The rate of the template.
const RATE: u32 = 14;

/// Posts these offers to a bank of so many customers, in the order of their times, with so many functions that send. With
/// `to_the_end`, all pushes are waited for, otherwise those to few.
fn measure(customers: u64, concurrency: u32, posted: &[Posted], to_the_end: bool) -> Seen {
    let size = Size { customers, rate: RATE, concurrency, refuses_for: Duration::ZERO };
    let actions = posted.iter().enumerate().map(|(index, one)| {
        let rule = (one.to == To::Few).then_some(TO_RARE);
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
        is_over.then_some(Seen { took, sent: counts.sent, until, received: counts.received })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u64 = 20_000;

    fn posted(at: u64, to: To) -> Posted {
        Posted { at: Duration::from_secs(at), to }
    }

    /// How long a push to 50 customers takes alone, and when it is posted so many seconds after one to all.
    fn alone_and_beside(concurrency: u32, after: u64) -> (Duration, Duration) {
        let took = |posted: &[Posted]| {
            let seen = measure(LARGE, concurrency, posted, false);
            seen.took.last().copied().flatten().expect("it is completed")
        };
        let alone = took(&[posted(1, To::Few)]);
        let beside = took(&[posted(1, To::All), posted(1 + after, To::Few)]);
        println!("{concurrency} functions: alone {alone:?}, {after} s after a large push {beside:?}");
        (alone, beside)
    }

    #[test]
    fn a_small_push_beside_a_large_one_takes_up_to_three_times_as_long_as_alone() {
        for after in [10, 60] {
            let (alone, beside) = alone_and_beside(10, after);
            assert!(beside <= alone * 3, "{beside:?} beside a large push, {alone:?} alone");
        }
    }

    /// The large push has one function; the small push's eight batches share the other, and each waits for its turn.
    #[test]
    fn with_the_two_functions_of_the_template_it_waits_for_less_than_a_minute() {
        for after in [10, 60, 480] {
            let (_, beside) = alone_and_beside(2, after);
            assert!(beside < Duration::from_secs(60), "{beside:?}");
        }
    }

    #[test]
    fn a_large_push_goes_on_beside_many_small_ones() {
        let small = (0..12).map(|number| posted(10 + 5 * number, To::Few));
        let all: Vec<_> = [posted(1, To::All)].into_iter().chain(small).collect();
        let seen = measure(LARGE, 10, &all, false);
        let of_large = seen.sent - 12 * LARGE / super::super::bank::ONE_RARE_IN;
        let share = of_large as f64 / (f64::from(RATE) * seen.until.as_secs_f64());
        println!("beside 12 small pushes, {:.0} % of the rate; {seen:?}", share * 100.0);
        assert!(share > 0.4, "{:.0} % of the rate for the large push", share * 100.0);
    }

    #[test]
    fn the_rate_is_used_and_few_batches_circulate() {
        for concurrency in [2, 10] {
            let seen = measure(3_000, concurrency, &[posted(1, To::All)], true);
            let used = 3_000.0 / f64::from(RATE) / seen.took[0].expect("it is completed").as_secs_f64();
            println!("{concurrency} functions: {:.0} % of the rate is used; {seen:?}", used * 100.0);
            assert!(used > 0.9, "{:.0} % of the rate is used", used * 100.0);
            assert!(seen.received < 60 * 10, "60 batches were received {} times", seen.received);
        }
    }
}
