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
            // Another transport is used.
            ("SmtpUrl", "smtp://mail.bank.example:25"),
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

const SUBNETS: (&str, &str) = ("VpcSubnetIds", "subnet-0a1b2c3d4e5f60718");

#[test]
fn parameter_of_an_smtp_server_is_named_when_the_function_starts() {
    // With SMTP as the only provider, and as the fallback.
    for (name, value) in [
        ("SmtpHelloName", "bank_1.example"),
        ("SmtpCertificateAuthority", "no certificate"),
        ("SmtpUrl", "smtp://mail.bank.example"),
        ("SmtpUrl", "smtp+starttls://user:password@mail.bank.example:25"),
    ] {
        for transport in [("EmailTransport", "smtp"), ("FallbackEmailTransport", "smtp")] {
            let output = testing::start(env!("CARGO_BIN_EXE_email"), "EmailFunction", &[transport, (name, value)]);
            let named = output.contains(&format!("the parameter {name} of the stack"));
            assert!(named && output.contains("the function cannot start"), "{output}");
            assert!(!output.contains("password"), "{output}");
        }
    }
}

#[test]
fn port_25_is_used_in_a_vpc_and_on_this_machine() {
    for settings in [[SUBNETS, ("SmtpUrl", "smtp://mail.bank.example")], [SUBNETS, ("SmtpUrl", "smtp://127.0.0.1:25")]]
    {
        let changes = [&settings[..], &[("EmailTransport", "smtp")]].concat();
        let output = testing::start(env!("CARGO_BIN_EXE_email"), "EmailFunction", &changes);
        assert!(output.contains(testing::ACCEPTED) && !output.contains("cannot start"), "{output}");
    }
    let here = [("EmailTransport", "smtp"), ("SmtpUrl", "smtp://127.0.0.1:25")];
    let output = testing::start(env!("CARGO_BIN_EXE_email"), "EmailFunction", &here);
    assert!(output.contains(testing::ACCEPTED) && !output.contains("cannot start"), "{output}");
}
