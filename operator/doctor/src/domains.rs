//! What a domain's TXT records say of who may send for it: SPF (RFC 7208) and DMARC (RFC 7489).

use aws_sdk_sesv2::types::{BehaviorOnMxFailure, MailFromDomainStatus};

use crate::email::Identity;
use crate::finding::{Answer, Finding, read};

/// TXT records of a name, none if it has none; or why they are not known.
pub(crate) type Records = Result<Vec<String>, String>;

const UNRESOLVED: &str = "try again on a machine whose DNS server resolves public names";

/// The records that are SPF's: "v=spf1", alone or before a space (RFC 7208, section 4.5).
fn spf_records(records: &[String]) -> Vec<&str> {
    let spf = |record: &&str| record.split(' ').next().is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"));
    records.iter().map(String::as_str).filter(spf).collect()
}

/// The records that are DMARC's: "v=DMARC1" comes first (RFC 7489, section 6.3).
pub(crate) fn dmarc_records(records: &[String]) -> Vec<&str> {
    let dmarc = |record: &&str| record.split(';').next().is_some_and(|version| version.replace(' ', "") == "v=DMARC1");
    records.iter().map(String::as_str).filter(dmarc).collect()
}

/// SPF of e-mails through SES, whose envelope sender is the identity's MAIL FROM domain.
pub(crate) fn spf_of_ses(region: &str, identity: &Answer<Option<Identity>>, records: &Records) -> Finding {
    const CHECK: &str = "SPF";
    let identity = match read(CHECK, identity) {
        Ok(Some(identity)) => identity,
        Ok(None) => return Finding::skipped(CHECK, "there is no identity of FromAddress"),
        Err(finding) => return finding,
    };
    let Identity { name, found } = identity;
    let (Some(mail_from), Some(domain)) = (found.mail_from_attributes(), identity.mail_from()) else {
        return Finding::warning(
            CHECK,
            format!("{name} has no MAIL FROM domain: SPF is that of amazonses.com, so DMARC rests on DKIM alone"),
            format!(
                "aws sesv2 put-email-identity-mail-from-attributes --email-identity {name} --mail-from-domain mail.{name}"
            ),
        );
    };
    if mail_from.mail_from_domain_status() != &MailFromDomainStatus::Success {
        let what = format!(
            "SES does not find the MX record of the MAIL FROM domain {domain} ({})",
            mail_from.mail_from_domain_status().as_str()
        );
        let remedy = format!("publish {domain} MX 10 feedback-smtp.{region}.amazonses.com");
        return if mail_from.behavior_on_mx_failure() == &BehaviorOnMxFailure::RejectMessage {
            Finding::failed(CHECK, format!("{what}, and refuses e-mails meanwhile"), remedy)
        } else {
            Finding::warning(CHECK, format!("{what}, and uses amazonses.com meanwhile"), remedy)
        };
    }
    published_spf(CHECK, domain, records, Some("include:amazonses.com"))
}

/// SPF of e-mails through an SMTP server, whose envelope sender is `ReturnPath`, or else the sender.
pub(crate) fn spf_of_smtp(domain: &str, records: &Records) -> Finding {
    published_spf("SPF (SMTP)", domain, records, None)
}

fn published_spf(check: &'static str, domain: &str, records: &Records, included: Option<&str>) -> Finding {
    let records = match records {
        Ok(records) => spf_records(records),
        Err(reason) => return Finding::unknown(check, format!("TXT records of {domain}: {reason}"), UNRESOLVED),
    };
    let publish = match included {
        Some(included) => format!("publish {domain} TXT \"v=spf1 {included} ~all\", or add {included} to the record"),
        None => format!("publish {domain} TXT \"v=spf1 …\" with the SMTP server's addresses"),
    };
    match records.as_slice() {
        [] => Finding::failed(check, format!("{domain} has no SPF record"), publish),
        [record] => match included {
            Some(included)
                if !record.split(' ').any(|term| term.trim_start_matches('+').eq_ignore_ascii_case(included)) =>
            {
                Finding::failed(check, format!("the SPF record of {domain} does not name SES"), publish)
            }
            _ => Finding::ok(check, format!("{domain} has an SPF record")),
        },
        // RFC 7208, section 4.5.
        _ => {
            Finding::failed(check, format!("{domain} has {} SPF records, which is an error", records.len()), "keep one")
        }
    }
}

/// `found` is the name under which records were looked for last, and they.
pub(crate) fn dmarc(sender: &str, found: &Result<(String, Vec<String>), String>) -> Finding {
    const CHECK: &str = "DMARC";
    let publish = format!(
        "publish _dmarc.{sender} TXT \"v=DMARC1; p=none; rua=mailto:ADDRESS\"; once the reports are clean, p=quarantine"
    );
    let (name, records) = match found {
        Ok((name, records)) => (name, dmarc_records(records)),
        Err(reason) => return Finding::unknown(CHECK, format!("TXT records of _dmarc.{sender}: {reason}"), UNRESOLVED),
    };
    match records.as_slice() {
        [] => Finding::failed(
            CHECK,
            format!("{sender} has no DMARC record; the large mailbox providers refuse bulk mail without one"),
            publish,
        ),
        [record] => match policy_of(record) {
            Some(policy @ ("none" | "quarantine" | "reject")) => Finding::ok(CHECK, format!("{name} says p={policy}")),
            _ => Finding::failed(CHECK, format!("the record of {name} has no valid policy (p=)"), publish),
        },
        // RFC 7489, section 6.6.3, item 5.
        _ => Finding::failed(
            CHECK,
            format!("{name} has {} DMARC records, which count as none", records.len()),
            "keep one",
        ),
    }
}

/// The policy (`p=`) of a DMARC record.
fn policy_of(record: &str) -> Option<&str> {
    record
        .split(';')
        .filter_map(|tag| tag.split_once('='))
        .find(|(name, _)| name.trim() == "p")
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_spf_and_dmarc_are_told_from_others() {
        let records: Vec<String> = [
            "v=spf1 -all",
            "V=SPF1",
            "v=spf10 -all",
            "spf2.0/pra",
            "v=DMARC1; p=none",
            "v = DMARC1;p=reject",
            "x=v=DMARC1",
        ]
        .map(String::from)
        .to_vec();
        assert_eq!(spf_records(&records), ["v=spf1 -all", "V=SPF1"]);
        assert_eq!(dmarc_records(&records), ["v=DMARC1; p=none", "v = DMARC1;p=reject"]);
    }

    #[test]
    fn the_policy_of_subdomains_is_not_taken_for_the_policy() {
        for (record, policy) in [
            ("v=DMARC1; sp=reject; p=none", Some("none")),
            ("v=DMARC1;p = quarantine ;pct=10", Some("quarantine")),
            ("v=DMARC1; sp=none", None),
        ] {
            assert_eq!(policy_of(record), policy, "{record}");
        }
    }
}
