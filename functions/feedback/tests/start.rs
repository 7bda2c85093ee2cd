//! Which parameters stop the function, and that it names them.

#[test]
fn parameter_that_cannot_be_used_is_named_when_the_function_starts() {
    testing::check_starts(
        env!("CARGO_BIN_EXE_feedback"),
        "FeedbackFunction",
        &[("BounceThreshold", "100"), ("BounceDays", "1")],
        &[("BounceThreshold", "1.5"), ("BounceDays", "x")],
    );
}
