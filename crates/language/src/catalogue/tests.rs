//! Every catalogue has every text, with the same variables, and every plural form of its language.

use std::collections::{BTreeMap, BTreeSet};

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement, Resource, VariantKey};
use fluent_syntax::parser;
use icu_plurals::{PluralCategory, PluralRules};

use super::*;

/// The variables of a text, and the keys of its variants by the variable that selects them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    variables: BTreeSet<String>,
    variants: BTreeMap<String, BTreeSet<String>>,
}

impl Shape {
    fn read(&mut self, pattern: &Pattern<&str>) {
        for element in &pattern.elements {
            if let PatternElement::Placeable { expression } = element {
                self.read_expression(expression);
            }
        }
    }

    fn read_expression(&mut self, expression: &Expression<&str>) {
        match expression {
            Expression::Inline(InlineExpression::VariableReference { id }) => {
                self.variables.insert(id.name.to_owned());
            }
            Expression::Select { selector: InlineExpression::VariableReference { id }, variants } => {
                self.variables.insert(id.name.to_owned());
                for variant in variants {
                    let (VariantKey::Identifier { name: key } | VariantKey::NumberLiteral { value: key }) = variant.key;
                    self.variants.entry(id.name.to_owned()).or_default().insert(key.to_owned());
                    self.read(&variant.value);
                }
            }
            other => panic!("texts have variables and their variants only: {other:?}"),
        }
    }
}

fn shapes(source: &str) -> BTreeMap<String, Shape> {
    let Resource { body } = parser::parse(source).unwrap();
    body.iter()
        .filter_map(|entry| match entry {
            Entry::Message(message) => {
                let mut shape = Shape::default();
                shape.read(message.value.as_ref().unwrap());
                assert!(message.attributes.is_empty());
                Some((message.id.name.to_owned(), shape))
            }
            Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => None,
            other => panic!("a catalogue has texts only: {other:?}"),
        })
        .collect()
}

fn plural_forms(language: &Language) -> BTreeSet<String> {
    let rules = PluralRules::try_new_cardinal(language.id().clone().into()).unwrap();
    rules
        .categories()
        .map(|category| {
            match category {
                PluralCategory::Zero => "zero",
                PluralCategory::One => "one",
                PluralCategory::Two => "two",
                PluralCategory::Few => "few",
                PluralCategory::Many => "many",
                PluralCategory::Other => "other",
            }
            .to_owned()
        })
        .collect()
}

#[test]
fn every_catalogue_has_every_text_variable_and_plural_form() {
    let english = SOURCES.iter().find(|(tag, _)| *tag == "en").unwrap().1;
    let english = shapes(english);
    for (tag, source) in SOURCES {
        let language: Language = tag.parse().unwrap();
        assert_eq!(language.to_string(), *tag, "the file's name is canonical");
        let shapes = shapes(source);
        let keys = |shapes: &BTreeMap<String, Shape>| shapes.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(&shapes), keys(&english), "{tag}");
        for (key, shape) in &shapes {
            assert_eq!(shape.variables, english[key].variables, "{tag} {key}");
            for (variable, forms) in &shape.variants {
                let expected = match &**variable {
                    "minutes" => plural_forms(&language),
                    "channel" => ["email", "sms"].map(str::to_owned).into(),
                    other => panic!("{tag} {key} selects by {other}"),
                };
                assert_eq!(*forms, expected, "{tag} {key}");
            }
        }
    }
}

#[test]
fn the_languages_that_are_promised_are_there() {
    let tags: Vec<_> = Catalogue::languages().iter().map(ToString::to_string).collect();
    for tag in ["en", "de", "fr", "es", "pt", "it", "nl", "pl", "hi", "ar"] {
        assert!(tags.iter().any(|there| there == tag), "{tag}");
    }
    assert_eq!(Catalogue::english().language().to_string(), "en");
}

/// Each text as a reader gets it.
fn texts(catalogue: &Catalogue) -> Vec<String> {
    let mut texts = vec![
        catalogue.valid_until("31 May"),
        catalogue.email_reason("A Bank"),
        catalogue.email_security("A Bank"),
        catalogue.email_unsubscribe(),
        catalogue.sms_opt_out(),
        catalogue.page_unsubscribe_button(),
        catalogue.page_subscribe_button(),
    ];
    let mut pages = vec![catalogue.page_not_found(), catalogue.page_unavailable()];
    for medium in [Medium::Email, Medium::Sms] {
        pages.push(catalogue.page_subscribed("A Bank", medium));
        pages.push(catalogue.page_opted_out("A Bank", medium));
        pages.push(catalogue.page_subscribed_again("A Bank", medium));
    }
    pages.extend([0, 1, 2, 3, 11, 30, 100, 1_000_000].map(|minutes| catalogue.page_form_expired("A Bank", minutes)));
    texts.extend(pages.into_iter().flat_map(|page| [page.title, page.text]));
    texts
}

#[test]
fn every_text_is_complete_on_one_line_and_without_marks_that_show() {
    for catalogue in CATALOGUES.iter() {
        for text in texts(catalogue) {
            let language = &catalogue.language;
            assert!(
                !text.trim().is_empty() && text.trim() == text && !text.contains(['{', '}', '$', '\n']),
                "{language}: {text:?}"
            );
            let bad = |c| matches!(c, '\u{A0}' | '\u{202F}' | '\u{2066}'..='\u{2069}' | '\u{202A}'..='\u{202E}');
            assert!(!text.contains(bad), "{language}: {text:?}");
        }
    }
}

#[test]
#[should_panic(expected = "email-reason")]
fn text_without_the_value_of_a_variable_is_a_fault() {
    Catalogue::english().text("email-reason", &[]);
}

#[test]
fn page_names_its_button_by_the_buttons_words() {
    for catalogue in CATALOGUES.iter() {
        for medium in [Medium::Email, Medium::Sms] {
            let text = catalogue.page_subscribed("A Bank", medium).text;
            let quoted = text.split_once('„').and_then(|(_, after)| after.split_once(['“', '”']));
            if let Some((quoted, _)) = quoted {
                assert_eq!(quoted, catalogue.page_unsubscribe_button(), "{}", catalogue.language);
            }
        }
    }
}

#[test]
fn plural_forms_are_those_of_the_language() {
    let text =
        |tag: &str, minutes| Catalogue::of(&tag.parse().unwrap()).unwrap().page_form_expired("A Bank", minutes).text;
    assert!(text("en", 1).contains("1 minute.") && text("en", 30).contains("30 minutes."));
    assert!(
        text("pl", 1).contains("1 minutę")
            && text("pl", 3).contains("3 minuty.")
            && text("pl", 30).contains("30 minut.")
    );
    assert!(
        text("ar", 2).contains("دقيقتين") && text("ar", 5).contains("5 دقائق") && text("ar", 30).contains("30 دقيقة")
    );
}

#[test]
fn a_language_without_a_catalogue_of_its_own_has_that_of_the_more_general_one() {
    let catalogue = |tag: &str| Catalogue::of(&tag.parse().unwrap()).map(|catalogue| catalogue.language.to_string());
    for (tag, expected) in [
        ("en-GB", Some("en")),
        ("de-CH", Some("de")),
        ("pt", Some("pt")),
        ("pt-BR", Some("pt")),
        ("pt-PT", Some("pt-PT")),
        ("pt-MZ", Some("pt-PT")),
        ("ar-EG", Some("ar")),
        ("tlh", None),
        ("hi-IN", Some("hi")),
    ] {
        assert_eq!(catalogue(tag).as_deref(), expected, "{tag}");
    }
}
