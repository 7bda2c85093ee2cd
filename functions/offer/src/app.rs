//! What the handlers work with.

use domain::Text;
use store::{Customers, Deliveries, Offers, Pushes};

use crate::preview::sample::Samples;
use crate::preview::test_send::Tester;
use crate::pushes::diagnosis::Diagnosis;

/// What every handler may use.
pub struct App {
    pub offers: Offers,
    pub pushes: Pushes,
    pub deliveries: Deliveries,
    pub customers: Customers,
    pub diagnosis: Diagnosis,
    pub samples: Samples,
    pub tester: Tester,
    pub default_subject: Text,
}
