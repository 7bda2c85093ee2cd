//! `env`: the variables with which other tools use a deployment.

use anyhow::Result;

use crate::output;
use crate::target::Target;

/// Prints a line for a shell for each variable.
///
/// # Errors
/// If the stack has no API, or it cannot be printed.
pub fn print(target: &Target) -> Result<()> {
    let mut variables = vec![("OFFERCAST_API_URL", target.api()?.url().to_owned())];
    match target {
        Target::Local(stack) => variables.extend([
            ("AWS_ENDPOINT_URL", stack.endpoint_url.clone()),
            ("AWS_REGION", stack.region.clone()),
            ("AWS_DEFAULT_REGION", stack.region.clone()),
            ("AWS_ACCESS_KEY_ID", stack.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", stack.secret_access_key.clone()),
        ]),
        Target::OnAws(_, deployment) => {
            let region = deployment.sdk.region().map(ToString::to_string);
            variables.extend(region.map(|region| ("AWS_REGION", region)));
        }
    }
    // Of the shell that another deployment was used in.
    let unset = if target.is_local() { "AWS_SESSION_TOKEN" } else { "AWS_ENDPOINT_URL" };
    output::line(&format!("unset {unset}"))?;
    for (name, value) in variables {
        output::line(&format!("export {name}={}", quoted(&value)))?;
    }
    Ok(())
}

/// As a shell reads it (POSIX Shell Command Language, 2.2.2).
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_the_shell_as_they_are() {
        assert_eq!(quoted("a b$c"), "'a b$c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
