//! Which parameters stop the function, and that it names them. Most bad values are refused when the stack is deployed
//! already (`tests/stories/template/parameters.rs`).

#[test]
fn parameter_that_cannot_be_used_is_named_when_the_function_starts() {
    let long = format!("{}@bank.example", "a".repeat(65));
    let label = "a".repeat(63);
    let domain = format!("bounces@{label}.{label}.{label}.example");
    testing::check_starts(
        env!("CARGO_BIN_EXE_email"),
        "EmailFunction",
        &[
            ("FromAddress", "Banco \"Ágil\", S.A. <offers@bank.example>"),
            ("ReplyToAddress", "\"Service, A Bank\" <service@bank.example>"),
            ("ReturnPath", "bounces@bank.example"),
            ("PublicUrl", "https://{api}.bank.example/v1"),
            ("PublicUrl", "http://127.0.0.1:4566/_aws/execute-api/{api}/v1"),
            ("FallbackEmailTransport", "smtp"),
            ("AllowedSenders", "offers@bank.example,news.bank.example"),
            ("AllowedTestRecipients", "bank.example,+351"),
        ],
        &[
            ("FromAddress", "nobody"),
            ("FromAddress", &long),
            ("ReplyToAddress", "nobody"),
            // The role would refuse FromAddress.
            ("AllowedSenders", "other.example"),
            ("AllowedSenders", "*@bank.example"),
            ("AllowedTestRecipients", "bank"),
            ("ReturnPath", "bounces..@bank.example"),
            ("ReturnPath", &domain),
            ("BrandName", "two\nlines"),
            ("BrandName", " "),
            ("PostalAddress", "a\u{7}b"),
            ("PublicUrl", "https://bank.example/{api"),
            ("PublicUrl", "http://bank.example"),
            ("PublicUrl", &format!("https://offers.bank.example/{}", "u".repeat(900))),
            ("EmailRatePerSecond", "1.5"),
            ("RetryHours", "1.5"),
            ("EmailTransport", "pigeon"),
            ("SendingEnabled", "maybe"),
        ],
    );
}

#[test]
fn parameter_of_an_smtp_server_is_named_when_the_function_starts() {
    // With SMTP as the only provider, and as the fallback.
    for (name, value) in [("SmtpHelloName", "bank_1.example"), ("SmtpCertificateAuthority", "no certificate")] {
        for transport in [("EmailTransport", "smtp"), ("FallbackEmailTransport", "smtp")] {
            let output = testing::start(env!("CARGO_BIN_EXE_email"), "EmailFunction", &[transport, (name, value)]);
            assert!(output.contains(&format!("the parameter {name} of the stack is invalid")), "{output}");
        }
    }
}
