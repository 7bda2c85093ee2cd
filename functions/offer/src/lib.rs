//! The HTTP API of offers: preview, create, read and list offers; push them again, cancel pushes, report their
//! progress.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | paths and their handlers | `routes` |
//! | what the handlers depend on | `app` |
//! | how offers are created, read and listed | `offers` |
//! | how pushes are requested, cancelled and listed | `pushes` |
//! | whether an offer may be pushed again | `pushes::again` |
//! | how `waitingFor` and `lastError` are found | `pushes::diagnosis` |
//! | what a preview does, and within which time | `preview` |
//! | how a preview counts and estimates the audience | `preview::audience` |
//! | how a preview composes sample messages | `preview::sample` |
//! | who may get test messages of a preview | `preview::test_request` |
//! | how a preview sends test messages | `preview::test_send` |
//! | how deliveries are listed | `deliveries` |

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
