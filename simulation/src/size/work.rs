//! Work of one kind by itself, so that its instructions can be counted: for `.ci/instructions`.

use std::time::Duration;

use clap::ValueEnum;
use domain::TransportId;
use serde_json::json;

use super::bank::{Bank, ONE_RARE_IN, TO_RARE};
use super::meter::Meter;
use super::{POSTED_AT_MS, Size, post, pushes, run, scenario, took};
use crate::people::Action;
use crate::scenario::TimedAction;

/// What is done. Always the same, down to the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// 100 e-mails are sent by SES.
    Ses,
    /// 100 e-mails are sent over SMTP.
    Smtp,
    /// 1,200 customers are scanned; an offer's rule selects three of them.
    Scan,
}

impl Work {
    /// Does it, and returns when all is done.
    ///
    /// # Panics
    /// If not every e-mail is sent.
    pub fn run(self) {
        let (customers, rule) = match self {
            Self::Ses | Self::Smtp => (100, None),
            Self::Scan => (3 * ONE_RARE_IN, Some(TO_RARE)),
        };
        let size = Size { customers, rate: 500, concurrency: 2, refuses_for: Duration::ZERO };
        let action = Action::PostOffer(post("OFFER-1", rule));
        let mut scenario = scenario(size, vec![TimedAction { at_ms: POSTED_AT_MS, action }]);
        if self == Self::Smtp {
            scenario.settings.email_transport = TransportId::Smtp;
        }
        let sent = if rule.is_some() { customers / ONE_RARE_IN } else { customers };
        run(scenario, Meter::new(Bank { customers }, 0), |world| {
            pushes(world).first().and_then(took)?;
            let count = json!({
                "TableName": "Deliveries", "Select": "COUNT", "FilterExpression": "#state = :sent",
                "ExpressionAttributeNames": {"#state": "state"}, "ExpressionAttributeValues": {":sent": {"S": "sent"}},
            });
            assert_eq!(world.dynamo.execute("Scan", count).body["Count"], sent, "e-mails that were sent");
            Some(())
        });
    }
}
