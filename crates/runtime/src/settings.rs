//! Settings, read from environment variables that `template.yaml` sets.

use std::env;
use std::fmt::Display;
use std::str::FromStr;

/// A setting is missing or invalid.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} {problem}; template.yaml sets it")]
pub struct SettingError {
    name: &'static str,
    problem: String,
}

/// A required setting.
///
/// # Errors
/// If it is not set, empty, or invalid.
pub fn required<T>(name: &'static str) -> Result<T, SettingError>
where
    T: FromStr,
    T::Err: Display,
{
    optional(name)?.ok_or_else(|| SettingError { name, problem: "is not set".to_owned() })
}

/// An optional setting; an empty one counts as missing.
///
/// # Errors
/// If it is invalid.
pub fn optional<T>(name: &'static str) -> Result<Option<T>, SettingError>
where
    T: FromStr,
    T::Err: Display,
{
    env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map(|value| {
            value.parse().map_err(|error: T::Err| SettingError { name, problem: format!("is invalid: {error}") })
        })
        .transpose()
}
