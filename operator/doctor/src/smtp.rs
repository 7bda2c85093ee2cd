//! E-mail over SMTP: whether a function can reach the server.

use smtp::ServerUrl;

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
    let server: ServerUrl = match url.trim().parse() {
        Ok(server) => server,
        Err(error) => {
            let fault = format!("the URL in the secret of SmtpUrl {error}");
            return Finding::failed(CHECK, fault, "deploy with SmtpUrl, or correct the secret");
        }
    };
    let port = server.port;
    let at = format!("port {port} of {}", server.host);
    if server.is_loopback() {
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
