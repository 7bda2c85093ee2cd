//! An invocation: its deadline, and by which name of the function it came.

use lambda_runtime::Context;

use crate::Deadline;

/// The alias by which the function `offer` sends test messages (`EmailTestAlias` and `SmsTestAlias` in `template.yaml`).
pub const TEST_ALIAS: &str = "test";

/// By which name of the function its caller invoked it. IAM decides who may use which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvokedAs {
    /// As the function itself, or as a version of it.
    Function,
    /// As its alias for test messages.
    TestAlias,
}

/// What Lambda says of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    pub deadline: Deadline,
    pub invoked_as: InvokedAs,
}

impl Invocation {
    /// The invocation with this context.
    pub fn of(context: &Context) -> Self {
        Self { deadline: Deadline::of(context), invoked_as: invoked_as(&context.invoked_function_arn) }
    }
}

/// The ARN has the qualifier that the caller named, if there was one (AWS Lambda Developer Guide, "Lambda function
/// handler", context object): `arn:<partition>:lambda:<region>:<account>:function:<name>[:<qualifier>]`.
fn invoked_as(arn: &str) -> InvokedAs {
    match arn.split(':').nth(7) {
        Some(TEST_ALIAS) => InvokedAs::TestAlias,
        _ => InvokedAs::Function,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualifier_of_the_arn_says_as_what_the_function_was_invoked() {
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:offercast-email";
        for (arn, as_what) in [
            (format!("{arn}:test"), InvokedAs::TestAlias),
            (arn.to_owned(), InvokedAs::Function),
            (format!("{arn}:$LATEST"), InvokedAs::Function),
            (format!("{arn}:7"), InvokedAs::Function),
            (format!("{arn}:tests"), InvokedAs::Function),
            ("arn:aws-cn:lambda:cn-north-1:111122223333:function:test".to_owned(), InvokedAs::Function),
            (String::new(), InvokedAs::Function),
        ] {
            assert_eq!(invoked_as(&arn), as_what, "{arn}");
        }
    }

    #[test]
    fn alias_has_the_name_that_the_template_gives_it() {
        let template = include_str!("../../../template.yaml");
        assert_eq!(template.matches(&format!("Name: {TEST_ALIAS}, FunctionVersion: $LATEST")).count(), 2);
    }
}
