//! Which parameters stop the function, and that it names them.

#[test]
fn parameter_that_cannot_be_used_is_named_when_the_function_starts() {
    let bad = [("BrandName", "two\nlines"), ("BrandName", " ")];
    testing::check_starts(env!("CARGO_BIN_EXE_preferences"), "PreferencesFunction", &[], &bad);
}
