//! The dependencies of the handlers.

use domain::Sources;
use domain::offer::Policy;
use store::{Customers, Deliveries, Offers, Pushes};

use crate::preview::sample::SampleComposer;
use crate::preview::test_send::TestSender;
use crate::pushes::diagnosis::Diagnosis;

/// State shared by all handlers.
pub struct App {
    /// The clock and the random numbers.
    pub sources: Sources,
    pub offers: Offers,
    pub pushes: Pushes,
    pub deliveries: Deliveries,
    pub customers: Customers,
    pub diagnosis: Diagnosis,
    pub sample_composer: SampleComposer,
    pub test_sender: TestSender,
    pub policy: Policy,
}
