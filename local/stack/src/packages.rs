//! What is deployed to a local stack: the template, and the functions as packages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use package::archive::{self, Compression, Entry};

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
        let packages = entries.into_iter().filter_map(|Entry { path, bytes, .. }| {
            let function = path.strip_prefix("functions/")?.strip_suffix(".zip")?.to_owned();
            Some(Package::new(function, path, bytes))
        });
        Ok(Self { template, packages: packages.collect() })
    }
}
