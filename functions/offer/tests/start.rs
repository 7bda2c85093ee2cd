//! Which parameters stop the function, and that it names them.

#[test]
fn parameter_that_cannot_be_used_is_named_when_the_function_starts() {
    testing::check_starts(
        env!("CARGO_BIN_EXE_offer"),
        "OfferFunction",
        &[
            ("DefaultSubject", "For {{ customer.name }}"),
            ("AllowedTestRecipients", "bank.example,+351"),
            ("TestMessagesPerDay", "0"),
        ],
        &[
            ("DefaultSubject", "For {name}"),
            ("DefaultSubject", "two\nlines"),
            ("DefaultSubject", &"s".repeat(201)),
            ("AllowedTestRecipients", "+0"),
            ("TestMessagesPerDay", "many"),
            ("FromAddress", "nobody"),
            ("ReplyToAddress", "nobody"),
            ("BrandName", "two\nlines"),
            ("PostalAddress", "two\nlines"),
            ("SmsOptOutText", &"🎁".repeat(60)),
            ("SmsSegments", "1.5"),
            ("SmsAlphabet", "GSM"),
            ("EmailTransport", "pigeon"),
            ("FallbackEmailTransport", "pigeon"),
        ],
    );
}
