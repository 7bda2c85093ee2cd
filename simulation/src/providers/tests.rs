//! The product's own transports against the models.

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

const ASHA: &str = "asha@example.com";

/// A scenario in which nothing happens.
pub(crate) fn scenario() -> Scenario {
    let settings = Settings {
        email_transport: TransportId::Ses,
        fallback_email_transport: None,
        email_rate: 10,
        fallback_email_rate: 10,
        sms_rate: 10,
        audience_concurrency: 2,
        email_concurrency: 2,
        sms_concurrency: 2,
        feedback_concurrency: 2,
        retry_hours: 72,
        max_skew_ms: 0,
    };
    Scenario { seed: 1, settings, customers: vec![], actions: vec![], outages: vec![], faults: vec![] }
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
async fn e_mail_arrives_by_smtp_over_one_connection_for_several() {
    let world = World::new(scenario(), true);
    let process = process(&world, Function::Email);
    let transport = smtp(&world, &process);
    for _ in 0..3 {
        transport.send(&email(ASHA), Timestamp::MAX).await.unwrap();
    }
    let all = world.handovers.all();
    assert_eq!(all.len(), 3);
    for (number, handover) in all.iter().enumerate() {
        assert!(handover.is_accepted() && handover.number == number);
        assert_eq!((handover.recipient.as_str(), handover.offer.as_deref()), (ASHA, Some("OFFER-7")));
        let answered_at = handover.answered_at.unwrap();
        assert!(handover.begun < handover.decided_at && handover.decided_at < answered_at, "{handover:?}");
    }
    let passed = world.faults.passed();
    assert_eq!((passed["email SMTP.CONNECT"], passed["email SMTP.MESSAGE"]), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn e_mail_arrives_by_ses_and_bounces_later_if_its_address_says_so() {
    let (world, sent) = send_ses(scenario(), ASHA).await;
    assert_eq!(sent.unwrap(), "ses-0");
    assert_eq!(kept(&world), [("Accepted".to_owned(), true)]);
    assert_eq!(world.handovers.get(0).offer.as_deref(), Some("OFFER-7"));
    assert!(world.ses.reports.sent().is_empty());
    let (world, _) = send_ses(scenario(), "bounces.asha@example.com").await;
    let [reported] = &world.ses.reports.sent()[..] else { panic!("one report") };
    assert_eq!(reported.report, feedback::Report::Bounced);
    assert!(reported.at > world.handovers.get(0).decided_at + Duration::from_secs(1));
    let tags = &reported.body["detail"]["mail"]["tags"];
    assert_eq!(tags["customer"][0], "c-1");
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
    let is_accepted = all.iter().any(Handover::is_accepted);
    match meaning {
        "accepted" => assert!(is_accepted && all[0].answered_at.is_some(), "{provider} {mode:?} {all:?}"),
        "unanswered" => {
            assert!(all.iter().all(|handover| handover.answered_at.is_none()), "{provider} {mode:?} {all:?}")
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

#[tokio::test(start_paused = true)]
async fn each_fault_of_each_step_means_to_the_product_what_it_says() {
    use Fault::{Hang, Late, Lose, Throttle, Unavailable};
    use Moment::{After, Before};
    let both = [Before, After];
    for step in [Step::Connect, Step::Ehlo, Step::Auth, Step::Mail, Step::Rcpt, Step::Data, Step::Message] {
        for (moment, fault) in both.iter().flat_map(|moment| {
            [Lose, Hang, Late(2_000), Throttle, Unavailable].into_iter().map(move |fault| (*moment, fault))
        }) {
            let expected = match (step, moment, fault) {
                (_, _, Late(_)) | (_, After, Throttle) => "accepted",
                (Step::Message, _, Lose | Hang) | (Step::Message, After, Unavailable) => "unanswered",
                (Step::Rcpt | Step::Data, _, Unavailable | Hang) => "for now",
                (Step::Message, Before, Unavailable) => "for now",
                _ => "unreachable",
            };
            let point = format!("email SMTP.{}", step.name());
            let (world, sent) = send_smtp(with_fault(&point, moment, fault), ASHA).await;
            assert_eq!(meaning(&sent), expected, "{step:?} {moment:?} {fault:?} {sent:?}");
            let is_accepted = world.handovers.all().iter().any(Handover::is_accepted);
            let accepts = expected == "accepted" || (step == Step::Message && moment == After);
            assert_eq!(is_accepted, accepts, "{step:?} {moment:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_after_its_message_has_no_answer() {
    for (moment, expected) in [(Moment::Before, vec![]), (Moment::After, vec![("Accepted".to_owned(), false)])] {
        let world = World::new(with_fault("email SMTP.MESSAGE", moment, Fault::Kill), true);
        let process = process(&world, Function::Email);
        let transport = smtp(&world, &process);
        assert!(process.run(transport.send(&email(ASHA), Timestamp::MAX)).await.is_none());
        assert_eq!(kept(&world), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_frozen_before_its_message_sends_it_late_and_gets_no_earlier_answer() {
    let world = World::new(with_fault("email SMTP.MESSAGE", Moment::Before, Fault::Freeze(40_000)), true);
    let process = process(&world, Function::Email);
    let transport = smtp(&world, &process);
    let before = world.clock.now();
    process.run(transport.send(&email(ASHA), Timestamp::MAX)).await.unwrap().unwrap();
    assert!(world.handovers.get(0).decided_at > before + Duration::from_secs(40));
    let world = World::new(with_fault("email SMTP.MESSAGE", Moment::After, Fault::Freeze(40_000)), true);
    let process = super::tests::process(&world, Function::Email);
    let transport = smtp(&world, &process);
    process.run(transport.send(&email(ASHA), Timestamp::MAX)).await.unwrap().unwrap();
    let handover = world.handovers.get(0);
    assert!(handover.answered_at.unwrap() > handover.decided_at + Duration::from_secs(39));
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_is_refused_until_the_secret_is_read_again() {
    let world = World::new(scenario(), true);
    let process = process(&world, Function::Email);
    let transport = smtp(&world, &process);
    world.secrets.change_smtp_password();
    assert_eq!(meaning(&transport.send(&email(ASHA), Timestamp::MAX).await), "unreachable");
    assert!(smtp(&world, &process).send(&email(ASHA), Timestamp::MAX).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_the_next_message_takes_another() {
    let world = World::new(scenario(), true);
    let process = process(&world, Function::Email);
    let transport = smtp(&world, &process);
    for _ in 0..2 {
        transport.send(&email(ASHA), Timestamp::MAX).await.unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    assert_eq!(world.faults.passed()["email SMTP.CONNECT"], 2);
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
