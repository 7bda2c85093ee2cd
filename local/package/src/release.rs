//! The files of a release: for each architecture an archive of what is deployed and one with `offercast`; their checksums; and
//! where they come from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::archive::{Compression, Entry, sha256, zip};
use crate::build::{Architecture, Builder};
use crate::{archive, functions, template};

/// The version of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What a release says of itself.
const README: &str = include_str!("release-readme.md");
/// What is the same in every archive of what is deployed, besides the documents.
const FILES: [&str; 4] = ["ARCHITECTURE.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// What to build.
#[derive(Debug)]
pub struct Release {
    /// For which processors.
    pub architectures: Vec<Architecture>,
    /// To try the functions' packages: without optimisation, bills of materials and `offercast`, and from any working tree.
    pub is_trial: bool,
}

impl Release {
    /// Builds the release into `target/release-VERSION`, a trial into `target/release-VERSION-trial`, and returns the folder.
    ///
    /// # Errors
    /// If the working tree is not that of a commit, the changelog lacks the version, or something cannot be built.
    pub fn build(&self, workspace: &Path) -> Result<PathBuf> {
        let commit = self.commit(workspace)?;
        let read = |file: &str| fs::read(workspace.join(file)).with_context(|| format!("cannot read {file}"));
        let (functions, source) = (functions(workspace)?, fs::read_to_string(workspace.join("template.yaml"))?);
        // No archive of a trial is taken for one of a release.
        let version = if self.is_trial { format!("{VERSION}-trial") } else { VERSION.to_owned() };
        let folder = workspace.join(format!("target/release-{version}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let builder = Builder::new(workspace, self.is_trial)?;
        let mut archives = Vec::new();
        for &architecture in &self.architectures {
            let name = architecture.name();
            let programs = builder.functions(architecture, &functions)?;
            let mut entries = vec![
                Entry::file("README.md", readme(&version, self.is_trial)),
                Entry::file("template.yaml", template::packaged(&source, &functions, architecture)?),
                Entry::file("samconfig.toml", without_build(&fs::read_to_string(workspace.join("samconfig.toml"))?)),
            ];
            for (function, program) in functions.iter().zip(&programs) {
                let package = archive::function(program, Compression::Deflate)?;
                entries.push(Entry::file(format!("functions/{function}.zip"), package));
            }
            if !self.is_trial {
                for (function, file) in functions.iter().zip(builder.materials(architecture, &functions)?) {
                    entries.push(Entry::file(format!("sbom/{function}.cdx.json"), fs::read(file)?));
                }
            }
            for file in FILES.into_iter().map(str::to_owned).chain(documents(workspace)?) {
                let bytes = read(&file)?;
                entries.push(Entry::file(file, bytes));
            }
            archives.push((format!("offercast-{version}-{name}.zip"), zip(&entries, Compression::None)?));
            if !self.is_trial {
                let tool = [
                    Entry::program("offercast", &builder.offercast(architecture)?)?,
                    Entry::file("LICENSE-APACHE", read("LICENSE-APACHE")?),
                    Entry::file("LICENSE-MIT", read("LICENSE-MIT")?),
                ];
                archives.push((format!("offercast-cli-{version}-linux-{name}.zip"), zip(&tool, Compression::Deflate)?));
            }
        }
        let sums: Vec<_> = archives.iter().map(|(name, bytes)| (name.as_str(), sha256(bytes))).collect();
        let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        let provenance = provenance(&sums, &commit, &sha256(&read("Cargo.lock")?), self);
        fs::write(folder.join("SHA256SUMS"), lines)?;
        fs::write(folder.join("provenance.json"), format!("{provenance:#}\n"))?;
        for (name, bytes) in &archives {
            fs::write(folder.join(name), bytes)?;
        }
        Ok(folder)
    }

    /// The commit that is checked out.
    fn commit(&self, workspace: &Path) -> Result<String> {
        let git = |arguments: &[&str]| {
            let output =
                Command::new("git").args(arguments).current_dir(workspace).output().context("cannot run git")?;
            if !output.status.success() {
                bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
            }
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let changed = git(&["status", "--porcelain"])?;
        if !self.is_trial && !changed.is_empty() {
            bail!("a release is built of a commit, and these files have changes:\n{changed}");
        }
        let changelog = fs::read_to_string(workspace.join("CHANGELOG.md"))?;
        if !self.is_trial && !changelog.contains(&format!("\n## [{VERSION}] - ")) {
            bail!("CHANGELOG.md has no section [{VERSION}]: name it, with the day of the release");
        }
        git(&["rev-parse", "HEAD"])
    }
}

/// The documents, with what they show and refer to, by their paths.
fn documents(workspace: &Path) -> Result<Vec<String>> {
    let mut found = vec!["local/stack/src/sample-offer.json".to_owned()];
    for folder in ["docs", "docs/design", "docs/events", "docs/examples", "events", "crates/language/catalogues"] {
        for entry in fs::read_dir(workspace.join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                found.push(format!("{folder}/{}", entry.file_name().display()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What an archive says of itself.
fn readme(version: &str, is_trial: bool) -> String {
    let trial = "**A trial:** built without optimisation, to be tried on a local stack. It has neither `sbom/` nor `offercast`.\n\n";
    README.replace("{{version}}", version).replace("{{trial}}", if is_trial { trial } else { "" })
}

/// The settings of SAM without those of `sam build`, which has nothing to do.
fn without_build(settings: &str) -> String {
    let sections = settings.split_inclusive("\n\n").filter(|section| !section.contains(".build.parameters]"));
    sections.collect::<String>().replace("# sam build && sam deploy", "# sam deploy")
}

/// A statement about where the archives come from: in-toto v1 with SLSA's provenance v1. It is not signed; the workflow that
/// publishes a release signs its own.
fn provenance(sums: &[(&str, String)], commit: &str, lock: &str, release: &Release) -> Value {
    let subject: Vec<_> = sums.iter().map(|(name, sum)| json!({"name": name, "digest": {"sha256": sum}})).collect();
    let architectures: Vec<_> = release.architectures.iter().map(|architecture| architecture.name()).collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:offercast:cargo-xtask-release:v1",
                "externalParameters": {"version": VERSION, "architectures": architectures, "trial": release.is_trial},
                "resolvedDependencies": [
                    {"name": "offercast", "digest": {"gitCommit": commit}},
                    {"name": "Cargo.lock", "digest": {"sha256": lock}},
                ],
            },
            "runDetails": {"builder": {"id": "urn:offercast:cargo-xtask"}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_release_deploy_and_build_nothing() {
        let settings = without_build(include_str!("../../../samconfig.toml"));
        assert!(!settings.contains("build"), "{settings}");
        assert!(settings.contains("[production.deploy.parameters]") && settings.contains("DeletionProtection=true"));
    }

    #[test]
    fn links_of_documents_lead_to_what_is_in_the_archive() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let documents = documents(&workspace).unwrap();
        let packed: Vec<_> = FILES.into_iter().map(str::to_owned).chain(documents.iter().cloned()).collect();
        for document in documents.iter().filter(|path| path.ends_with(".md")) {
            let text = fs::read_to_string(workspace.join(document)).unwrap();
            let links = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
            for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
                let path = link.split('#').next().unwrap();
                let target = workspace.join(document).parent().unwrap().join(path).canonicalize();
                let target = target.unwrap_or_else(|error| panic!("{document}: {link}: {error}"));
                let target = target.strip_prefix(&workspace).unwrap();
                let is_packed = packed.iter().any(|file| Path::new(file).starts_with(target));
                assert!(is_packed, "{document}: {link} is not in the archive");
            }
        }
    }

    #[test]
    fn provenance_names_each_archive_and_the_commit() {
        let release = Release { architectures: vec![Architecture::Arm64], is_trial: false };
        let statement = provenance(&[("a.zip", "12".to_owned())], "c0ffee", "34", &release);
        assert_eq!(statement["subject"], json!([{"name": "a.zip", "digest": {"sha256": "12"}}]));
        let sources = &statement["predicate"]["buildDefinition"]["resolvedDependencies"];
        assert_eq!(
            (&sources[0]["digest"]["gitCommit"], &sources[1]["digest"]["sha256"]),
            (&json!("c0ffee"), &json!("34"))
        );
    }
}
