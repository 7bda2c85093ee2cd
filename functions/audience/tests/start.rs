//! Which parameters stop the function, and that it names them.

#[test]
fn parameter_that_cannot_be_used_is_named_when_the_function_starts() {
    testing::check_starts(
        env!("CARGO_BIN_EXE_audience"),
        "AudienceFunction",
        &[("EmailRatePerSecond", "1"), ("SmsRatePerSecond", "100000")],
        &[("EmailRatePerSecond", "0"), ("EmailRatePerSecond", "1.5"), ("SmsRatePerSecond", "many")],
    );
}
