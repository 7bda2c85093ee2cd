//! How each action is done.

use std::sync::Arc;
use std::time::Duration;

use domain::Channel;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::action::{Action, Change, Post, Rate};
use super::client::{Answer, Told, call};
use super::link;
use super::log::{Outcome, What};
use crate::aws::lambda::Function;
use crate::world::World;

/// How long the bank leaves a customer alone after a change that was not confirmed at once: a request that is late must not
/// undo the next change.
const SETTLES_IN: Duration = Duration::from_secs(60);

/// An action that is being done.
struct Doing<'a> {
    world: &'a Arc<World>,
    action: usize,
}

/// Does an action of the scenario.
pub(super) async fn perform(world: &Arc<World>, number: usize, action: &Action) {
    world.history.note(format_args!("people: action {number}: {action:?}"));
    let doing = Doing { world, action: number };
    match action {
        Action::PostOffer(post) => doing.post(post).await,
        Action::Cancel { offer } => doing.cancel(offer).await,
        Action::PushAgain { offer, retry_rejected } => doing.push_again(offer, *retry_rejected).await,
        Action::PutCustomer { customer, change } => doing.put(customer, change).await,
        Action::DeleteCustomer { customer } => doing.delete(customer).await,
        Action::Unsubscribe { customer } => doing.unsubscribe(customer).await,
        Action::AnswerStop { customer } => {
            if let Some(number) = world.people.customer(customer).and_then(|person| person.mobile) {
                doing.switch(What::Stop { customer: customer.clone() }, || world.sns.opt_out(&number));
            }
        }
        Action::LiftSuppression { customer, channel } => doing.lift(customer, *channel).await,
        Action::RotateLinkKeys => doing.switch(What::LinkKeysRotated, || world.secrets.rotate_links()),
        Action::ChangeSmtpPassword => doing.switch(What::SmtpPasswordChanged, || world.secrets.change_smtp_password()),
        Action::HoldSending => doing.switch(What::SendingHeld, || world.people.switches.hold()),
        Action::ResumeSending => doing.switch(What::SendingResumed, || world.people.switches.resume()),
        &Action::ChangeRate { rate, per_second } => doing.change_rate(rate, per_second),
        Action::Redrive { queue } => doing.switch(What::Redriven { queue: queue.clone() }, || {
            world.queues.redrive(world, queue);
        }),
        Action::Purge { queue } => doing.switch(What::Purged { queue: queue.clone() }, || {
            world.queues.purge(world, queue);
        }),
        Action::Deploy => doing.switch(What::Deployed, || world.people.switches.deploy()),
    }
}

impl Doing<'_> {
    async fn post(&self, post: &Post) {
        let code = post.code.clone();
        let number = self.begin(What::Post { code: code.clone(), offer: None });
        let request = json!({
            "method": "POST",
            "path": "/offers",
            "headers": {"Idempotency-Key": format!("post-{code}")},
            "body": post.body(self.world.clock.now()),
        });
        let told = call(self.world, Function::Offer, &request).await;
        if let Some(Answer { status: 201, body }) = &told.answer {
            let id = body["id"].as_str().expect("an offer has an id").to_owned();
            self.world.people.log.learn(number, |what| {
                if let What::Post { offer, .. } = what {
                    *offer = Some(id);
                }
            });
        }
        self.end(number, &told, &[201]);
    }

    async fn cancel(&self, code: &str) {
        let Some(offer) = self.offer(code).await else { return };
        let push = self.world.people.log.last_push(&offer);
        let path = format!("/offers/{offer}/pushes/{push}/cancel");
        let number = self.begin(What::Cancel { code: code.to_owned(), offer, push });
        let told = call(self.world, Function::Offer, &json!({"method": "POST", "path": path})).await;
        self.end(number, &told, &[202]);
    }

    async fn push_again(&self, code: &str, retry_rejected: bool) {
        let Some(offer) = self.offer(code).await else { return };
        let path = format!("/offers/{offer}/pushes");
        let number = self.begin(What::PushAgain { code: code.to_owned(), offer, push: None, retry_rejected });
        let body = json!({"retryRejected": retry_rejected});
        let told = call(self.world, Function::Offer, &json!({"method": "POST", "path": path, "body": body})).await;
        if let Some(Answer { status: 202, body }) = &told.answer {
            let pushed = body["number"].as_u64().and_then(|number| u32::try_from(number).ok());
            self.world.people.log.learn(number, |what| {
                if let What::PushAgain { push, .. } = what {
                    *push = pushed;
                }
            });
        }
        self.end(number, &told, &[202]);
    }

    async fn put(&self, customer: &str, change: &Change) {
        let turn = self.world.people.turn(customer);
        let _turn = turn.lock().await;
        let before = self.world.people.customer(customer);
        let Some(after) = change.of(before.as_ref()) else { return };
        let request = json!({"method": "PUT", "path": format!("/customers/{customer}"), "body": after.body()});
        let number = self.begin(What::Put { before, after: after.clone() });
        self.world.people.customers().insert(customer.to_owned(), after);
        self.settle(number, &request, &[200, 201]).await;
    }

    async fn delete(&self, customer: &str) {
        let turn = self.world.people.turn(customer);
        let _turn = turn.lock().await;
        let Some(before) = self.world.people.customers().remove(customer) else { return };
        let number = self.begin(What::Delete { before });
        self.settle(number, &json!({"method": "DELETE", "path": format!("/customers/{customer}")}), &[204]).await;
    }

    async fn unsubscribe(&self, customer: &str) {
        let turn = self.world.people.turn(customer);
        let _turn = turn.lock().await;
        let Some(address) = self.address(customer, Channel::Email) else { return };
        let token = link::token(self.world, customer, &address);
        let number = self.begin(What::Unsubscribe { customer: customer.to_owned(), address });
        // As a mail program does (RFC 8058, 3.2).
        let request = json!({
            "method": "POST",
            "path": format!("/unsubscribe/{token}"),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            "body": "List-Unsubscribe=One-Click",
        });
        let told = call(self.world, Function::Preferences, &request).await;
        self.end(number, &told, &[200]);
    }

    async fn lift(&self, customer: &str, channel: Channel) {
        let turn = self.world.people.turn(customer);
        let _turn = turn.lock().await;
        let Some(address) = self.address(customer, channel) else { return };
        // In a path, a plus may stay as it is (RFC 3986, 3.3), and so may an at sign.
        let request = json!({
            "method": "DELETE",
            "path": format!("/suppressions/{channel}/{address}"),
            "pathParameters": {"channel": channel, "address": address},
        });
        let number = self.begin(What::Lift { customer: customer.to_owned(), channel, address });
        let told = call(self.world, Function::Customer, &request).await;
        self.end(number, &told, &[204]);
    }

    fn change_rate(&self, rate: Rate, per_second: u32) {
        let rates = self.world.people.switches.rates();
        let before = match rate {
            Rate::Email => rates.email,
            Rate::FallbackEmail => rates.fallback_email,
            Rate::Sms => rates.sms,
        };
        self.switch(What::RateChanged { rate, before, per_second }, || {
            self.world.people.switches.set_rate(rate, per_second);
        });
    }

    /// The id of the offer with this code, once somebody knows it.
    async fn offer(&self, code: &str) -> Option<String> {
        let is_posted = |action: &Action| matches!(action, Action::PostOffer(post) if post.code == code);
        if !self.world.scenario.actions.iter().any(|timed| is_posted(&timed.action)) {
            return None;
        }
        self.world.people.log.offer(code).await
    }

    fn address(&self, customer: &str, channel: Channel) -> Option<String> {
        self.world.people.customer(customer)?.address(channel).map(str::to_owned)
    }

    /// Calls the function `customer`, while nobody else changes the customer.
    async fn settle(&self, number: usize, request: &Value, done: &[u16]) {
        let told = call(self.world, Function::Customer, request).await;
        self.end(number, &told, done);
        if told.attempts > 1 {
            sleep(SETTLES_IN).await;
        }
    }

    /// Does what takes no call of a function.
    fn switch(&self, what: What, switch: impl FnOnce()) {
        let number = self.begin(what);
        switch();
        self.world.people.log.end(self.world, number, 0, Outcome::Done);
    }

    fn begin(&self, what: What) -> usize {
        self.world.people.log.begin(self.world, Some(self.action), what)
    }

    fn end(&self, number: usize, told: &Told, done: &[u16]) {
        let outcome = match &told.answer {
            Some(Answer { status, .. }) if done.contains(status) => Outcome::Done,
            Some(Answer { status, .. }) => Outcome::Refused(*status),
            None => Outcome::Unknown,
        };
        self.world.people.log.end(self.world, number, told.attempts, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Person;
    use super::*;

    #[test]
    fn an_address_is_a_path_segment_as_it_is() {
        let person = Person::numbered(1);
        for channel in Channel::ALL {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
            assert!(person.address(channel).unwrap().chars().all(is_plain));
        }
    }
}
