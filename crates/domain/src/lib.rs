//! Offers, customers, eligibility, notifications and queue payloads: the rules of Offercast, with no AWS and no I/O.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what an offer may hold, and its limits | [`offer`] |
//! | what a customer may hold | [`customer`], [`email_address`], [`mobile`], [`locale`], [`channel`] |
//! | which characters no text may have | [`characters`] |
//! | how a time is read | [`time`] |
//! | which customers an offer is for (CEL rules) | [`eligibility`] |
//! | who is notified of an offer, and on which channels | [`audience`] |
//! | placeholders such as `{{ customer.name }}`, and their filters | [`text`] |
//! | CommonMark in descriptions | [`markup`] |
//! | where links may lead | [`link`] |
//! | which recipients test messages may go to, and which senders direct messages may have | [`allowed`] |
//! | the messages in queues | [`queue`] |
//! | a push: its states, its counts, what it waits for | [`push`] |
//! | the states and outcomes of a notification | [`notification`] |
//! | what replaces an address or a customer's id in tables | [`hash`] |
//! | the tokens of unsubscribe links and of their page | [`unsubscribe`] |
//! | the envelope's sender, and what it says of the delivery | [`return_path`] |
//! | the events that other services may subscribe to | [`event`] |
//! | which transports there are | [`transport`] |
//! | how enums get their wire names | [`wire`] |
//! | where the time, ids and random numbers come from | [`sources`] |
//! | the id that log lines of an offer share | [`trace`] |
//! | how invalid input is reported to the caller | [`faults`], [`fields`] |

pub mod allowed;
pub mod audience;
pub mod channel;
pub mod characters;
pub mod customer;
pub mod eligibility;
pub mod email_address;
pub mod event;
pub mod faults;
pub mod fields;
pub mod hash;
pub mod ids;
pub mod link;
pub mod locale;
pub mod markup;
pub mod mobile;
pub mod notification;
pub mod offer;
pub mod push;
pub mod queue;
pub mod return_path;
pub mod sources;
pub mod text;
pub mod time;
pub mod trace;
pub mod transport;
pub mod unsubscribe;
pub mod wire;

pub use allowed::{AllowedRecipients, AllowedSenders};
pub use audience::{Audience, Selection};
pub use channel::Channel;
pub use customer::Customer;
pub use eligibility::{Rule, RuleText};
pub use email_address::EmailAddress;
pub use faults::{Fault, Faults};
pub use hash::{AddressHash, CustomerHash, HashKey};
pub use ids::{CustomerId, OfferId, PushId};
pub use mobile::{Country, Mobile};
pub use offer::Offer;
pub use return_path::ReturnPath;
pub use sources::Sources;
pub use text::Text;
pub use trace::TraceId;
pub use transport::TransportId;
