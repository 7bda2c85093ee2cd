//! Packaging the functions for a local stack. `xtask` has compiled them.

use anyhow::Result;
use package::archive::{self, Compression};

use crate::stack_dir::StackDir;

/// A packaged function.
pub(crate) struct Package {
    /// The folder under `functions/`.
    pub(crate) function: String,
    /// SHA-256 of the archive, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) zip: Vec<u8>,
}

pub(crate) fn all(dir: &StackDir) -> Result<Vec<Package>> {
    package::functions(dir.workspace())?
        .into_iter()
        .map(|function| {
            // It does not leave this machine.
            let zip = archive::function(&dir.function(&function)?, Compression::None)?;
            Ok(Package { function, hash: archive::sha256(&zip), zip })
        })
        .collect()
}
