//! Settings come from the environment, which `template.yaml` fills.

use std::env;
use std::str::FromStr;

/// A setting that must be there and is not, or makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} {problem}; template.yaml sets it")]
pub struct SettingError {
    name: &'static str,
    problem: String,
}

/// A setting that must be there.
///
/// # Errors
/// If it is not set, is empty, or cannot be parsed.
pub fn required<T>(name: &'static str) -> Result<T, SettingError>
where
    T: FromStr,
    T::Err: ToString,
{
    optional(name)?.ok_or_else(|| SettingError { name, problem: "is not set".to_owned() })
}

/// A setting that may be missing; empty counts as missing.
///
/// # Errors
/// If it cannot be parsed.
pub fn optional<T>(name: &'static str) -> Result<Option<T>, SettingError>
where
    T: FromStr,
    T::Err: ToString,
{
    env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map(|value| value.parse().map_err(|error: T::Err| SettingError { name, problem: error.to_string() }))
        .transpose()
}
