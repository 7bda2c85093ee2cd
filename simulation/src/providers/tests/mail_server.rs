//! The product's own transport against the mail server.

use super::*;

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
        assert!(handover.is_taken() && handover.number == number);
        assert_eq!((handover.recipient.as_str(), handover.offer.as_deref()), (ASHA, Some("OFFER-7")));
        let answered_at = handover.answered_at.unwrap();
        assert!(handover.begun < handover.taken_at && handover.taken_at < answered_at, "{handover:?}");
    }
    let passed = world.faults.passed();
    assert_eq!((passed["email SMTP.CONNECT"], passed["email SMTP.MESSAGE"]), (1, 3));
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
            let is_accepted = world.handovers.all().iter().any(Handover::is_taken);
            let accepts = expected == "accepted" || (step == Step::Message && moment == After);
            assert_eq!(is_accepted, accepts, "{step:?} {moment:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_after_its_message_has_no_answer() {
    for (moment, expected) in [(Moment::Before, vec![]), (Moment::After, vec![("Taken".to_owned(), false)])] {
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
    assert!(world.handovers.get(0).taken_at > before + Duration::from_secs(40));
    let world = World::new(with_fault("email SMTP.MESSAGE", Moment::After, Fault::Freeze(40_000)), true);
    let process = super::process(&world, Function::Email);
    let transport = smtp(&world, &process);
    process.run(transport.send(&email(ASHA), Timestamp::MAX)).await.unwrap().unwrap();
    let handover = world.handovers.get(0);
    assert!(handover.answered_at.unwrap() > handover.taken_at + Duration::from_secs(39));
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

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_between_two_messages_costs_neither() {
    for fault in [Fault::Lose, Fault::Hang, Fault::Late(2_000), Fault::Throttle, Fault::Unavailable] {
        for (step, moment) in [
            (Step::Rset, Moment::Before),
            (Step::Rset, Moment::After),
            (Step::Quit, Moment::Before),
            (Step::Quit, Moment::After),
        ] {
            let world = World::new(with_fault(&format!("email SMTP.{}", step.name()), moment, fault), true);
            let process = process(&world, Function::Email);
            let transport = smtp(&world, &process);
            for _ in 0..2 {
                transport.send(&email(ASHA), Timestamp::MAX).await.unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            assert_eq!(world.faults.passed()["email SMTP.RSET"], 1, "the second message asks first");
            assert_eq!(world.handovers.all().len(), 2, "{step:?} {moment:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mode_holds_for_a_connection_that_is_open_already_and_ends_with_its_outage() {
    for (mode, expected) in [
        (Mode::Down, "unreachable"),
        (Mode::Unanswering, "unreachable"),
        (Mode::RefusesLogin, "unreachable"),
        (Mode::RefusesSender, "unreachable"),
        (Mode::Drops(Step::Data), "unreachable"),
        (Mode::Silent, "unanswered"),
        (Mode::RefusesMessages, "message"),
    ] {
        let what = Trouble::Provider(TransportId::Smtp, mode);
        let outages = vec![Outage { from_ms: 2_000, for_ms: 60_000, what }];
        let world = World::new(Scenario { outages, ..scenario() }, true);
        let process = process(&world, Function::Email);
        let transport = smtp(&world, &process);
        for expected in ["accepted", expected, "accepted"] {
            let sent = transport.send(&email(ASHA), Timestamp::MAX).await;
            assert_eq!(meaning(&sent), expected, "{mode:?} {sent:?}");
            let pause = if expected == "accepted" { 4 } else { 60 };
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }
}
