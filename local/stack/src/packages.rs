//! What is deployed to a local stack: the template, and the functions as packages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use package::archive::{self, Compression, Entry};
use package::build::Architecture;

use crate::stack_dir::StackDir;

/// A template and the packages of its functions.
pub(crate) struct Deployable {
    pub(crate) template: String,
    pub(crate) packages: Vec<Package>,
}

/// A packaged function.
pub(crate) struct Package {
    /// Its name, that of its folder under `functions/`.
    pub(crate) function: String,
    /// Where the template expects its code.
    pub(crate) code_uri: String,
    /// SHA-256 of the archive, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) zip: Vec<u8>,
}

impl Package {
    fn new(function: String, code_uri: String, zip: Vec<u8>) -> Self {
        Self { function, code_uri, hash: archive::sha256(&zip), zip }
    }
}

impl Deployable {
    /// The working tree, which `xtask` has compiled.
    pub(crate) fn of_workspace(dir: &StackDir) -> Result<Self> {
        let packages = package::functions(dir.workspace())?.into_iter().map(|function| {
            // It does not leave this machine.
            let zip = archive::function(&dir.function(&function)?, Compression::None)?;
            Ok(Package::new(function.clone(), format!("functions/{function}"), zip))
        });
        let template = fs::read_to_string(dir.workspace().join("template.yaml"))?;
        Ok(Self { template, packages: packages.collect::<Result<_>>()? })
    }

    /// An archive that `cargo xtask release` wrote.
    pub(crate) fn of_release(file: &Path) -> Result<Self> {
        let shown = file.display();
        let bytes = fs::read(file).with_context(|| format!("cannot read {shown}"))?;
        let entries = archive::unzip(&bytes).with_context(|| format!("{shown} is no archive of a release"))?;
        let template = entries.iter().find(|entry| entry.path == "template.yaml");
        let template = template.with_context(|| format!("{shown} has no template.yaml"))?;
        let template = String::from_utf8(template.bytes.clone()).context("template.yaml is not UTF-8")?;
        refuse_other_processor(&template, file)?;
        let packages = entries.into_iter().filter_map(|Entry { path, bytes, .. }| {
            let function = path.strip_prefix("functions/")?.strip_suffix(".zip")?.to_owned();
            Some(Package::new(function, path, bytes))
        });
        Ok(Self { template, packages: packages.collect() })
    }
}

/// An emulator runs the functions as programs of this machine.
fn refuse_other_processor(template: &str, release: &Path) -> Result<()> {
    let is_for = |architecture: &Architecture| template.contains(&format!("Architectures: [{}]", architecture.name()));
    ensure!(cfg!(target_os = "linux"), "the functions of a release run on Linux only");
    let own = Architecture::of_this_machine().context("Lambda has no processor of this machine's architecture")?;
    ensure!(
        is_for(&own),
        "{} is not for this machine's processor; build one with: cargo xtask release --trial --architecture {}",
        release.display(),
        own.name()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use package::template::packaged;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_release_for_another_processor_is_refused() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let functions = package::functions(&workspace).unwrap();
        let template = fs::read_to_string(workspace.join("template.yaml")).unwrap();
        let refused = [Architecture::Arm64, Architecture::X86_64].into_iter().filter_map(|architecture| {
            let template = packaged(&template, &functions, architecture).unwrap();
            refuse_other_processor(&template, Path::new("offercast.zip")).err()
        });
        let refused: Vec<_> = refused.map(|error| error.to_string()).collect();
        assert!(refused.len() == 1 && refused[0].contains("cargo xtask release --trial --architecture"), "{refused:?}");
    }
}
