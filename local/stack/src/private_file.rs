//! Files that only their owner can read: they hold keys.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Creates a folder that only its owner can open, or makes it one.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // It may be older than this rule.
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Writes a file. Others never see it: neither while it is written, nor by the mode of an older one, which it replaces.
/// Readers see the old content or the new.
pub(crate) fn write(file: &Path, content: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    let written = (|| {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?.write_all(content)?;
        fs::rename(&new, file)
    })();
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Creates an empty file, or empties it.
pub(crate) fn create(file: &Path) -> io::Result<File> {
    let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    created.set_permissions(Permissions::from_mode(0o600))?;
    Ok(created)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_what_is_written_whatever_was_there() {
        let folder = std::env::temp_dir().join(format!("offercast-private-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        create_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);

        let (file, log) = (folder.join("stack.json"), folder.join("aws.log"));
        for _ in 0..2 {
            write(&file, b"key").unwrap();
            write!(create(&log).unwrap(), "line").unwrap();
            assert_eq!((mode(&file), mode(&log)), (0o600, 0o600));
            // As an earlier release left them.
            for old in [&file, &log] {
                fs::set_permissions(old, Permissions::from_mode(0o644)).unwrap();
            }
            // As a process that was killed left it.
            fs::write(folder.join("stack.new"), "").unwrap();
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
