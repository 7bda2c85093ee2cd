//! Which parameters stop the function, and that it names them.

#[test]
fn parameter_that_cannot_be_used_is_named_when_the_function_starts() {
    testing::check_starts(
        env!("CARGO_BIN_EXE_sms"),
        "SmsFunction",
        &[
            ("SmsSegments", "1"),
            ("SmsSenderId", "ABank"),
            ("SmsOptOutText", "Responda PARE para não receber mais"),
            ("AllowedTestRecipients", "+351,bank.example"),
        ],
        &[
            ("BrandName", "\u{2028}"),
            ("SmsOptOutText", "two\nlines"),
            // 60 characters, and 120 of the 134 units that two segments hold.
            ("SmsOptOutText", &"🎁".repeat(60)),
            ("AllowedTestRecipients", "351"),
            ("SmsSegments", "1.5"),
            ("SmsAlphabet", "GSM"),
            ("SmsDltEntityId", "no id"),
            ("SmsDltTemplateId", "no id"),
            ("SmsRatePerSecond", "0.5"),
            ("CheckSmsOptOuts", "maybe"),
            ("SendingEnabled", "maybe"),
            ("RetryHours", "1.5"),
        ],
    );
}
