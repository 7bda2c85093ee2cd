//! The HTTP API of offers: preview, create, read and list them; push them again, cancel pushes, tell how far they are.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | a path, or which handler it has | `routes` |
//! | what handlers work with | `app` |
//! | how offers are created, read and listed | `offers` |
//! | how pushes are requested, cancelled and reported | `pushes` |
//! | what is said to hold a push up | `pushes::diagnosis` |
//! | how a preview counts, what it shows, what it sends | `preview` |
//! | what is said of single deliveries | `deliveries` |

mod app;
mod deliveries;
mod offers;
mod preview;
mod pushes;
mod routes;

pub use app::App;
pub use preview::sample::SampleComposer;
pub use preview::test_send::{TEST_TIMEOUT, TestSender};
pub use pushes::diagnosis::Diagnosis;
pub use routes::router;
