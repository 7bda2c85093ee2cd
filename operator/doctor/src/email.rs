//! E-mail through SES: the account, the sender's identity, the configuration set.

use aws_sdk_sesv2::operation::get_account::GetAccountOutput;
use aws_sdk_sesv2::operation::get_configuration_set::GetConfigurationSetOutput;
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::types::{DkimStatus, EventDestination, EventType, SuppressionListReason, SuppressionOptions};

use crate::finding::{Answer, Finding, Unread, read};
use crate::stack::{Stack, domain};

/// An identity of SES that covers the sender: the address itself, its domain, or a domain above that.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) found: GetEmailIdentityOutput,
}

impl Identity {
    /// The domain of the envelope's sender, if it is the bank's own.
    pub(crate) fn mail_from(&self) -> Option<&str> {
        let domain = self.found.mail_from_attributes()?.mail_from_domain();
        (!domain.is_empty()).then_some(domain)
    }
}

/// Sandbox: 200 e-mails in 24 hours (SES developer guide, "Service quotas in Amazon SES").
const SANDBOX_QUOTA: f64 = 200.0;

pub(crate) fn account(answer: &Answer<GetAccountOutput>) -> Finding {
    const CHECK: &str = "SES account";
    let account = match read(CHECK, answer) {
        Ok(account) => account,
        Err(finding) => return finding,
    };
    let status = account.enforcement_status().unwrap_or("HEALTHY");
    let appeal = "read AWS's message to the account (Support Center), and answer it";
    if !account.sending_enabled() || status == "SHUTDOWN" {
        return Finding::failed(CHECK, format!("sending is paused, the account is {status}"), appeal);
    }
    match status {
        "HEALTHY" => Finding::ok(CHECK, "sending is enabled, the account is HEALTHY"),
        _ => Finding::warning(CHECK, format!("the account is {status}: AWS may pause it"), appeal),
    }
}

pub(crate) fn sandbox(answer: &Answer<GetAccountOutput>) -> Finding {
    const CHECK: &str = "SES sandbox";
    match read(CHECK, answer) {
        Ok(account) if account.production_access_enabled() => Finding::ok(CHECK, "the account has production access"),
        Ok(_) => Finding::failed(
            CHECK,
            "the account is in the sandbox: only verified addresses get e-mail",
            "ask for production access, which takes a day: aws sesv2 put-account-details --production-access-enabled \
             --mail-type MARKETING --website-url URL --use-case-description TEXT",
        ),
        Err(finding) => finding,
    }
}

/// Whether SES sends as fast as the stack wants to.
pub(crate) fn rate(stack: &Stack, answer: &Answer<GetAccountOutput>) -> Finding {
    const CHECK: &str = "SES rate";
    let account = match read(CHECK, answer) {
        Ok(account) => account,
        Err(finding) => return finding,
    };
    let parameter = stack.rate_parameter("ses").unwrap_or("EmailRatePerSecond");
    let (Some(wanted), Some(quota)) = (stack.number(parameter), account.send_quota()) else {
        return Finding::unknown(CHECK, format!("{parameter} or the account's quota is not known"), "");
    };
    let allowed = quota.max_send_rate();
    let what = format!("{parameter} is {wanted} a second, and SES allows {allowed}");
    if f64::from(wanted) <= allowed {
        Finding::ok(CHECK, what)
    } else {
        Finding::warning(
            CHECK,
            format!("{what}: it refuses the rest, which is deferred"),
            format!(
                "deploy with {parameter}={allowed:.0}, or ask for a higher sending rate (Service Quotas, Amazon SES)"
            ),
        )
    }
}

/// What a day may carry. A push that needs more goes on the next day.
pub(crate) fn quota(stack: &Stack, answer: &Answer<GetAccountOutput>) -> Finding {
    const CHECK: &str = "SES daily quota";
    let account = match read(CHECK, answer) {
        Ok(account) => account,
        Err(finding) => return finding,
    };
    let Some(quota) = account.send_quota() else {
        return Finding::unknown(CHECK, "SES does not say the account's quota", "");
    };
    let (allowed, sent) = (quota.max24_hour_send(), quota.sent_last24_hours());
    // "A value of -1 signifies an unlimited quota" (SES API, SendQuota).
    if allowed < 0.0 {
        return Finding::ok(CHECK, "unlimited");
    }
    let left = (allowed - sent).max(0.0);
    let rate = stack.rate_parameter("ses").and_then(|parameter| stack.number(parameter)).unwrap_or(1).max(1);
    let minutes = left / f64::from(rate) / 60.0;
    let what =
        format!("{left:.0} of {allowed:.0} e-mails in 24 hours are left: {minutes:.0} minutes at {rate} a second");
    if allowed <= SANDBOX_QUOTA || left < allowed / 10.0 {
        let remedy = "a push with more customers goes on the next day: wait, or ask for a higher quota (Service Quotas, Amazon SES)";
        Finding::warning(CHECK, what, remedy)
    } else {
        Finding::ok(CHECK, what)
    }
}

/// The identity that covers the sender, or what is said without one.
fn covering<'a>(check: &'static str, answer: &'a Answer<Option<Identity>>) -> Result<&'a Identity, Finding> {
    let none = || Finding::skipped(check, "there is no identity of FromAddress");
    read(check, answer)?.as_ref().ok_or_else(none)
}

pub(crate) fn identity(stack: &Stack, answer: &Answer<Option<Identity>>) -> Finding {
    const CHECK: &str = "sender identity";
    let sender = stack.sender();
    match read(CHECK, answer) {
        Ok(Some(Identity { name, found })) if found.verified_for_sending_status() => {
            Finding::ok(CHECK, format!("{name} is verified, for {sender}"))
        }
        Ok(Some(Identity { name, .. })) => Finding::failed(
            CHECK,
            format!("{name} is not verified: SES refuses e-mails from {sender}"),
            format!(
                "publish its three DKIM records: aws sesv2 get-email-identity --email-identity {name} --query DkimAttributes.Tokens"
            ),
        ),
        Ok(None) => Finding::failed(
            CHECK,
            format!("SES knows neither {sender} nor its domain"),
            format!("aws sesv2 create-email-identity --email-identity {}", domain(sender)),
        ),
        Err(finding) => finding,
    }
}

pub(crate) fn dkim(answer: &Answer<Option<Identity>>) -> Finding {
    const CHECK: &str = "DKIM";
    let Identity { name, found } = match covering(CHECK, answer) {
        Ok(identity) => identity,
        Err(finding) => return finding,
    };
    let Some(dkim) = found.dkim_attributes() else {
        return Finding::unknown(CHECK, format!("SES does not say how {name} is signed"), "");
    };
    match dkim.status() {
        _ if !dkim.signing_enabled() => Finding::failed(
            CHECK,
            format!("e-mails of {name} are not signed; the large mailbox providers refuse them"),
            format!("aws sesv2 put-email-identity-dkim-attributes --email-identity {name} --signing-enabled"),
        ),
        Some(DkimStatus::Success) => Finding::ok(CHECK, format!("e-mails of {name} are signed")),
        status => Finding::failed(
            CHECK,
            format!(
                "signing is enabled for {name}, but its keys are {}",
                status.map_or("not known", DkimStatus::as_str)
            ),
            format!(
                "publish its three DKIM records: aws sesv2 get-email-identity --email-identity {name} --query DkimAttributes.Tokens"
            ),
        ),
    }
}

pub(crate) fn forwarding(answer: &Answer<Option<Identity>>) -> Finding {
    const CHECK: &str = "feedback forwarding";
    match covering(CHECK, answer) {
        Ok(Identity { name, found }) if found.feedback_forwarding_status() => Finding::warning(
            CHECK,
            "SES mails each bounce and complaint to the sender as well, 20,000 for a million e-mails of which 2 % bounce",
            format!(
                "aws sesv2 put-email-identity-feedback-attributes --email-identity {name} --no-email-forwarding-enabled"
            ),
        ),
        Ok(_) => Finding::ok(CHECK, "off: bounces and complaints come as events only"),
        Err(finding) => finding,
    }
}

pub(crate) fn configuration_set(stack: &Stack, answer: &Answer<GetConfigurationSetOutput>) -> Finding {
    const CHECK: &str = "configuration set";
    let name = &stack.name;
    if answer == &Err(Unread::Missing) {
        return Finding::failed(
            CHECK,
            format!("{name} does not exist, and SES refuses e-mails that name it"),
            "deploy the stack again",
        );
    }
    let set = match read(CHECK, answer) {
        Ok(set) => set,
        Err(finding) => return finding,
    };
    if set.sending_options().is_some_and(|options| !options.sending_enabled()) {
        return Finding::failed(
            CHECK,
            format!("sending is paused for {name}"),
            format!(
                "aws sesv2 put-configuration-set-sending-options --configuration-set-name {name} --sending-enabled"
            ),
        );
    }
    let suppressed = set.suppression_options().map(SuppressionOptions::suppressed_reasons).unwrap_or_default();
    let complete = [SuppressionListReason::Bounce, SuppressionListReason::Complaint]
        .iter()
        .all(|reason| suppressed.contains(reason));
    if complete {
        Finding::ok(CHECK, format!("{name} sends, and SES suppresses after bounces and complaints"))
    } else {
        Finding::warning(
            CHECK,
            format!("SES's own list does not suppress after both bounces and complaints in {name}"),
            format!(
                "aws sesv2 put-configuration-set-suppression-options --configuration-set-name {name} --suppressed-reasons BOUNCE COMPLAINT"
            ),
        )
    }
}

/// Bounces and complaints must get to EventBridge, from where `feedback` has them.
pub(crate) fn events(stack: &Stack, answer: &Answer<Vec<EventDestination>>) -> Finding {
    const CHECK: &str = "SES events";
    let failed = |what: String| Finding::failed(CHECK, what, "no address would be suppressed: deploy the stack again");
    if answer == &Err(Unread::Missing) {
        return failed(format!("the configuration set {} does not exist", stack.name));
    }
    let destinations = match read(CHECK, answer) {
        Ok(destinations) => destinations,
        Err(finding) => return finding,
    };
    let published: Vec<&EventType> = destinations
        .iter()
        .filter(|destination| destination.enabled() && destination.event_bridge_destination().is_some())
        .flat_map(EventDestination::matching_event_types)
        .collect();
    let wanted = [EventType::Bounce, EventType::Complaint, EventType::Reject];
    let missing: Vec<&str> = wanted.iter().filter(|event| !published.contains(event)).map(EventType::as_str).collect();
    if missing.is_empty() {
        Finding::ok(CHECK, "bounces, complaints and rejections go to EventBridge")
    } else {
        failed(format!("events not sent to EventBridge: {}", missing.join(", ")))
    }
}
