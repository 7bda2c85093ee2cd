//! What is downloaded is what was looked at: actions by their commits, packages with their hashes.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn actions_are_pinned_by_commit() {
    let mut pinned = 0;
    for workflow in fs::read_dir(root().join(".github/workflows")).unwrap() {
        let workflow = fs::read_to_string(workflow.unwrap().path()).unwrap();
        for action in workflow.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, action)| action) {
            let (commit, version) = action.split_once('@').unwrap().1.split_once(" # v").unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{action}");
            pinned += 1;
        }
    }
    assert!(pinned > 0);
}

#[test]
fn packages_of_python_are_pinned_with_hashes() {
    let lists = ["uv", "lint", "policy", "sam"].map(|name| format!(".ci/python/{name}.txt"));
    let local = ["ministack", "localstack", "moto", "schemathesis", "awslambdaric"]
        .map(|name| format!("local/stack/{name}/requirements.txt"));
    for list in lists.into_iter().chain(local) {
        let text = fs::read_to_string(root().join(&list)).unwrap();
        // One requirement with its hashes: lines that end in a backslash go on.
        let requirements = text.replace("\\\n", " ");
        let requirements: Vec<_> = requirements
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
            .collect();
        assert!(!requirements.is_empty(), "{list}");
        for requirement in requirements {
            assert!(requirement.contains("==") && requirement.contains("--hash=sha256:"), "{list}: {requirement}");
        }
    }
}
