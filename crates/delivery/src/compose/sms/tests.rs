use domain::offer::SUBJECT_LIMIT;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const STOP: &str = "Reply STOP to opt out";

fn settings() -> SmsSettings {
    SmsSettings {
        brand_name: "A Bank".into(),
        opt_out: Some(STOP.into()),
        segments: 2,
        alphabet: SmsAlphabet::Gsm,
        default_language: Language::english(),
        dlt: DltIds::default(),
    }
}

fn composer(settings: SmsSettings) -> SmsComposer {
    SmsComposer::new(settings).unwrap()
}

fn offer(subject: &str, description: &str) -> Value {
    json!({"code": "X", "subject": subject, "description": description})
}

fn customer(name: &str, more: &Value) -> Customer {
    let mut customer = json!({"name": name, "mobile": "+351912345678", "channels": ["sms"]});
    customer.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    Customer::parse("c-1", customer).unwrap()
}

fn sms(settings: SmsSettings, offer: Value, name: &str) -> Result<SmsText, String> {
    composer(settings).text(&testing::offer(offer), &customer(name, &json!({})))
}

fn text(offer: Value, segments: usize) -> Result<String, String> {
    sms(SmsSettings { segments, ..settings() }, offer, "Asha").map(|sms| sms.text)
}

#[test]
fn text_has_brand_offer_and_opt_out_line() {
    let text = text(offer("Save", "Dear {{ customer.name }}, get 5%\n"), 1).unwrap();
    assert_eq!(text, "A Bank: Save\nDear Asha, get 5%\nReply STOP to opt out");
}

#[test]
fn message_goes_to_the_customers_number_and_shows_nothing_in_a_log() {
    let (composer, customer) = (composer(settings()), customer("Asha", &json!({})));
    let address = testing::address_hash(Channel::Sms, "+351912345678");
    let message = composer.compose(&(), &testing::offer(offer("Save", "Get 5%")), &customer, &address).unwrap();
    assert_eq!(message.to, "+351912345678");
    assert_eq!(format!("{message:?}"), "TextMessage { .. }");
}

#[test]
fn long_offer_is_cut_but_neither_its_address_nor_its_opt_out_line() {
    let mut offer = offer("Save", &"Get 5% cashback. ".repeat(40));
    let cut = sms(settings(), offer.clone(), "Asha").unwrap();
    assert!(cut.text.ends_with("...\nReply STOP to opt out") && cut.was_cut, "{}", cut.text);
    assert_eq!((cut.segments, cut.alphabet), (2, Alphabet::Gsm));
    offer["link"] = json!({"url": "https://bank.example/o?n={{ customer.name }}", "label": "Get it"});
    let cut = sms(settings(), offer, "Ana Ž").unwrap();
    let end = "...\nhttps://bank.example/o?n=Ana%20%C5%BD\nReply STOP to opt out";
    assert!(cut.text.ends_with(end) && !cut.transliterated, "{}", cut.text);
    assert_eq!((cut.segments, cut.alphabet, count(&cut.text)), (2, Alphabet::Gsm, 2));
}

#[test]
fn address_stands_alone_on_its_line() {
    let mut offer = offer("Save", "Get **5%**");
    offer["link"] = json!({"url": "https://bank.example/verao", "label": "Já"});
    assert_eq!(text(offer.clone(), 1).unwrap(), format!("A Bank: Save\nGet 5%\nhttps://bank.example/verao\n{STOP}"));
    // It takes its room from the offer's text, all of it perhaps.
    offer["link"]["url"] = json!(format!("https://bank.example/{}", "x".repeat(100)));
    offer["description"] = json!("Get five per cent cash back");
    let error = text(offer, 1).unwrap_err();
    assert!(error.contains("link's address") && error.contains("SmsSegments"), "{error}");
}

#[test]
fn accented_name_costs_no_segment_and_cuts_nothing() {
    let terms = "Terms: bank.example/tc";
    let description =
        format!("Dear {{{{ customer.name }}}}, get 5% cashback {} {terms}", "on every purchase ".repeat(9));
    let [ines, ines_accented] =
        ["Ines", "Inês"].map(|name| sms(settings(), offer("Offer", &description), name).unwrap());
    assert_eq!(ines.text, ines_accented.text);
    assert!(ines_accented.text.contains(terms) && ines_accented.text.contains("Dear Ines"));
    for (sms, transliterated) in [(&ines, false), (&ines_accented, true)] {
        assert_eq!((sms.segments, sms.was_cut, sms.alphabet), (2, false, Alphabet::Gsm));
        assert_eq!(sms.transliterated, transliterated);
    }
    let keep = SmsSettings { alphabet: SmsAlphabet::Keep, ..settings() };
    let kept = sms(keep, offer("Offer", &description), "Inês").unwrap();
    assert!(kept.was_cut && kept.alphabet == Alphabet::Ucs2 && !kept.text.contains(terms));
}

#[test]
fn text_of_another_script_is_sent_as_it_is() {
    let sms = sms(settings(), offer("عرض", "Olá {{ customer.name }} – “5%” 🎁"), "नीता").unwrap();
    assert_eq!(sms.text, "A Bank: عرض\nOlá नीता - \"5%\" 🎁\nReply STOP to opt out");
    assert_eq!((sms.alphabet, sms.transliterated, sms.segments), (Alphabet::Ucs2, false, 1));
}

#[test]
fn text_that_would_take_more_segments_for_it_is_not_transliterated() {
    for (symbols, transliterated, segments) in [(32, true, 1), (38, false, 1), (39, true, 2)] {
        let sms = sms(settings(), offer("S", &"₹".repeat(symbols)), "Asha").unwrap();
        assert_eq!((sms.transliterated, sms.segments), (transliterated, segments), "{symbols}");
    }
}

#[test]
fn opt_out_line_is_in_the_messages_language() {
    let composer = composer(SmsSettings { opt_out: None, segments: 3, ..settings() });
    let mut body = offer("Save", "Get 5%");
    body["translations"] = json!({"de": {"description": "5 %"}, "pt": {"subject": "Poupe"}, "hi": {"subject": "बचत"}});
    for (locale, line) in [
        (None, "Reply STOP to opt out"),
        (Some("de-AT"), "Abmelden: STOP antworten"),
        (Some("pt-BR"), "Responda STOP para cancelar"),
        (Some("hi-IN"), "बंद करने के लिए STOP भेजें"),
        (Some("fr-FR"), "Reply STOP to opt out"),
    ] {
        let customer = customer("Asha", &locale.map_or(json!({}), |locale| json!({"locale": locale})));
        let sms = composer.text(&testing::offer(body.clone()), &customer).unwrap();
        assert_eq!(sms.text.lines().last(), Some(line), "{locale:?}");
    }
}

#[test]
fn opt_out_line_of_a_latin_catalogue_takes_the_gsm_alphabet() {
    for language in Catalogue::languages() {
        let line = Catalogue::of(language).unwrap().sms_opt_out();
        let gsm = in_gsm(&line);
        let is_latin =
            line.chars().filter(|c| c.is_alphabetic()).all(|c| c < '\u{250}' || matches!(c, '\u{1E00}'..='\u{1EFF}'));
        assert_eq!(gsm.is_some(), is_latin, "{language}: {line}");
        assert!(line.chars().count() <= OPT_OUT_LIMIT, "{language}: {line}");
        assert!(gsm.is_none_or(|gsm| gsm.contains("STOP") && Alphabet::of(&gsm) == Alphabet::Gsm), "{language}");
    }
}

#[test]
fn opt_out_line_must_leave_room_for_an_offer() {
    let started = |brand_name: &str, opt_out: Option<&str>, language: &str, segments, alphabet| {
        let (brand_name, opt_out) = (brand_name.to_owned(), opt_out.map(str::to_owned));
        let default_language = language.parse().unwrap();
        SmsComposer::new(SmsSettings { brand_name, opt_out, segments, alphabet, default_language, ..settings() })
    };
    let (x60, x100, gifts) = ("x".repeat(60), "x".repeat(100), "🎁".repeat(60));
    let (short, long) = ("Responda PARE para não receber mais", "Responda PARE para não receber mais ofertas");
    let (gsm, keep) = (SmsAlphabet::Gsm, SmsAlphabet::Keep);
    for (brand_name, opt_out, language, segments, alphabet, has_room) in [
        ("A Bank", Some(STOP), "en", 1, keep, true),
        ("A Bank", Some(&*x60), "en", 1, keep, true),
        (&x100, Some(&x60), "en", 1, keep, false),
        (&x100, Some(&x60), "en", 2, keep, true),
        // One character that is not in the GSM alphabet leaves 70.
        ("A Bank", Some(short), "en", 1, keep, true),
        ("A Bank", Some(long), "en", 1, keep, false),
        ("A Bank", Some(long), "en", 1, gsm, true),
        ("Crédit Agrícola", Some(long), "en", 1, gsm, true),
        // A typographic apostrophe is replaced.
        ("A Bank", Some("Don’t want this? Reply STOP to get no more of these offers"), "en", 1, keep, true),
        ("A Bank", None, "en", 1, gsm, true),
        ("A Bank", None, "hi", 1, gsm, true),
        ("Bharatiya Vyapar Bank", None, "hi", 1, gsm, false),
        ("Bharatiya Vyapar Bank", Some(STOP), "hi", 1, gsm, true),
    ] {
        let composer = started(brand_name, opt_out, language, segments, alphabet);
        assert_eq!(composer.is_ok(), has_room, "{brand_name}, {opt_out:?}, {language}, {segments}");
    }
    let error = started("A Bank", Some(&gifts), "en", 2, gsm).unwrap_err().to_string();
    assert!(error.contains("SmsOptOutText") && error.contains("3 segments") && error.contains("allows 2"), "{error}");
}

#[test]
fn parameter_that_every_text_would_be_refused_for_is_named() {
    let refuse = |brand_name: &str, opt_out: Option<&str>, language: &str| {
        let (brand_name, opt_out) = (brand_name.to_owned(), opt_out.map(str::to_owned));
        let (alphabet, default_language) = (SmsAlphabet::Refuse, language.parse().unwrap());
        let started = SmsComposer::new(SmsSettings { brand_name, opt_out, alphabet, default_language, ..settings() });
        started.err().map(|error| (error.parameter(), error.to_string()))
    };
    assert_eq!(refuse("A’s “Bank”", None, "en"), None);
    let tail = "which is not in the GSM alphabet, and SmsAlphabet is refuse";
    for (brand_name, opt_out, language, parameter, reason) in [
        ("Crédit Agrícola", None, "en", "BrandName", "has 'í' (character 11, U+00ED)"),
        ("A Bank", Some("não"), "en", "SmsOptOutText", "has 'ã' (character 2, U+00E3)"),
        ("A Bank", None, "hi", "SmsOptOutText", "is empty: the line in the language hi has 'ब' (character 1, U+092C)"),
    ] {
        assert_eq!(refuse(brand_name, opt_out, language), Some((parameter, format!("{reason}, {tail}"))));
    }
}

#[test]
fn refused_text_names_the_field_but_no_character_of_a_name() {
    let refuse = SmsSettings { alphabet: SmsAlphabet::Refuse, opt_out: None, ..settings() };
    let composer = composer(refuse);
    let outside = |character, place| {
        format!(
            "the text has {character} (character {place}), which is not in the GSM alphabet, and SmsAlphabet is refuse"
        )
    };
    let value = "with a value of the customer, the text has a character that is not in the GSM alphabet, and SmsAlphabet \
                 is refuse";
    for (subject, description, name, expected) in [
        ("“Save” – now…", "Get 5%", "Ines", None),
        ("Save", "{{ customer.name }}", "José", None),
        ("Olá", "Get 5%", "Ines", Some(format!("subject: {}", outside("'á', U+00E1", 3)))),
        ("Save", "Get **5%** ê", "Łukasz", Some(format!("description: {}", outside("'ê', U+00EA", 12)))),
        ("Save", "Dear {{ customer.name }}", "Łukasz", Some(format!("description: {value}"))),
        ("{{ customer.name }}", "ł", "Łukasz", Some(format!("subject: {value}"))),
        // The character is the offer's as well.
        ("{{ customer.name }} Ł", "x", "Łukasz", Some(format!("subject: {}", outside("'Ł', U+0141", 21)))),
        ("Save", "{{ customer.name | default: \"ê\" }}", "Łukasz", Some(format!("description: {value}"))),
    ] {
        let sms = composer.text(&testing::offer(offer(subject, description)), &customer(name, &json!({})));
        let expected = expected.map(|text| {
            let Some((start, rest)) = text.split_once(", U+") else { return text };
            let (code, rest) = rest.split_once(' ').unwrap();
            format!("{start} {}", rest.replacen(')', &format!(", U+{code})"), 1))
        });
        assert_eq!(sms.err(), expected, "{subject} {description}");
    }
    let mut translated = offer("Save", "Get 5%");
    translated["translations"] = json!({"pt": {"subject": "Olá"}, "hi": {"subject": "Save"}});
    for (locale, expected) in
        [("pt-PT", "translations.pt.subject: the text has 'á'"), ("hi", "the opt-out line has 'ब'")]
    {
        let reader = customer("Ines", &json!({"locale": locale}));
        let error = composer.text(&testing::offer(translated.clone()), &reader).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn offer_that_must_not_be_cut_is_whole_or_fails() {
    let mut body = offer("Save", &"Get 5% cashback. ".repeat(20));
    body["sms"] = json!({"cut": false});
    let error = text(body.clone(), 2).unwrap_err();
    assert_eq!(error, "the text message takes 3 segments; SmsSegments allows 2, and the offer must not be cut");
    assert!(text(body, 3).unwrap().contains(&"Get 5% cashback. ".repeat(19)));
}

#[test]
fn text_without_anything_of_the_offer_is_not_composed() {
    let arabic = "احصل على استرداد نقدي بنسبة خمسة بالمئة على كل مشترياتك هذا الشهر";
    // A message in UCS-2 holds 70 units. Head, ellipsis and foot take 27 more than the brand name.
    for (brand, description, kept) in [
        (23, arabic, Some(23)), // with the ellipsis
        (24, arabic, None),
        (60, arabic, None),
        (60, "Get five per cent cashback on all you spend this month, and on what you saved", Some(20)),
        (23, "🎁", Some(3)),
    ] {
        let settings = SmsSettings { brand_name: "B".repeat(brand), segments: 1, ..settings() };
        let text = sms(settings, offer("%", description), "Asha");
        let Some(kept) = kept else {
            let error = text.unwrap_err();
            assert!(error.contains("SmsOptOutText") && error.contains("SmsSegments"), "{error}");
            continue;
        };
        let text = text.unwrap().text;
        let body = text.strip_suffix("\nReply STOP to opt out").unwrap().strip_prefix(&"B".repeat(brand)).unwrap();
        assert!(body.strip_prefix(": ").unwrap().chars().count() >= kept, "{text}");
        assert_eq!(count(&text), 1);
    }
}

#[test]
fn text_message_with_too_long_values_is_not_composed() {
    let long = "{{ customer.name }}".repeat(SUBJECT_LIMIT / 19);
    let error = sms(settings(), offer(&long, "A"), &"x".repeat(200)).unwrap_err();
    assert_eq!(error, "subject: with the customer's values, the text has more than 400 characters");
}

#[test]
fn missing_attribute_is_an_error_that_names_it() {
    assert!(text(offer("Save", "{{ customer.city }}"), 1).unwrap_err().contains("no city"));
}

#[test]
fn ids_of_dlt_are_the_offers_or_else_the_stacks() {
    let stack = DltIds { entity: Some("1".into()), template: Some("2".into()) };
    let composer = composer(SmsSettings { dlt: stack.clone(), ..settings() });
    // A translation is another text: the offer's id and the stack's are not for it.
    for (own, locale, entity, template) in [
        (json!({}), "en", "1", Some("2")),
        (json!({"dltTemplateId": "22"}), "en", "1", Some("22")),
        (json!({"dltEntityId": "11", "dltTemplateId": "22"}), "en", "11", Some("22")),
        (json!({"dltTemplateId": "22"}), "hi-IN", "1", Some("33")),
        (json!({"dltEntityId": "11", "dltTemplateId": "22"}), "de-DE", "11", None),
    ] {
        let mut body = offer("Save", "Get 5%");
        body["sms"] = own;
        body["translations"] =
            json!({"hi": {"subject": "बचत", "sms": {"dltTemplateId": "33"}}, "de": {"subject": "Sparen"}});
        let address = testing::address_hash(Channel::Sms, "+351912345678");
        let customer = Customer { locale: Some(locale.to_owned()), ..customer("Asha", &json!({})) };
        let message = composer.compose(&(), &testing::offer(body), &customer, &address).unwrap();
        assert_eq!(message.dlt, DltIds { entity: Some(entity.into()), template: template.map(Into::into) });
    }
}

/// Texts of every kind, in and out of the alphabet: letters with accents, emoji, right-to-left, addresses.
fn any_description() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        "[a-zA-Z0-9]{1,12}",
        "[À-ÖØ-öø-ÿĀ-ſẠ-ỹ]{1,8}",
        Just("👨\u{200d}👩\u{200d}👧".to_owned()),
        Just("❤\u{fe0f}🎁🇵🇹".to_owned()),
        Just("e\u{301}o\u{323}\u{302}".to_owned()),
        Just("\u{200f}عرض خاص".to_owned()),
        Just("नमस्ते".to_owned()),
        Just("https://bank.example/a-long-path/with-more-of-it".to_owned()),
        "[.,!’–…€{}™•]{1,3}",
    ];
    proptest::collection::vec(words, 1..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn text_is_whole_or_cut_within_its_segments_whatever_it_says(description in any_description(), segments in 1_usize..=7) {
        let settings = |alphabet| SmsSettings { segments, alphabet, ..settings() };
        let parts = || Parts {
            brand_name: "A Bank".into(),
            subject: "Save".into(),
            description: description.clone(),
            url: Some("https://bank.example/~x".into()),
            opt_out: STOP.into(),
        };
        let (gsm, _) = parts().spelled(SmsAlphabet::Gsm);
        prop_assert!(count(&gsm.whole()) <= count(&parts().spelled(SmsAlphabet::Keep).0.whole()));
        let rendered = Rendered {
            language: Language::english(),
            subject: "Save".into(),
            preheader: None,
            description: domain::offer::Body::Plain(description.clone()),
            link: Some(domain::offer::RenderedLink { url: "https://bank.example/~x".into(), label: "Get".into() }),
            image: None,
            terms: None,
            valid_until: None,
        };
        for alphabet in [SmsAlphabet::Gsm, SmsAlphabet::Keep] {
            // In one segment, an address can be all that would be kept.
            let Ok(sms) = composer(settings(alphabet)).write(&testing::offer(offer("Save", "x")), &rendered) else {
                prop_assert!(segments == 1 || description.contains("https"));
                continue;
            };
            prop_assert!(sms.segments <= segments);
            prop_assert_eq!((sms.segments, sms.alphabet), (count(&sms.text), Alphabet::of(&sms.text)));
            prop_assert!(sms.text.starts_with("A Bank: Save"));
            prop_assert!(sms.text.ends_with("\nhttps://bank.example/~x\nReply STOP to opt out"), "{}", sms.text);
            let part = sms.text.matches("https://bank.example/a").count();
            prop_assert_eq!(part, sms.text.matches("https://bank.example/a-long-path/with-more-of-it").count());
        }
    }
}

#[test]
fn ten_thousand_characters_are_cut() {
    for unit in ["Olá 🎁 ", "👨\u{200d}👩\u{200d}👧", "عرض ", "e\u{301}", "x", "\u{1D400}"] {
        let description: String = unit.chars().cycle().take(10_000).collect();
        let sms = sms(SmsSettings { segments: 7, ..settings() }, offer("Save", &description), "Asha").unwrap();
        assert!(sms.was_cut && sms.segments == 7, "{unit}: {}", sms.segments);
        assert!(sms.text.ends_with("...\nReply STOP to opt out"));
    }
}
