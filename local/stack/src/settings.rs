//! The template's parameters, as a local stack sets them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::emulator::Emulator;

/// Values by the names of parameters.
pub(crate) type Settings = BTreeMap<String, String>;

/// Those that a local stack has, unless others are given.
const LOCAL: [(&str, &str); 14] = [
    ("EmailTransport", "smtp"),
    // Those of the sample customers, and the numbers of the customers in the tests.
    ("AllowedTestRecipients", "bank.example,example.com,+351,+8613"),
    // Higher than one machine can reach.
    ("EmailRatePerSecond", "10000"),
    ("FallbackEmailRatePerSecond", "10000"),
    ("SmsRatePerSecond", "10000"),
    ("ApiRatePerSecond", "10000"),
    ("PublicRatePerSecond", "10000"),
    ("UnsubscribeBurst", "10000"),
    // The defaults are for a new account.
    ("AudienceConcurrency", "10"),
    ("EmailConcurrency", "10"),
    ("SmsConcurrency", "10"),
    ("FeedbackConcurrency", "5"),
    // No emulator writes access logs.
    ("ApiAccessLog", "false"),
    // Local emulators do not support event archives.
    ("EventArchiveDays", "0"),
];

/// The settings of a local stack, with those that were `chosen`. Only parameters of the template: that of another release may lack
/// some.
pub(crate) fn settings(
    template: &str,
    emulator: &Emulator,
    endpoint: &str,
    smtp_url: &str,
    chosen: &Settings,
) -> Settings {
    let mut settings: Settings = LOCAL.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("SmtpUrl", smtp_url.to_owned());
    set("PublicUrl", format!("{endpoint}/_aws/execute-api/{{api}}/v1"));
    if !emulator.knows_opt_outs() {
        set("CheckSmsOptOuts", "false".to_owned());
    }
    if cfg!(target_arch = "x86_64") {
        set("Architecture", "x86_64".to_owned());
    }
    settings.extend(chosen.clone());
    let known: Vec<_> = parameters(template).collect();
    settings.retain(|name, _| known.contains(&name.as_str()));
    settings
}

/// Checks that the template has these parameters. CloudFormation checks their values.
///
/// # Errors
/// If it lacks one. The text names those that it has.
pub(crate) fn check_names<'a>(template: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let known: Vec<_> = parameters(template).collect();
    for name in names {
        if !known.contains(&name.as_str()) {
            let same = known.iter().find(|known| known.eq_ignore_ascii_case(name));
            match same {
                Some(same) => bail!("--set {name}: there is no such parameter; did you mean {same}?"),
                None => bail!("--set {name}: there is no such parameter. The parameters are: {}", known.join(", ")),
            }
        }
    }
    Ok(())
}

/// The names of a template's parameters: the keys of the section, which are indented by two blanks.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    let section = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let section = section.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    section.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':').filter(|name| !name.starts_with([' ', '#'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../template.yaml");

    #[test]
    fn every_setting_of_a_local_stack_is_a_parameter_of_the_template() {
        let own =
            |template: &str| settings(template, &Emulator::MiniStack, "http://127.0.0.1:4566", "", &Settings::new());
        for (name, _) in LOCAL {
            assert!(own(TEMPLATE).contains_key(name), "{name}");
        }
        let earlier = TEMPLATE.replacen("  UnsubscribeBurst:\n", "  Another:\n", 1);
        assert_eq!(own(&earlier).len(), own(TEMPLATE).len() - 1);
    }

    #[test]
    fn a_name_that_is_no_parameter_is_refused_with_those_that_are() {
        let error = |name: &str| check_names(TEMPLATE, [name.to_owned()].iter()).unwrap_err().to_string();
        assert!(error("Nope").contains("BrandName, "), "{}", error("Nope"));
        assert_eq!(error("brandname"), "--set brandname: there is no such parameter; did you mean BrandName?");
    }
}
