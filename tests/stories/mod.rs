//! The stories. Each module is a group: the tests of one subject.
//!
//! The stories of a group run at the same time, and so do some groups: `local/stack/src/test/groups.rs` says which. A new group
//! needs a place there.

mod accessibility;
mod consent;
mod contract;
mod dead_letters;
mod developer_machine;
mod event_bus;
mod event_sources;
mod examples;
mod forged_messages;
mod frozen_functions;
mod fuzz;
mod hash_migration;
mod killed_functions;
mod languages;
mod lost_messages;
mod offer_for_all;
mod offers;
mod openapi;
mod operator_tool;
mod preview;
mod privacy;
mod pushes;
mod rate_limit;
mod roles;
mod sample_events;
mod sending_switch;
mod ses;
mod slow_store;
mod sms;
mod smtp_faults;
mod status_page;
mod store_failure;
mod telemetry;
mod unsubscribe_page;
