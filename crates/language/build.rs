//! Lists the catalogues, so that a language is added by adding its file.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=catalogues");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("catalogues");
    let mut files: Vec<_> =
        fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut list = "[\n".to_owned();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "ftl")) {
        let tag = file.file_stem().and_then(|stem| stem.to_str()).ok_or("a catalogue's name is not UTF-8")?;
        writeln!(list, "    ({tag:?}, include_str!({:?})),", file.display().to_string())?;
    }
    list.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("catalogues.rs"), list)?;
    Ok(())
}
