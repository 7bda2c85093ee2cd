//! The product's own transports against the models. Those of the mail server alone are in `mail_server`.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use delivery::transport::smtp::ServerSettings;
use delivery::{
    DltIds, Email, RefusalKind, SendError, SesTransport, SmtpTransport, SnsOptions, SnsTransport, Suspect, TextMessage,
    Transport,
};
use domain::TransportId;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use runtime::Aws;

use super::*;
use crate::aws::lambda::Function;
use crate::fault::{Fault, Moment, Planned};
use crate::network::Network;
use crate::scenario::{Outage, Scenario, Settings};

mod mail_server;

const ASHA: &str = "asha@example.com";

/// A scenario in which nothing happens.
pub(crate) fn scenario() -> Scenario {
    let settings = Settings { email_rate: 10, fallback_email_rate: 10, sms_rate: 10, ..Settings::plain() };
    let (customers, actions, outages, faults) = (vec![], vec![], vec![], vec![]);
    Scenario { seed: 1, settings, customers, actions, outages, faults, calm_after_ms: 0 }
}

/// A world in which a provider is in a mode.
fn in_mode(provider: TransportId, mode: Mode) -> Scenario {
    let what = Trouble::Provider(provider, mode);
    Scenario { outages: vec![Outage { from_ms: 0, for_ms: u64::MAX, what }], ..scenario() }
}

fn with_fault(point: &str, moment: Moment, fault: Fault) -> Scenario {
    Scenario { faults: vec![Planned { point: point.to_owned(), nth: 1, moment, fault }], ..scenario() }
}

fn process(world: &World, function: Function) -> Process {
    Process::new(1, function, world.clock.clone(), SignedDuration::ZERO)
}

fn email(to: &str) -> Email {
    let message = lettre::Message::builder()
        .from("offers@bank.example".parse().unwrap())
        .to(to.parse().unwrap())
        .subject("Save with OFFER-7")
        .body("Hello\r\n.\r\nand bye".to_owned())
        .unwrap();
    let mut email = Email::new(&message).unwrap();
    email.tags = vec![("offer", "01980000-0000-7000-8000-000000000001".to_owned()), ("customer", "c-1".to_owned())];
    email
}

fn smtp(world: &Arc<World>, process: &Process) -> SmtpTransport {
    let (user, password) = world.secrets.smtp_user();
    let settings = ServerSettings::of(format!("smtp://{user}:{password}@127.0.0.1:1025"));
    let connect = SmtpServer::connector(world, process);
    let settings = Box::new(move || ready(Ok(settings.clone())).boxed());
    SmtpTransport::over(settings, "bank.example".parse().unwrap(), world.clock.sources(), connect)
}

fn aws(world: &Arc<World>, process: &Process) -> Aws {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(process.clone()))
        .time_source(SharedTimeSource::new(process.clone()))
        .build();
    let network = Network { world: world.clone(), process: process.clone() };
    Aws::over(SharedHttpClient::new(network), &config, world.clock.sources())
}

async fn send_ses(scenario: Scenario, to: &str) -> (Arc<World>, Result<String, SendError>) {
    let world = World::new(scenario, true);
    let process = process(&world, Function::Email);
    let ses = SesTransport::new(&aws(&world, &process), None);
    let sent = ses.send(&email(to), Timestamp::MAX).await;
    (world, sent.map(|accepted| accepted.message_id))
}

async fn send_sns(scenario: Scenario, opted_out: bool) -> (Arc<World>, Result<String, SendError>) {
    let world = World::new(scenario, true);
    let process = process(&world, Function::Sms);
    let number = "+351912345678";
    if opted_out {
        world.sns.opt_out(number);
    }
    let options = SnsOptions { sender_id: None, message_type: "Promotional".into(), check_opt_outs: opted_out };
    let sns = SnsTransport::new(&aws(&world, &process), options);
    let message = TextMessage { to: number.into(), text: "OFFER-7: save".into(), dlt: DltIds::default() };
    let sent = sns.send(&message, Timestamp::MAX).await;
    (world, sent.map(|accepted| accepted.message_id))
}

async fn send_smtp(scenario: Scenario, to: &str) -> (Arc<World>, Result<(), SendError>) {
    let world = World::new(scenario, true);
    let process = process(&world, Function::Email);
    let sent = smtp(&world, &process).send(&email(to), Timestamp::MAX).await;
    (world, sent.map(drop))
}

/// The meaning of an error for the product, in a word.
fn meaning<T>(sent: &Result<T, SendError>) -> &'static str {
    match sent {
        Ok(_) => "accepted",
        Err(SendError::Refused(refusal)) => match refusal.kind {
            RefusalKind::UnknownAddress => "unknown address",
            RefusalKind::Recipient => "recipient",
            RefusalKind::Message => "message",
            RefusalKind::Temporary => "for now",
            RefusalKind::Ambiguous(Suspect::Sender) => "unclear",
            RefusalKind::Ambiguous(Suspect::Content) => "content",
        },
        Err(SendError::OptedOut(_)) => "opted out",
        Err(SendError::Unanswered(_)) => "unanswered",
        Err(SendError::TooLate) => "too late",
        Err(SendError::Unreachable(_)) => "unreachable",
    }
}

/// What the provider has kept, in words.
fn kept(world: &World) -> Vec<(String, bool)> {
    let all = world.handovers.all();
    all.iter().map(|handover| (format!("{:?}", handover.outcome), handover.answered_at.is_some())).collect()
}

#[tokio::test(start_paused = true)]
async fn e_mail_arrives_by_ses_and_bounces_later_if_its_address_says_so() {
    let (world, sent) = send_ses(scenario(), ASHA).await;
    assert_eq!(sent.unwrap(), "ses-0");
    assert_eq!(kept(&world), [("Taken".to_owned(), true)]);
    assert_eq!(world.handovers.get(0).offer.as_deref(), Some("OFFER-7"));
    assert!(world.ses.reports.sent().is_empty());
    let (world, _) = send_ses(scenario(), "bounces.asha@example.com").await;
    let [reported] = &world.ses.reports.sent()[..] else { panic!("one report") };
    assert_eq!(reported.report, feedback::Report::Bounced);
    assert!(reported.at > world.handovers.get(0).taken_at + Duration::from_secs(1));
    let tags = &reported.body["detail"]["mail"]["tags"];
    assert_eq!(tags["customer"][0], "c-1");
    assert_eq!(world.queues.bodies("FeedbackQueue"), [reported.body.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_opted_out_gets_no_text() {
    let (world, sent) = send_sns(scenario(), false).await;
    assert_eq!(sent.unwrap(), "sns-0");
    assert_eq!(world.handovers.get(0).offer.as_deref(), Some("OFFER-7"));
    let (world, sent) = send_sns(scenario(), true).await;
    assert_eq!(meaning(&sent), "opted out");
    assert!(world.handovers.all().is_empty());
}

/// The modes, and what the product makes of each by SES, by SNS and by SMTP. In parentheses where it differs between
/// recipients.
#[tokio::test(start_paused = true)]
async fn each_mode_means_to_the_product_what_it_says() {
    let percent = 100;
    for (mode, ses, sns, smtp) in [
        (Mode::Down, "unreachable", "unreachable", "unreachable"),
        (Mode::Slow(3_000), "accepted", "accepted", "accepted"),
        (Mode::Slow(55_000), "unanswered", "unanswered", "unreachable"),
        (Mode::Silent, "unanswered", "unanswered", "unanswered"),
        (Mode::Unanswering, "unanswered", "unanswered", "unreachable"),
        (Mode::AcceptsWithErrors, "unanswered", "unanswered", "unanswered"),
        (Mode::Drops(Step::Connect), "unanswered", "unanswered", "unreachable"),
        (Mode::Drops(Step::Ehlo), "unanswered", "unanswered", "unreachable"),
        (Mode::Drops(Step::Auth), "unanswered", "unanswered", "unreachable"),
        (Mode::Drops(Step::Mail), "unanswered", "unanswered", "unreachable"),
        (Mode::Drops(Step::Rcpt), "unanswered", "unanswered", "unreachable"),
        (Mode::Drops(Step::Data), "unanswered", "unanswered", "unreachable"),
        (Mode::Drops(Step::Message), "unanswered", "unanswered", "unanswered"),
        (Mode::Drops(Step::Quit), "accepted", "accepted", "accepted"),
        (Mode::RefusesRecipients { percent }, "recipient", "recipient", "(recipient)"),
        (Mode::RefusesUnclearly { percent }, "unclear", "unclear", "unclear"),
        (Mode::RefusesForNow { percent }, "for now", "for now", "for now"),
        (Mode::RefusesForNow { percent: 0 }, "accepted", "accepted", "accepted"),
        (Mode::RefusesEveryone, "unclear", "unclear", "unclear"),
        (Mode::RefusesContent, "content", "unclear", "content"),
        (Mode::RefusesMessages, "message", "message", "message"),
        (Mode::RefusesSender, "unreachable", "unreachable", "unreachable"),
        (Mode::RefusesLogin, "unreachable", "unreachable", "unreachable"),
        (Mode::Throttles, "for now", "for now", "unreachable"),
        (Mode::OverQuota, "unreachable", "unreachable", "unreachable"),
    ] {
        let (world, sent) = send_ses(in_mode(TransportId::Ses, mode), ASHA).await;
        assert_eq!(meaning(&sent), ses, "SES {mode:?} {sent:?}");
        check_kept(&world, TransportId::Ses, mode, ses);
        let (world, sent) = send_sns(in_mode(TransportId::Sns, mode), false).await;
        assert_eq!(meaning(&sent), sns, "SNS {mode:?} {sent:?}");
        check_kept(&world, TransportId::Sns, mode, sns);
        for n in 0..8 {
            let (world, sent) = send_smtp(in_mode(TransportId::Smtp, mode), &format!("asha-{n}@example.com")).await;
            let is_expected = match smtp {
                "(recipient)" => matches!(meaning(&sent), "recipient" | "unknown address"),
                _ => meaning(&sent) == smtp,
            };
            assert!(is_expected, "SMTP {mode:?} {sent:?} {:?}", world.history.lines());
            check_kept(&world, TransportId::Smtp, mode, meaning(&sent));
        }
    }
}

/// Compares what a provider kept with what it made of the message.
fn check_kept(world: &World, provider: TransportId, mode: Mode, meaning: &str) {
    let all = world.handovers.all();
    let is_accepted = all.iter().any(Handover::is_taken);
    match meaning {
        "accepted" => assert!(is_accepted && all[0].answered_at.is_some(), "{provider} {mode:?} {all:?}"),
        "unanswered" => {
            assert!(all.iter().all(|handover| handover.answered_at.is_none()), "{provider} {mode:?} {all:?}");
        }
        "unreachable" => assert!(!is_accepted, "{provider} {mode:?} {all:?}"),
        _ => {
            let [Handover { outcome: Outcome::Refused(refusal), answered_at: Some(_), .. }] = &all[..] else {
                panic!("{provider} {mode:?} {all:?}")
            };
            let is_permanent = matches!(meaning, "recipient" | "unknown address" | "message");
            assert_eq!(refusal.is_permanent(), is_permanent, "{provider} {mode:?}");
        }
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (world, _) = send_smtp(in_mode(TransportId::Smtp, Mode::RefusesForNow { percent: 50 }), ASHA).await;
            (world.history.hash(), world.history.events())
        })
    };
    assert_eq!(run(), run());
}
