//! E-mail over SMTP: whether a function can reach the server.

use url::Url;

use crate::finding::{Answer, Finding, read};
use crate::stack::Stack;

/// Whether `email` can connect to the port in `SmtpUrl`. AWS closes port 25 to functions outside a VPC, and opens it on demand
/// in one (AWS re:Post Knowledge Center, "ec2-port-25-throttle"). Nothing of the URL but host and port is ever shown.
pub(crate) fn port(stack: &Stack, answer: &Answer<String>) -> Finding {
    const CHECK: &str = "SMTP server";
    let url = match read(CHECK, answer) {
        Ok(url) => url,
        Err(finding) => return finding,
    };
    let Some((host, port)) = host_and_port(url) else {
        return Finding::failed(
            CHECK,
            "the secret of SmtpUrl holds no SMTP URL",
            "deploy with SmtpUrl, or correct the secret",
        );
    };
    let at = format!("port {port} of {host}");
    if is_loopback(&host) {
        return Finding::failed(CHECK, format!("{at} is the function itself"), "deploy with the SmtpUrl of a server");
    }
    match (port, stack.parameter("VpcSubnetIds").is_empty()) {
        (25, true) => Finding::failed(
            CHECK,
            format!("{at}: AWS closes port 25 to functions outside a VPC"),
            "use port 587 or 465 in SmtpUrl; or deploy with VpcSubnetIds and SecurityGroupIds",
        ),
        (25, false) => Finding::warning(
            CHECK,
            format!("{at}, from a VPC: AWS closes port 25 there too, unless asked"),
            "AWS Support, Request to remove email sending limitations, if not done already",
        ),
        (_, true) => Finding::ok(CHECK, format!("{at} is not closed to functions")),
        (_, false) => Finding::ok(CHECK, format!("{at}, from a VPC; its routes are not checked")),
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url.trim()).ok()?;
    let default = match url.scheme() {
        "smtp" => 25,
        "smtp+starttls" => 587,
        "smtps" => 465,
        _ => return None,
    };
    Some((url.host_str().filter(|host| !host.is_empty())?.to_owned(), url.port().unwrap_or(default)))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_port_or_has_that_of_its_scheme() {
        for (url, expected) in [
            ("smtp://mail.bank.example", Some(("mail.bank.example", 25))),
            ("smtps://u:p%40ss@mail.bank.example/", Some(("mail.bank.example", 465))),
            ("smtp+starttls://u:p@mail.bank.example", Some(("mail.bank.example", 587))),
            ("smtp+starttls://u:p@[2001:db8::1]:25", Some(("[2001:db8::1]", 25))),
            ("https://mail.bank.example", None),
            ("mail.bank.example:25", None),
            ("", None),
        ] {
            assert_eq!(host_and_port(url), expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }
}
