//! Settings, read from environment variables that `template.yaml` sets.
//!
//! A variable that has a parameter of the template is named after it: `FROM_ADDRESS` has the value of `FromAddress`.

use std::env;
use std::fmt::{self, Display};
use std::str::FromStr;

use domain::fields::{Lines, parse_text};
use domain::offer::parse_language;
use language::Language;

/// Maximum length of `BrandName`, in characters (`template.yaml`).
const BRAND_NAME_LIMIT: usize = 100;
/// Maximum length of `PostalAddress`, in characters (`template.yaml`).
const POSTAL_ADDRESS_LIMIT: usize = 200;

/// A setting is missing or invalid. The text says which one, and who can correct it.
#[derive(thiserror::Error)]
#[error("{setting} {problem}")]
pub struct SettingError {
    setting: String,
    problem: String,
}

impl SettingError {
    /// The value of this parameter of the template is wrong. `error` continues a sentence that starts with its name.
    pub fn parameter(name: &str, error: impl Display) -> Self {
        let setting = format!("the parameter {name} of the stack");
        Self { setting, problem: format!("{error}. Correct it and deploy again") }
    }

    /// An environment variable is wrong that template.yaml does not set. `problem` says how to correct it.
    pub(crate) fn environment(name: &str, problem: impl Display) -> Self {
        Self { setting: format!("the environment variable {name}"), problem: problem.to_string() }
    }

    fn variable(name: &str, problem: impl Display) -> Self {
        let setting = format!("the environment variable {name}");
        Self { setting, problem: format!("{problem}. template.yaml sets it: deploy it unchanged") }
    }
}

/// As its text, since Rust prints an error of `main` in this form.
impl fmt::Debug for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A parameter of the template, by its name there. One that is empty counts as missing.
///
/// # Errors
/// If it is missing or invalid.
pub fn parameter<T>(name: &str) -> Result<T, SettingError>
where
    T: FromStr,
    T::Err: Display,
{
    optional_parameter(name)?.ok_or_else(|| SettingError::parameter(name, "is empty"))
}

/// A parameter of the template that may be empty, by its name there.
///
/// # Errors
/// If it is invalid.
pub fn optional_parameter<T>(name: &str) -> Result<Option<T>, SettingError>
where
    T: FromStr,
    T::Err: Display,
{
    let parse = |value: String| value.parse().map_err(|error| SettingError::parameter(name, invalid(&error)));
    read(&variable_of(name)).map(parse).transpose()
}

/// A parameter of the template that is shown to people: one line of at most `limit` characters.
///
/// # Errors
/// If it is missing or invalid.
pub fn line(name: &str, limit: usize) -> Result<String, SettingError> {
    let line: String = parameter(name)?;
    parse_text(&line, limit, Lines::One).map_err(|error| SettingError::parameter(name, error))
}

/// The bank's name.
///
/// # Errors
/// If it is missing or invalid.
pub fn brand_name() -> Result<String, SettingError> {
    line("BrandName", BRAND_NAME_LIMIT)
}

/// The bank's postal address.
///
/// # Errors
/// If it is missing or invalid.
pub fn postal_address() -> Result<String, SettingError> {
    line("PostalAddress", POSTAL_ADDRESS_LIMIT)
}

/// The language of what does not say its own.
///
/// # Errors
/// If it is missing, invalid, or has no catalogue of fixed texts.
pub fn default_language() -> Result<Language, SettingError> {
    let tag: String = parameter("DefaultLanguage")?;
    parse_language(&tag).map_err(|error| SettingError::parameter("DefaultLanguage", error))
}

/// A required setting that is no parameter: the name of a resource.
///
/// # Errors
/// If it is not set, empty, or invalid.
pub fn required<T>(name: &str) -> Result<T, SettingError>
where
    T: FromStr,
    T::Err: Display,
{
    optional(name)?.ok_or_else(|| SettingError::variable(name, "is not set"))
}

/// An optional setting that is no parameter; an empty one counts as missing.
///
/// # Errors
/// If it is invalid.
pub fn optional<T>(name: &str) -> Result<Option<T>, SettingError>
where
    T: FromStr,
    T::Err: Display,
{
    let parse = |value: String| value.parse().map_err(|error| SettingError::variable(name, invalid(&error)));
    read(name).map(parse).transpose()
}

/// Logs why a function cannot start, once, and passes the error on.
///
/// # Errors
/// The error.
pub fn started<T, E: Display>(result: Result<T, E>) -> Result<T, E> {
    result.inspect_err(|error| tracing::error!(%error, "the function cannot start"))
}

fn invalid(error: &impl Display) -> String {
    format!("is invalid: {error}")
}

fn read(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The environment variable of a parameter: `FROM_ADDRESS` of `FromAddress`.
fn variable_of(parameter: &str) -> String {
    let mut variable = String::new();
    for (i, character) in parameter.char_indices() {
        if i > 0 && character.is_ascii_uppercase() {
            variable.push('_');
        }
        variable.push(character.to_ascii_uppercase());
    }
    variable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_is_named_after_its_parameter() {
        assert_eq!(variable_of("FromAddress"), "FROM_ADDRESS");
        assert_eq!(variable_of("CheckSmsOptOuts"), "CHECK_SMS_OPT_OUTS");
    }

    #[test]
    fn error_names_the_parameter_and_what_to_do() {
        let error = parameter::<u32>("NoSuchParameter").unwrap_err();
        assert_eq!(
            format!("{error:?}"),
            "the parameter NoSuchParameter of the stack is empty. Correct it and deploy again"
        );
        let error = required::<u32>("NO_SUCH_VARIABLE").unwrap_err();
        assert!(error.to_string().starts_with("the environment variable NO_SUCH_VARIABLE is not set"));
    }
}
