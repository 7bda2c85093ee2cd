//! The points that faults are drawn over: all that functions call while offers are pushed, and all else that may go wrong.

use domain::{Channel, TransportId};

use super::Scenario;
use crate::people::Action;
use crate::people::person::is_unknown;
use crate::providers::feedback::Report as Reported;

/// A kind of thing that happens again and again in a run, as `fault` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub name: &'static str,
    pub kind: Kind,
    pub often: Often,
}

/// What may go wrong at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A call of a function.
    Call,
    /// A step of a conversation with a mail server.
    Smtp,
    /// A message that is queued. One that is lost is found missing by the sweep.
    Message,
    /// A message or a record that nothing finds missing. Neither SQS nor DynamoDB loses one.
    Report,
    Record,
    Schedule,
    /// An event of a call of the bus.
    Event,
    /// An invocation of a function, for which there may be no capacity.
    Invoke,
    /// The deletion of a message that was handled.
    Delete,
}

/// How often a point is passed in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Often {
    /// Some times for each push.
    Push,
    /// For each slice of a push.
    Slice,
    /// For each notification on this channel.
    Notification(Channel),
    /// For each batch on this channel.
    Batch(Channel),
    /// For each minute.
    Minute,
    /// For each five minutes.
    FiveMinutes,
    /// For each connection to a mail server.
    Connection,
    /// For each process of a function that sends on this channel.
    Process(Channel),
    /// For each message that this transport is given.
    Transport(TransportId),
    /// For each e-mail that a mail server refuses since the address does not exist.
    UnknownAddress,
    /// For each number whose owner has opted out with the provider.
    OptedOut,
    /// For each report of SES.
    Feedback,
    /// For each suppression: its event.
    Suppression,
    Posted,
    PushedAgain,
    /// For each push that is cancelled or pushed again.
    Asked,
    Put,
    Deleted,
    Unsubscribed,
    Lifted,
    Cancelled,
}

use Channel::{Email, Sms};
use Kind::{Call, Delete, Event, Invoke, Message, Record, Report, Schedule, Smtp};
use Often::{
    Asked, Batch, Cancelled, Connection, Deleted, Feedback, FiveMinutes, Lifted, Minute, Notification, OptedOut,
    Posted, Process, Push, PushedAgain, Put, Slice, Suppression, Transport, UnknownAddress, Unsubscribed,
};

const fn p(name: &'static str, kind: Kind, often: Often) -> Point {
    Point { name, kind, often }
}

/// Every point.
pub const POINTS: &[Point] = &[
    // offer
    p("offer DynamoDB.GetItem Offers", Call, Posted),
    p("offer DynamoDB.TransactWriteItems Offers", Call, Posted),
    p("offer DynamoDB.Scan Customers", Call, Posted),
    p("offer DynamoDB.PutItem Offers", Call, PushedAgain),
    p("offer DynamoDB.Query Offers", Call, PushedAgain),
    p("offer DynamoDB.Query Pushes", Call, Asked),
    p("offer DynamoDB.Query Deliveries", Call, PushedAgain),
    p("offer DynamoDB.UpdateItem Pushes", Call, Cancelled),
    // customer
    p("customer DynamoDB.PutItem Customers", Call, Put),
    p("customer DynamoDB.DeleteItem Customers", Call, Deleted),
    p("customer SecretsManager.GetSecretValue HashKey", Call, Lifted),
    p("customer DynamoDB.Query Customers", Call, Lifted),
    p("customer DynamoDB.BatchGetItem Suppressions", Call, Lifted),
    p("customer DynamoDB.Query Suppressions", Call, Lifted),
    p("customer DynamoDB.DeleteItem Suppressions", Call, Lifted),
    p("customer DynamoDB.PutItem Suppressions", Call, Lifted),
    p("customer DynamoDB.TransactWriteItems Suppressions", Call, Lifted),
    // preferences
    p("preferences SecretsManager.GetSecretValue HashKey", Call, Unsubscribed),
    p("preferences SecretsManager.GetSecretValue UnsubscribeKeys", Call, Unsubscribed),
    p("preferences DynamoDB.BatchGetItem Suppressions", Call, Unsubscribed),
    p("preferences DynamoDB.TransactWriteItems Suppressions", Call, Unsubscribed),
    // push: starting, publishing, the sweep
    p("push DynamoDB.GetItem Offers", Call, Push),
    p("push DynamoDB.Query Offers", Call, Minute),
    p("push DynamoDB.Scan Customers", Call, Push),
    p("push DynamoDB.GetItem Pushes", Call, Push),
    p("push DynamoDB.PutItem Pushes", Call, Push),
    p("push DynamoDB.UpdateItem Pushes", Call, Push),
    p("push DynamoDB.TransactWriteItems Pushes", Call, Push),
    p("push DynamoDB.BatchGetItem Pushes", Call, Push),
    p("push DynamoDB.Query Pushes", Call, Minute),
    p("push SQS.SendMessageBatch AudienceQueue", Call, Push),
    p("push SQS.GetQueueAttributes AudienceQueue", Call, Push),
    p("push SQS.GetQueueAttributes EmailQueue", Call, Push),
    p("push SQS.GetQueueAttributes SmsQueue", Call, Push),
    p("push EventBridge.PutEvents", Call, Push),
    // audience
    p("audience DynamoDB.GetItem Pushes", Call, Slice),
    p("audience DynamoDB.GetItem Offers", Call, Slice),
    p("audience DynamoDB.UpdateItem Pushes", Call, Slice),
    p("audience DynamoDB.TransactWriteItems Pushes", Call, Slice),
    p("audience DynamoDB.Scan Customers", Call, Slice),
    p("audience SQS.ChangeMessageVisibilityBatch AudienceQueue", Call, Slice),
    p("audience SQS.SendMessage AudienceQueue", Call, Push),
    p("audience SQS.GetQueueAttributes AudienceQueue", Call, Push),
    p("audience SQS.SendMessageBatch EmailQueue", Call, Batch(Email)),
    p("audience SQS.SendMessageBatch SmsQueue", Call, Batch(Sms)),
    // email
    p("email SecretsManager.GetSecretValue HashKey", Call, Process(Email)),
    p("email SecretsManager.GetSecretValue UnsubscribeKeys", Call, Process(Email)),
    p("email SecretsManager.GetSecretValue SmtpUrl", Call, Connection),
    p("email DynamoDB.GetItem Pushes", Call, Batch(Email)),
    p("email DynamoDB.GetItem Offers", Call, Batch(Email)),
    p("email DynamoDB.UpdateItem Pushes", Call, Batch(Email)),
    p("email DynamoDB.TransactWriteItems Pushes", Call, Slice),
    p("email DynamoDB.BatchGetItem Customers", Call, Batch(Email)),
    p("email DynamoDB.BatchGetItem Deliveries", Call, Batch(Email)),
    p("email DynamoDB.BatchGetItem Suppressions", Call, Batch(Email)),
    p("email DynamoDB.GetItem Pacing", Call, Batch(Email)),
    p("email DynamoDB.UpdateItem Pacing", Call, Batch(Email)),
    p("email DynamoDB.UpdateItem Deliveries", Call, Notification(Email)),
    p("email DynamoDB.BatchExecuteStatement Deliveries", Call, Batch(Email)),
    p("email DynamoDB.PutItem Suppressions", Call, UnknownAddress),
    p("email DynamoDB.TransactWriteItems Suppressions", Call, UnknownAddress),
    p("email SQS.ChangeMessageVisibilityBatch EmailQueue", Call, Batch(Email)),
    p("email SQS.SendMessage EmailQueue", Call, Batch(Email)),
    p("email SQS.GetQueueAttributes EmailQueue", Call, Push),
    p("email SES.SendEmail", Call, Transport(TransportId::Ses)),
    p("email SMTP.CONNECT", Smtp, Connection),
    p("email SMTP.EHLO", Smtp, Connection),
    p("email SMTP.AUTH", Smtp, Connection),
    p("email SMTP.MAIL", Smtp, Transport(TransportId::Smtp)),
    p("email SMTP.RCPT", Smtp, Transport(TransportId::Smtp)),
    p("email SMTP.DATA", Smtp, Transport(TransportId::Smtp)),
    p("email SMTP.MESSAGE", Smtp, Transport(TransportId::Smtp)),
    p("email SMTP.RSET", Smtp, UnknownAddress),
    p("email SMTP.QUIT", Smtp, Connection),
    // sms
    p("sms SecretsManager.GetSecretValue HashKey", Call, Process(Sms)),
    p("sms DynamoDB.GetItem Pushes", Call, Batch(Sms)),
    p("sms DynamoDB.GetItem Offers", Call, Batch(Sms)),
    p("sms DynamoDB.UpdateItem Pushes", Call, Batch(Sms)),
    p("sms DynamoDB.TransactWriteItems Pushes", Call, Slice),
    p("sms DynamoDB.BatchGetItem Customers", Call, Batch(Sms)),
    p("sms DynamoDB.BatchGetItem Deliveries", Call, Batch(Sms)),
    p("sms DynamoDB.BatchGetItem Suppressions", Call, Batch(Sms)),
    p("sms DynamoDB.GetItem Pacing", Call, Batch(Sms)),
    p("sms DynamoDB.UpdateItem Pacing", Call, Batch(Sms)),
    p("sms DynamoDB.UpdateItem Deliveries", Call, Notification(Sms)),
    p("sms DynamoDB.BatchExecuteStatement Deliveries", Call, Batch(Sms)),
    p("sms DynamoDB.TransactWriteItems Suppressions", Call, OptedOut),
    p("sms SQS.ChangeMessageVisibilityBatch SmsQueue", Call, Batch(Sms)),
    p("sms SQS.SendMessage SmsQueue", Call, Batch(Sms)),
    p("sms SQS.GetQueueAttributes SmsQueue", Call, Push),
    p("sms SNS.CheckIfPhoneNumberIsOptedOut", Call, Transport(TransportId::Sns)),
    p("sms SNS.Publish", Call, Transport(TransportId::Sns)),
    // feedback
    p("feedback SecretsManager.GetSecretValue HashKey", Call, Feedback),
    p("feedback SQS.ChangeMessageVisibilityBatch FeedbackQueue", Call, Feedback),
    p("feedback SQS.GetQueueAttributes FeedbackQueue", Call, Feedback),
    p("feedback DynamoDB.UpdateItem Deliveries", Call, Feedback),
    p("feedback DynamoDB.GetItem Suppressions", Call, FiveMinutes),
    p("feedback DynamoDB.Scan Suppressions", Call, Push),
    p("feedback DynamoDB.PutItem Suppressions", Call, Push),
    p("feedback DynamoDB.TransactWriteItems Suppressions", Call, FiveMinutes),
    p("feedback EventBridge.PutEvents", Call, Suppression),
    // what is not a call
    p("message AudienceQueue", Message, Slice),
    p("message EmailQueue", Message, Batch(Email)),
    p("message SmsQueue", Message, Batch(Sms)),
    p("message FeedbackQueue", Report, Feedback),
    p("record Offers", Record, Push),
    p("record Pushes", Record, Push),
    p("record Suppressions", Report, Suppression),
    p("schedule push", Schedule, Minute),
    p("schedule feedback", Schedule, FiveMinutes),
    p("event offer.created", Event, Posted),
    p("event push.completed", Event, Push),
    p("event push.cancelled", Event, Cancelled),
    p("event customer.unsubscribed", Event, Unsubscribed),
    p("event customer.bounced", Event, Feedback),
    p("event customer.complained", Event, Feedback),
    // Not of customer: by it the customers of the beginning are stored, before anything goes wrong.
    p("invoke offer", Invoke, Posted),
    p("invoke preferences", Invoke, Unsubscribed),
    p("invoke push", Invoke, Minute),
    p("invoke audience", Invoke, Slice),
    p("invoke email", Invoke, Batch(Email)),
    p("invoke sms", Invoke, Batch(Sms)),
    p("invoke feedback", Invoke, FiveMinutes),
    p("delete AudienceQueue", Delete, Slice),
    p("delete EmailQueue", Delete, Batch(Email)),
    p("delete SmsQueue", Delete, Batch(Sms)),
    p("delete FeedbackQueue", Delete, Feedback),
];

/// Points that only few runs pass: after another fault or an outage, or when people do certain things.
pub const SELDOM: [&str; 9] = [
    "push DynamoDB.TransactWriteItems Pushes",
    "audience SQS.SendMessage AudienceQueue",
    "audience SQS.GetQueueAttributes AudienceQueue",
    "email SQS.GetQueueAttributes EmailQueue",
    "sms SQS.GetQueueAttributes SmsQueue",
    "feedback SQS.GetQueueAttributes FeedbackQueue",
    "email SMTP.QUIT",
    "email DynamoDB.PutItem Suppressions",
    "sms DynamoDB.TransactWriteItems Suppressions",
];

/// The calls that only storing the customers of the beginning takes, before anything goes wrong.
pub const SETTLING: [&str; 1] = ["customer DynamoDB.BatchWriteItem Customers"];

/// What the names of points begin with that are neither calls nor steps of a conversation.
const NO_CALLS: [&str; 6] = ["message", "record", "schedule", "event", "invoke", "delete"];

/// Whether a point is a call of a function or a step of a conversation: both have an effect, before and after which
/// something may go wrong.
pub fn is_call(point: &str) -> bool {
    !NO_CALLS.contains(&point.split(' ').next().unwrap_or_default())
}

/// The least number of slices of a push (functions/push/src/start.rs).
const SLICES: u32 = 8;

impl Point {
    /// About how often it is passed in a run of the scenario. 0: not at all.
    pub fn times(&self, scenario: &Scenario) -> u32 {
        let Size { posted, pushed_again, cancelled, put, deleted, unsubscribed, lifted, opted_out } =
            Size::of(scenario);
        let pushes = posted + pushed_again;
        let reports = || {
            let is_reported = |email: &String| Reported::of(email).is_some();
            let people = scenario.customers.iter().filter(|person| person.is_reachable_by(Channel::Email));
            let reported = people.filter(|person| person.email.as_ref().is_some_and(is_reported)).count();
            let is_used = uses(scenario, TransportId::Ses);
            if is_used { count(reported) * posted } else { 0 }
        };
        match self.often {
            Push => pushes * 2,
            Slice => pushes * SLICES,
            Notification(channel) => notifications(scenario, channel, pushes) * 2,
            Batch(channel) => notifications(scenario, channel, pushes).min(pushes * SLICES),
            Minute => minutes(scenario),
            FiveMinutes => minutes(scenario).div_ceil(5),
            Connection if uses(scenario, TransportId::Smtp) => notifications(scenario, Email, pushes).min(3),
            Connection => 0,
            Process(channel) => notifications(scenario, channel, pushes).min(3),
            Transport(transport) if uses(scenario, transport) => notifications(scenario, transport.channel(), pushes),
            Transport(_) => 0,
            UnknownAddress if uses(scenario, TransportId::Smtp) => {
                let addresses = scenario.customers.iter().filter_map(|person| person.email.as_deref());
                count(addresses.filter(|email| is_unknown(email)).count()) * pushes
            }
            UnknownAddress => 0,
            OptedOut => opted_out,
            Feedback => reports(),
            Suppression => reports() + unsubscribed,
            Posted => posted,
            PushedAgain => pushed_again,
            Asked => pushed_again + cancelled,
            Put => put,
            Deleted => deleted,
            Unsubscribed => unsubscribed,
            Lifted => lifted,
            Cancelled => cancelled,
        }
    }
}

/// What people do in a scenario, by number.
#[derive(Debug, Default)]
struct Size {
    posted: u32,
    pushed_again: u32,
    cancelled: u32,
    put: u32,
    deleted: u32,
    unsubscribed: u32,
    lifted: u32,
    opted_out: u32,
}

impl Size {
    fn of(scenario: &Scenario) -> Self {
        let mut size = Self::default();
        for timed in &scenario.actions {
            match &timed.action {
                Action::PostOffer(_) => size.posted += 1,
                Action::PushAgain { .. } => size.pushed_again += 1,
                Action::Cancel { .. } => size.cancelled += 1,
                Action::PutCustomer { .. } => size.put += 1,
                Action::DeleteCustomer { .. } => size.deleted += 1,
                Action::Unsubscribe { .. } => size.unsubscribed += 1,
                Action::LiftSuppression { .. } => size.lifted += 1,
                Action::AnswerStop { .. } => size.opted_out += 1,
                _ => {}
            }
        }
        size
    }
}

fn notifications(scenario: &Scenario, channel: Channel, pushes: u32) -> u32 {
    count(scenario.customers.iter().filter(|person| person.is_reachable_by(channel)).count()) * pushes
}

/// How long faults may strike.
fn minutes(scenario: &Scenario) -> u32 {
    u32::try_from(scenario.end_ms() / 60_000).unwrap_or(u32::MAX).max(1)
}

fn uses(scenario: &Scenario, transport: TransportId) -> bool {
    let settings = &scenario.settings;
    transport == TransportId::Sns
        || settings.email_transport == transport
        || settings.fallback_email_transport == Some(transport)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_point_is_named_once() {
        let names: BTreeSet<_> = POINTS.iter().map(|point| point.name).collect();
        assert_eq!(names.len(), POINTS.len());
    }

    #[test]
    fn what_is_passed_seldom_is_a_point() {
        for seldom in SELDOM {
            assert!(POINTS.iter().any(|point| point.name == seldom && is_call(seldom)), "{seldom}");
        }
    }

    #[test]
    fn a_point_is_a_call_as_its_kind_says() {
        for point in POINTS {
            assert_eq!(is_call(point.name), matches!(point.kind, Call | Smtp), "{}", point.name);
        }
    }
}
