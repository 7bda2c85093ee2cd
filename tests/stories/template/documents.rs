//! The links of all documents lead to a file, and to a heading of it, that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// Folders with documents. Others hold what is built, or belongs to others.
const FOLDERS: [&str; 5] = ["", "docs", "docs/design", "fuzz", ".github"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The documents, by their path from the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let in_folder = |folder: &&str| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    };
    FOLDERS.iter().flat_map(in_folder).filter(is_document).map(read).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out of the repository", path.display()),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 15, "{:?}", documents.keys());
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut broken = Vec::new();
    for (path, text) in &documents {
        // Indented lines are examples.
        let lines = text.lines().filter(|line| !line.starts_with("    "));
        for target in lines.flat_map(|line| link.captures_iter(line)).map(|found| found.get(1).unwrap().as_str()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { plain(&path.with_file_name("").join(file)) };
            let has_anchor = || documents.get(&file).is_some_and(|text| anchors(text).contains(anchor));
            if !root().join(&file).exists() || !(anchor.is_empty() || has_anchor()) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
