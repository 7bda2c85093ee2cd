//! The whole pipeline in one process, on virtual time, under seeded faults.
//!
//! The functions are the real ones, with the real clients of the AWS SDK. What is simulated is the network below those
//! clients, and the services behind it: DynamoDB by `dynoxide`, the others by small models of what AWS documents.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what a seed decides before a run | [`scenario`], [`people`] |
//! | what may go wrong with a call, a message, a record | [`fault`] |
//! | the way from a client to a service and back | [`network`] |
//! | the models of AWS | [`aws`] |
//! | the models of the providers | [`providers`] |
//! | how the functions are built | [`functions`] |
//! | processes, their clocks, killing and freezing them | [`process`] |
//! | the promises, and what they are checked against | [`promises`] |
//! | a run from its beginning to its end | [`run`] |
//! | what is printed of a run | [`history`] |
//! | how long a killed invocation delays what it held | [`recovery`] |
//! | what a push takes of AWS, by its size | [`size`] |

pub mod aws;
pub mod chance;
pub mod fault;
pub mod functions;
pub mod history;
pub mod network;
pub mod people;
pub mod process;
pub mod promises;
pub mod providers;
pub mod recovery;
pub mod run;
pub mod scenario;
pub mod size;
pub mod world;
