use domain::{Audience, Customer};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

use super::super::sample::tests::composer;
use super::super::samples::samples;
use super::super::tally::Survey;
use super::*;

/// An offer that has no findings, with changes.
fn offer(changes: &Value) -> Value {
    let mut offer = json!({
        "code": "A", "subject": "5% cashback", "description": "Dear {{ customer.name }}, get 5% cashback until Friday",
        "preheader": "Until Friday only", "link": {"url": "https://bank.example/", "label": "Get it"},
    });
    for (field, value) in changes.as_object().unwrap() {
        offer[field] = value.clone();
    }
    offer
}

fn customer(number: usize, changes: &Value) -> Customer {
    let mut customer = json!({
        "name": "Asha", "email": "a@b.example", "mobile": "+351912345678", "channels": ["email", "sms"], "locale": "en-IN",
        "attributes": {"tier": "gold"}
    });
    for (field, value) in changes.as_object().unwrap() {
        customer[field] = value.clone();
    }
    Customer::parse(&format!("c-{number}"), customer).unwrap()
}

/// What is found of an offer for these customers, if the messages to the last of them are not composed.
fn found_without_last(offer: &Value, customers: &[Value], uncomposed: usize) -> Vec<Finding> {
    let offer = testing::offer(offer.clone());
    let composer = composer();
    let far = Instant::now() + Duration::from_secs(600);
    let mut survey = Survey::new(&offer, Audience::of(&offer).unwrap(), &composer, far);
    let mut count = AudienceCount::default();
    for (number, changes) in customers.iter().enumerate() {
        if number == customers.len() - uncomposed {
            survey.compose_until = Instant::now();
        }
        count.tally.add(&survey, &customer(number, changes));
    }
    let samples = samples(&offer, &composer, &count.tally.sample_customers);
    let policy = testing::policy();
    of(&Draft { offer: &offer, policy: &policy, now: offer.created_at, count: &count, samples: &samples })
}

fn found(offer: &Value, customers: &[Value]) -> Vec<Finding> {
    found_without_last(offer, customers, 0)
}

#[test]
fn each_fault_of_an_offer_is_found_and_no_other() {
    let translated = json!({"subject": "5 % zur\u{fc}ck", "description": "Hallo {{ customer.name }}, 5 % zur\u{fc}ck bis \
        Freitag", "preheader": "Nur bis Freitag", "link": {"label": "Los"}});
    let translated_text = json!({"description": "5 % zur\u{fc}ck bis Freitag"});
    let linked_text = json!({"description": "[Hier](https://bank.example/) entlang"});
    let with = |field: &str, value: Value| {
        let mut translation = translated.clone();
        translation[field] = value;
        json!({"translations": {"de": translation}})
    };
    for (changes, expected) in [
        (json!({}), vec![]),
        (json!({"link": null}), vec!["noLink"]),
        (json!({"link": null, "description": "More [here](https://bank.example/more) for you"}), vec![]),
        (
            json!({"link": null, "description": "[Here](HTTPS://bank.example/)", "translations": {"de": translated_text}}),
            vec!["translationIncomplete de", "noLink de"],
        ),
        (json!({"link": null, "translations": {"de": linked_text}}), vec!["translationIncomplete de", "noLink en"]),
        (json!({"preheader": null}), vec!["noPreheader email"]),
        (json!({"preheader": null, "channels": ["sms"]}), vec![]),
        (json!({"subject": null}), vec!["defaultSubject"]),
        (json!({"subject": "Save Cash On Transactions"}), vec!["defaultSubject"]),
        (json!({"subject": "x".repeat(60)}), vec![]),
        (json!({"subject": "x".repeat(61)}), vec!["longSubject en email"]),
        (json!({"subject": "x".repeat(61), "channels": ["sms"]}), vec![]),
        (json!({"subject": "GET YOUR CASHBACK, {{ customer.name }}"}), vec!["shouting en"]),
        (json!({"subject": "5% CASHBK"}), vec![]),
        (json!({"subject": "Now!! 5% cashback"}), vec!["shouting en"]),
        (json!({"subject": "\u{a1}Ahora! 5%"}), vec![]),
        (json!({"image": {"url": "https://bank.example/a.png", "alt": "A cup"}}), vec![]),
        (json!({"image": {"url": "https://bank.example/a.png", "alt": "A"}, "description": "Look"}), vec!["imageOnly"]),
        (json!({"translations": {"de": translated}}), vec![]),
        (with("preheader", json!(null)), vec!["translationIncomplete de"]),
        (with("subject", json!("JETZT SPAREN, JETZT")), vec!["shouting de"]),
        (with("description", json!("\u{436} ".repeat(200))), vec!["smsCut de sms", "smsUnicode de sms"]),
        (json!({"description": "word ".repeat(200)}), vec!["smsCut en sms"]),
        (
            json!({"description": "5% \u{43a}\u{435}\u{448}, until Friday, for all customers"}),
            vec!["smsUnicode en sms"],
        ),
        (json!({"description": "For {{ customer.city }}"}), vec!["unwritable email", "unwritable sms"]),
        (json!({"description": "For {{ customer.city | default: \"you\" }}"}), vec![]),
        (json!({"validUntil": "2026-06-02T11:00:00Z"}), vec!["expiresSoon"]),
        (json!({"validUntil": "2026-06-02T12:00:00Z"}), vec![]),
        (json!({"validFrom": "2026-07-01T00:00:00Z", "validUntil": "2026-07-01T01:30:00Z"}), vec!["expiresSoon"]),
        (json!({"eligibility": "customer.tier == 'silver'"}), vec!["noAudience"]),
        (json!({"eligibility": "customer.tear == 'gold'"}), vec!["noAudience", "unknownAttribute"]),
    ] {
        let found: Vec<_> = found(&offer(&changes), &[json!({})]).iter().map(named).collect();
        assert_eq!(found, expected, "{changes}");
    }
}

#[test]
fn each_fault_of_an_audience_is_found_and_no_other() {
    for (customers, expected) in [
        (vec![], vec!["noAudience"]),
        (vec![json!({})], vec![]),
        (vec![json!({"locale": null})], vec![]),
        (vec![json!({}), json!({"locale": "tlh-US"})], vec!["languageMissing"]),
        (vec![json!({"channels": ["email"]})], vec!["noAudience sms"]),
        (vec![json!({"channels": []})], vec!["noAudience email", "noAudience sms"]),
        (vec![json!({"name": "x".repeat(200)})], vec!["smsCut en sms"]),
        // In the GSM alphabet as S.
        (vec![json!({"name": "\u{15e}eyma"})], vec![]),
        (vec![json!({}), json!({"name": "\u{634}\u{64a}\u{645}\u{627}\u{621}"})], vec!["smsUnicode en sms"]),
    ] {
        let mut description = "Dear {{ customer.name }}, {{ customer.name }}, ".to_owned();
        description.push_str(&"word ".repeat(3));
        let found = found(&offer(&json!({"description": description.trim_end()})), &customers);
        assert_eq!(found.iter().map(named).collect::<Vec<_>>(), expected, "{customers:?}");
    }
}

#[test]
fn what_customers_lack_that_the_rule_reads_is_named() {
    let (gold, without) = (json!({}), json!({"attributes": {}}));
    let silent = json!({"channels": ["email"]});
    let lacks_tier = "unevaluable: The rule cannot be evaluated for 1 customer, so they do not get the offer. Some of them lack customer.tier:";
    let misspelt = "unknownAttribute: No customer has customer.tear, which the rule reads (2 customers looked at): check the names";
    for (rule, customers, expected) in [
        ("customer.tier == 'gold'", vec![&gold], vec![]),
        ("customer.tier == 'gold'", vec![&gold, &without], vec![lacks_tier]),
        // Although another finding is that a channel reaches no customer.
        (
            "customer.tier == 'gold'",
            vec![&silent, &without],
            vec!["noAudience sms: None of the eligible customers agreed to sms", lacks_tier],
        ),
        (
            "customer.tear == 'gold' && customer.tier == 'gold'",
            vec![&gold, &without],
            vec![
                "noAudience: The rule holds for no customer. The rule cannot be evaluated for 2 customers, so they do not get the offer. \
                 Some of them lack customer.tier",
                misspelt,
            ],
        ),
        ("customer.tier == 'gold' || customer.tear == 'gold'", vec![&gold, &gold], vec![misspelt]),
        ("customer.tier == 'gold' || has(customer.tear) && customer.tear == 'gold'", vec![&gold], vec![]),
        // Nothing is lacking.
        (
            "customer.tier > 5",
            vec![&gold],
            vec![
                "noAudience: The rule holds for no customer. The rule cannot be evaluated for 1 customer, so they do not get the offer: \
                 check the names, types and values",
            ],
        ),
        // Who lacks something and is evaluated all the same is not the reason.
        (
            "customer.name == 'Ben' || customer.tier > 5",
            vec![&json!({"name": "Ben", "attributes": {}}), &gold],
            vec![
                "unevaluable: The rule cannot be evaluated for 1 customer, so they do not get the offer: check the names, types",
            ],
        ),
    ] {
        let customers: Vec<_> = customers.into_iter().cloned().collect();
        let findings = found(&offer(&json!({"eligibility": rule})), &customers);
        let said: Vec<_> = findings.iter().map(|finding| format!("{}: {}", named(finding), finding.detail)).collect();
        assert_eq!(said.len(), expected.len(), "{rule}: {said:?}");
        assert!(said.iter().zip(expected).all(|(said, begins)| said.starts_with(begins)), "{rule}: {said:?}");
    }
}

#[test]
fn records_that_cannot_be_read_do_not_hide_a_misspelt_attribute() {
    let offer = testing::offer(offer(&json!({"eligibility": "customer.tear == 'gold'"})));
    let composer = composer();
    let survey =
        Survey::new(&offer, Audience::of(&offer).unwrap(), &composer, Instant::now() + Duration::from_secs(600));
    let mut count = AudienceCount::default();
    count.tally.scan.count_unreadable(2);
    count.tally.add(&survey, &customer(1, &json!({})));
    let policy = testing::policy();
    let draft = Draft { offer: &offer, policy: &policy, now: offer.created_at, count: &count, samples: &[] };
    let said: Vec<_> = of(&draft).iter().map(|finding| finding.detail.clone()).collect();
    assert!(
        said[0].contains("for 1 customer, so") && said[0].contains("The records of 2 customers cannot be read"),
        "{said:?}"
    );
    assert!(said[1].starts_with("No customer has customer.tear"), "{said:?}");
}

/// A finding as code, language and channel.
fn named(finding: &Finding) -> String {
    let json = json!(finding);
    let parts = ["code", "language", "channel"].into_iter().filter_map(|part| json[part].as_str());
    parts.collect::<Vec<_>>().join(" ")
}

/// No bank has fixed texts in Klingon (`tlh`) or Quenya (`qya`).
#[test]
fn finding_says_how_many_and_what_to_do() {
    let customers: Vec<_> = [("en", 1), ("tlh-US", 3), ("qya", 1), ("de-AT", 2)]
        .into_iter()
        .flat_map(|(locale, times)| vec![json!({"locale": locale}); times])
        .collect();
    let missing = found(&offer(&json!({})), &customers).remove(0);
    assert_eq!(
        missing.detail,
        "6 customers would get the offer in en, since it is in no language that their locale asks for: tlh (3), de (2), qya \
         (1). Add them to `translations`; the stack first needs a catalogue of fixed texts in tlh, qya."
    );
    let unwritable = found(&offer(&json!({"subject": "{{ customer.city }}"})), &[json!({}), json!({})]).remove(0);
    assert!(unwritable.detail.contains("for 2 customers. The most frequent reason: subject: the customer has no city"));
    assert!(unwritable.detail.contains("{{ customer.name | default: \"customer\" }}"), "{}", unwritable.detail);
    let incomplete = found(&offer(&json!({"terms": "T", "translations": {"de": {"subject": "S"}}})), &[json!({})]);
    assert_eq!(
        incomplete[0].detail,
        "Readers in de would get these in en: description, link.label, preheader, terms. Add them to `translations.de`."
    );
}

#[test]
fn finding_from_a_part_of_the_messages_says_about() {
    let long = json!({"name": "\u{634}".repeat(200)});
    let counted = |offer: &Value, customers: &[Value], uncomposed| {
        let found = found_without_last(offer, customers, uncomposed);
        let details = found.into_iter().map(|finding| (finding.code, finding.detail.contains("about ")));
        details.collect::<Vec<_>>()
    };
    let nameless = offer(&json!({"subject": "{{ customer.city }}", "channels": ["sms"]}));
    for (uncomposed, about) in [(0, false), (1, true)] {
        let customers = [long.clone(), json!({})];
        let texts = counted(&offer(&json!({})), &customers, uncomposed);
        assert_eq!(texts, [(Code::SmsCut, about), (Code::SmsUnicode, about)]);
        assert_eq!(counted(&nameless, &customers, uncomposed), [(Code::Unwritable, about)]);
    }
}
