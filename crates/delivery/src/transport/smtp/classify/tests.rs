use std::collections::HashSet;

use super::*;

const GUARANTEES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guarantees.md"));

const STAGES: [Stage; 9] = [
    Stage::Greeting,
    Stage::Hello,
    Stage::StartTls,
    Stage::Auth,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::Message,
    Stage::Reset,
];

/// The IANA registry "SMTP Enhanced Status Codes", enumerated status codes: each subject has the details from 0 to this
/// one (as of 2024-12-06: RFC 3463, 3886, 4468, 4865, 4954, 5248, 6531, 6710, 7293, 7372, 7505, 8617, 8689).
const REGISTRY: [(u16, u16); 8] = [(0, 0), (1, 10), (2, 4), (3, 6), (4, 7), (5, 6), (6, 10), (7, 30)];

/// Every registered status, some that servers make up, and none.
fn statuses() -> Vec<Option<EnhancedStatus>> {
    let registered = REGISTRY.into_iter().flat_map(|(subject, last)| (0..=last).map(move |detail| (subject, detail)));
    let made_up = [
        (1, 11),
        (1, 20),
        (1, 90),
        (1, 351),
        (2, 121),
        (4, 312),
        (6, 216),
        (7, 124),
        (7, 606),
        (8, 1),
        (9, 0),
        (700, 999),
    ];
    let codes: Vec<_> = registered.chain(made_up).collect();
    let of_class = |class| codes.iter().map(move |(subject, detail)| EnhancedStatus::new(class, *subject, *detail));
    [None].into_iter().chain([2, 4, 5].into_iter().flat_map(of_class).map(Some)).collect()
}

/// The rules in words, one after the other.
fn expected(stage: Stage, code: u16, enhanced: Option<EnhancedStatus>) -> Verdict {
    let is_too_big = code / 100 == 5
        && enhanced
            .is_some_and(|status| status.class == 5 && matches!((status.subject, status.detail), (2, 3) | (3, 4)));
    if stage == Stage::Mail && is_too_big {
        return Verdict::Refused(RefusalKind::Message);
    }
    let concerns_nobody = !matches!(stage, Stage::Rcpt | Stage::Data | Stage::Message);
    if concerns_nobody || [421, 454, 530, 535].contains(&code) {
        return Verdict::Unreachable;
    }
    if !(400..600).contains(&code) {
        return if stage == Stage::Message { Verdict::Unanswered } else { Verdict::Unreachable };
    }
    let suspect = if stage == Stage::Message { Suspect::Content } else { Suspect::Sender };
    let status = enhanced.filter(|status| status.class == 5).map(|status| (status.subject, status.detail));
    Verdict::Refused(match (code, status) {
        (400..500, _) => RefusalKind::Temporary,
        (_, Some((1, 1 | 2 | 10))) => RefusalKind::UnknownAddress,
        (_, Some((1, 0 | 7 | 8))) => RefusalKind::Ambiguous(suspect),
        (_, Some((1, 3..=6 | 9) | (2, 1))) => RefusalKind::Recipient,
        (_, Some((2, 2))) => RefusalKind::Temporary,
        (_, Some((2, 3) | (3, 4) | (6, _))) => RefusalKind::Message,
        (_, Some(_)) => RefusalKind::Ambiguous(suspect),
        (552, None) if stage == Stage::Rcpt => RefusalKind::Temporary,
        (556, None) => RefusalKind::UnknownAddress,
        (_, None) => RefusalKind::Ambiguous(suspect),
    })
}

#[test]
fn every_reply_at_every_stage_has_one_meaning_and_every_rule_decides_some() {
    let statuses = statuses();
    let mut deciding = HashSet::new();
    for stage in STAGES {
        for code in (0..=999).chain([1_000, u16::MAX]) {
            for enhanced in &statuses {
                let verdict = classify(stage, code, *enhanced);
                assert_eq!(verdict, expected(stage, code, *enhanced), "{stage:?} {code} {enhanced:?}");
                deciding.insert(std::ptr::from_ref(rule_for(stage, code, *enhanced)));
            }
        }
    }
    assert_eq!(deciding.len(), RULES.len());
    assert!(RULES.iter().all(|rule| rule.source.starts_with("RFC ")));
}

/// A reply as the documentation writes it: `RCPT TO: 550 5.1.1`.
fn parse(reply: &str) -> (Stage, u16, Option<EnhancedStatus>) {
    let (stage, reply) = reply.split_once(": ").unwrap_or_else(|| panic!("{reply}"));
    let stage = STAGES.into_iter().find(|known| known.as_str() == stage).unwrap_or_else(|| panic!("{stage}"));
    let (code, status) = reply.split_once(' ').map_or((reply, None), |(code, status)| (code, Some(status)));
    let status = status.map(|status| {
        let parts: Vec<u16> = status.split('.').map(|part| part.parse().unwrap()).collect();
        EnhancedStatus::new(u8::try_from(parts[0]).unwrap(), parts[1], parts[2])
    });
    (stage, code.parse().unwrap(), status)
}

#[test]
fn replies_of_real_servers_mean_what_they_meant() {
    use RefusalKind::{Ambiguous, Message, Recipient, Temporary, UnknownAddress};
    use Suspect::{Content, Sender};
    let unreachable = ["greeting: 554 5.7.1", "EHLO: 550", "AUTH: 535 5.7.8", "MAIL FROM: 550 5.1.1", "RCPT TO: 421"];
    for reply in unreachable.into_iter().chain(["RCPT TO: 530 5.7.0", "message: 421 4.3.2", "DATA: 250 2.0.0"]) {
        let (stage, code, status) = parse(reply);
        assert_eq!(classify(stage, code, status), Verdict::Unreachable, "{reply}");
    }
    for reply in ["message: 354", "message: 150", "message: 600"] {
        let (stage, code, status) = parse(reply);
        assert_eq!(classify(stage, code, status), Verdict::Unanswered, "{reply}");
    }
    for (reply, kind) in [
        // Gmail and Postfix: no such user.
        ("RCPT TO: 550 5.1.1", UnknownAddress),
        ("message: 550 5.1.1", UnknownAddress),
        ("RCPT TO: 450 4.1.1", Temporary),
        // Yahoo: the mailbox is disabled; Gmail: it is full.
        ("message: 554 5.2.1", Recipient),
        ("RCPT TO: 552 5.2.2", Temporary),
        ("RCPT TO: 450 4.2.1", Temporary),
        // Postfix: our client is rejected, by name or by a block list. Microsoft 365: no such user; a closed mailbox.
        ("RCPT TO: 554 5.7.1", Ambiguous(Sender)),
        ("RCPT TO: 550 5.7.1", Ambiguous(Sender)),
        ("RCPT TO: 550 5.4.1", Ambiguous(Sender)),
        ("RCPT TO: 550 5.7.133", Ambiguous(Sender)),
        // Postfix: our own address is rejected.
        ("RCPT TO: 550 5.1.0", Ambiguous(Sender)),
        ("RCPT TO: 553 5.1.8", Ambiguous(Sender)),
        // Microsoft 365: our own daily limit. A status that is not registered.
        ("RCPT TO: 550 5.1.90", Ambiguous(Sender)),
        ("message: 550 5.1.90", Ambiguous(Content)),
        ("RCPT TO: 550 5.1.20", Ambiguous(Sender)),
        // The message looks like spam, or is too big.
        ("message: 554 5.7.1", Ambiguous(Content)),
        ("message: 554", Ambiguous(Content)),
        ("message: 552 5.3.4", Message),
        ("MAIL FROM: 552 5.3.4", Message),
        ("message: 550 5.6.0", Message),
        // A greylisting server that mixes up the classes.
        ("RCPT TO: 451 5.7.1", Temporary),
        ("RCPT TO: 550 4.2.2", Ambiguous(Sender)),
        ("RCPT TO: 599", Ambiguous(Sender)),
    ] {
        let (stage, code, status) = parse(reply);
        assert_eq!(classify(stage, code, status), Verdict::Refused(kind), "{reply}");
    }
}

const fn label(fault: Fault) -> &'static str {
    match fault {
        NoCustomer => "no customer's",
        Unclear => "no customer's, perhaps accepted",
        UnknownAddress => "the recipient's: unknown address",
        Recipient => "the recipient's",
        Message => "the message's",
        Temporary => "not known, for now",
        Ambiguous => "ambiguous",
    }
}

/// The rows of the table in the documentation that follows this heading of columns.
fn documented(columns: &str) -> Vec<Vec<&'static str>> {
    let (_, table) = GUARANTEES.split_once(columns).unwrap_or_else(|| panic!("no table {columns}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn documented_table_is_the_one_that_decides() {
    let rows = documented("| reply | for example | whose fault |");
    assert_eq!(rows.len(), RULES.len());
    for (rule, row) in RULES.iter().zip(rows) {
        let [reply, examples, fault] = row[..] else { panic!("{row:?}") };
        assert_eq!(fault, label(rule.fault), "{reply}");
        for example in examples.split(", ") {
            let (stage, code, status) = parse(example.trim_matches('`'));
            assert!(std::ptr::eq(rule_for(stage, code, status), rule), "{example} is not an example of {reply}");
        }
    }
    let explained: Vec<_> = documented("| whose fault | what happens |").iter().map(|row| row[0]).collect();
    let faults = [NoCustomer, Unclear, UnknownAddress, Recipient, Message, Temporary, Ambiguous];
    assert_eq!(explained, faults.map(label));
}
