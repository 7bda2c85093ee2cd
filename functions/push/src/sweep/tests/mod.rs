//! Sweeps on the store's real tables in process, in virtual time. SQS and EventBridge are played in memory.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the stack of a test, and the functions around the sweep | `world` |
//! | the queues | `services` |
//! | what runs independently of what; what is left to the next sweep | `duties` |
//! | slices that are queued again, scanned again or marked | `slices` |
//! | what counts as an empty queue | `depths` |
//! | requests that the stream did not deliver, scheduled pushes | `requests` |
//! | overdue events | `events` |

mod depths;
mod duties;
mod events;
mod requests;
mod services;
mod slices;
mod world;
