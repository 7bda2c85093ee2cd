//! What a push costs, and what larger pushes take than were measured.
//!
//! All that is counted grows with the customers and with the slices: `fixed + customers × a + slices × b`. Three measurements
//! give the three numbers; a fourth one, which is larger, shows how good they are.

use super::{Measured, Size};

/// The memory of a function, in GB (template.yaml).
const MEMORY_GB: f64 = 0.25;

/// What a push takes, in the units that AWS charges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Takes {
    pub seconds: f64,
    pub calls: f64,
    pub writes: f64,
    pub reads: f64,
    pub queue_requests: f64,
    pub invocations: f64,
    pub gb_seconds: f64,
    pub messages: f64,
}

/// Prices in us-east-1, in USD (AWS's price lists, 2026): DynamoDB on demand, a million write and read units; SQS, a million requests;
/// Lambda, a million requests, and a GB-second on arm64; SES, a thousand messages.
const WRITES: f64 = 0.625e-6;
const READS: f64 = 0.125e-6;
const QUEUE_REQUESTS: f64 = 0.40e-6;
const INVOCATIONS: f64 = 0.20e-6;
const GB_SECONDS: f64 = 0.000_013_333_4;
const MESSAGES: f64 = 0.10e-3;

impl Takes {
    /// In the order of [`Takes::from`].
    fn values(self) -> [f64; 8] {
        let Self { seconds, calls, writes, reads, queue_requests, invocations, gb_seconds, messages } = self;
        [seconds, calls, writes, reads, queue_requests, invocations, gb_seconds, messages]
    }

    fn from([seconds, calls, writes, reads, queue_requests, invocations, gb_seconds, messages]: [f64; 8]) -> Self {
        Self { seconds, calls, writes, reads, queue_requests, invocations, gb_seconds, messages }
    }

    /// The bill without SES, in USD.
    pub fn without_ses(&self) -> f64 {
        self.writes * WRITES
            + self.reads * READS
            + self.queue_requests * QUEUE_REQUESTS
            + self.invocations * INVOCATIONS
            + self.gb_seconds * GB_SECONDS
    }

    /// The bill, in USD.
    pub fn bill(&self) -> f64 {
        self.without_ses() + self.messages * MESSAGES
    }

    /// The largest relative difference to another, of what is more than nothing.
    pub fn difference(&self, other: &Self) -> f64 {
        let pairs = self.values().into_iter().zip(other.values()).filter(|(_, other)| *other > 0.0);
        pairs.map(|(own, other)| (own - other).abs() / other).fold(0.0, f64::max)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
const fn float(number: u64) -> f64 {
    number as f64
}

impl Measured {
    /// What was measured, in the units that AWS charges.
    pub fn takes(&self) -> Takes {
        let counts = &self.counts;
        let of = |service: &str| -> u64 {
            counts.calls.iter().filter(|(call, _)| call.starts_with(service)).map(|(_, number)| number).sum()
        };
        let (number, time) = counts
            .invocations
            .values()
            .fold((0, 0.0), |(number, time), (more, longer)| (number + more, time + longer.as_secs_f64()));
        Takes {
            seconds: self.took.as_secs_f64(),
            calls: float(counts.calls.values().sum()),
            writes: counts.units.values().map(|units| units.writes).sum(),
            reads: counts.units.values().map(|units| units.reads).sum(),
            queue_requests: float(of("SQS.") + counts.polled),
            invocations: float(number),
            gb_seconds: time * MEMORY_GB,
            messages: float(counts.sent),
        }
    }
}

/// What pushes of other sizes take.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    fixed: [f64; 8],
    per_customer: [f64; 8],
    per_slice: [f64; 8],
}

impl Model {
    /// The model that three measurements agree with. `None` if they do not decide it: two have the same size, or all have so many
    /// slices for each customer.
    pub fn of(measured: [&Measured; 3]) -> Option<Self> {
        let at = measured.map(|one| (float(one.size.customers), float(one.slices), one.takes().values()));
        // Differences to the first one leave two equations with two unknowns.
        let [(n0, s0, _), (n1, s1, _), (n2, s2, _)] = at;
        let ((dn1, ds1), (dn2, ds2)) = ((n1 - n0, s1 - s0), (n2 - n0, s2 - s0));
        let determinant = dn1 * ds2 - dn2 * ds1;
        if determinant == 0.0 {
            return None;
        }
        let mut model = Self { fixed: [0.0; 8], per_customer: [0.0; 8], per_slice: [0.0; 8] };
        for index in 0..8 {
            let [y0, y1, y2] = [at[0].2[index], at[1].2[index], at[2].2[index]];
            model.per_customer[index] = ((y1 - y0) * ds2 - (y2 - y0) * ds1) / determinant;
            model.per_slice[index] = (dn1 * (y2 - y0) - dn2 * (y1 - y0)) / determinant;
            model.fixed[index] = y0 - model.per_customer[index] * n0 - model.per_slice[index] * s0;
        }
        Some(model)
    }

    /// What a push of this size takes, cut into so many slices.
    pub fn takes(&self, customers: u64, slices: u64) -> Takes {
        let (customers, slices) = (float(customers), float(slices));
        Takes::from(std::array::from_fn(|index| {
            self.fixed[index] + self.per_customer[index] * customers + self.per_slice[index] * slices
        }))
    }
}

/// The settings of all measurements: ten functions that send 500 e-mails a second.
pub const fn usual(customers: u64) -> Size {
    Size { customers, rate: 500, concurrency: 10, refuses_for: std::time::Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::size::meter::{Counts, Units};

    fn measured(customers: u64, slices: u64, writes: f64) -> Measured {
        let units = [("Deliveries".to_owned(), Units { reads: 0.0, writes })].into_iter().collect();
        let counts = Counts { units, ..Counts::default() };
        Measured { size: usual(customers), took: Duration::ZERO, slices, counts }
    }

    #[test]
    fn a_model_has_the_numbers_that_three_measurements_agree_with() {
        let writes = |customers: u64, slices: u64| 10.0 + 2.5 * float(customers) + 30.0 * float(slices);
        let sizes = [(1_000, 8), (10_000, 8), (100_000, 20)];
        let all = sizes.map(|(customers, slices)| measured(customers, slices, writes(customers, slices)));
        let model = Model::of([&all[0], &all[1], &all[2]]).unwrap();
        let takes = model.takes(1_000_000, 200);
        assert!((takes.writes - writes(1_000_000, 200)).abs() < 1e-3, "{takes:?}");
        assert!((takes.without_ses() - takes.writes * 0.625e-6).abs() < 1e-9);
        assert!(Model::of([&all[0], &all[1], &all[1]]).is_none());
    }

    #[test]
    fn a_difference_is_relative_and_the_largest_of_all() {
        let takes = Takes { writes: 100.0, reads: 50.0, ..Takes::default() };
        let other = Takes { writes: 101.0, reads: 40.0, ..Takes::default() };
        assert!((takes.difference(&other) - 0.25).abs() < 1e-9);
    }
}
