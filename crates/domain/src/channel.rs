//! The ways to reach a customer.

use std::collections::BTreeSet;

use crate::wire_enum;

wire_enum! {
    /// A way to reach a customer.
    pub enum Channel {
        Email = "email",
        Sms = "sms",
    }
}

/// Some of the channels.
pub type Channels = BTreeSet<Channel>;
