//! The template of a release: that of the repository, with the functions' packages in place of their sources.

use anyhow::{Result, bail};

use crate::build::Architecture;

/// How `sam build` is told to compile a function.
const BUILD: &str = "    Metadata: {BuildMethod: rust-cargolambda}\n";
/// The default of the template's parameter, and what may take its place.
const ARCHITECTURES: &str = "    Default: arm64\n    AllowedValues: [arm64, x86_64]\n";

/// What the parameter is for.
const DESCRIPTION: &str = "    Description: Processor architecture of the functions. arm64 costs a fifth less.\n";

/// The template whose functions are packaged in `functions/NAME.zip`, for this architecture and no other.
///
/// # Errors
/// If the template is not as expected.
pub fn packaged(template: &str, functions: &[String], architecture: Architecture) -> Result<String> {
    let mut template = template.to_owned();
    let mut replace = |from: &str, to: &str, expected: usize| {
        let found = template.matches(from).count();
        if found != expected {
            bail!("template.yaml has `{}` {found} times, not {expected}", from.trim());
        }
        template = template.replace(from, to);
        Ok(())
    };
    replace(BUILD, "", functions.len())?;
    for function in functions {
        replace(&format!("CodeUri: functions/{function}\n"), &format!("CodeUri: functions/{function}.zip\n"), 1)?;
    }
    // In place of the parameter's value: a stack that has the other one would keep it.
    let name = architecture.name();
    replace("[!Ref Architecture]", &format!("[{name}]"), 1)?;
    replace(ARCHITECTURES, &format!("    Default: {name}\n    AllowedValues: [arm64, x86_64]\n"), 1)?;
    replace(
        DESCRIPTION,
        "    Description: Without effect; the functions of this release are for one processor architecture.\n",
        1,
    )?;
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../template.yaml");

    fn functions() -> Vec<String> {
        crate::functions(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
    }

    #[test]
    fn a_packaged_template_has_nothing_to_compile() {
        let packaged = packaged(TEMPLATE, &functions(), Architecture::X86_64).unwrap();
        assert!(!packaged.contains("BuildMethod") && packaged.contains("Architectures: [x86_64]\n"));
        let packages = packaged.lines().filter(|line| line.trim_start().starts_with("CodeUri: "));
        assert!(packages.clone().count() == functions().len() && packages.clone().all(|line| line.ends_with(".zip")));
    }

    #[test]
    fn a_template_with_another_form_is_refused() {
        let changed = TEMPLATE.replacen("CodeUri: functions/email\n", "CodeUri: functions/mail\n", 1);
        let error = packaged(&changed, &functions(), Architecture::Arm64).unwrap_err();
        assert_eq!(error.to_string(), "template.yaml has `CodeUri: functions/email` 0 times, not 1");
    }
}
