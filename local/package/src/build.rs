//! Compiling what a release contains, with cargo-lambda, which links for both architectures on any machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
pub use commands::Architecture;

/// Builds the programs of a workspace.
#[derive(Debug)]
pub struct Builder {
    workspace: PathBuf,
    /// With cargo-lambda.
    tools: PathBuf,
    is_trial: bool,
}

impl Builder {
    /// Installs cargo-lambda for this workspace, unless it is there. A trial is built without optimisation.
    ///
    /// # Errors
    /// If it cannot be installed.
    pub fn new(workspace: &Path, is_trial: bool) -> Result<Self> {
        run(Command::new(workspace.join(".ci/sam")).arg("install").current_dir(workspace))?;
        Ok(Self { workspace: workspace.to_owned(), tools: workspace.join("target/local/sam/bin"), is_trial })
    }

    /// Builds the programs of these functions, and returns the path of each, in their order.
    ///
    /// # Errors
    /// If one cannot be built.
    pub fn functions(&self, architecture: Architecture, functions: &[String]) -> Result<Vec<PathBuf>> {
        self.programs(&format!("{}-unknown-linux-gnu", architecture.of_rust()), functions)
    }

    /// Builds `offercast` without any library of the system, so that it runs on every Linux.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn offercast(&self, architecture: Architecture) -> Result<PathBuf> {
        let built = self.programs(&format!("{}-unknown-linux-musl", architecture.of_rust()), &["offercast".to_owned()]);
        built?.pop().context("no program was built")
    }

    fn programs(&self, target: &str, programs: &[String]) -> Result<Vec<PathBuf>> {
        run(Command::new("rustup").args(["target", "add", target]).current_dir(&self.workspace))?;
        // The folders of `.ci/sam build`, which compiles the same. Its own, since cargo locks the folder that it builds in.
        let built = self.workspace.join("target/sam/release").join(target);
        let path = env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.tools.clone()).chain(env::split_paths(&path));
        let mut cargo = Command::new(self.tools.join("cargo-lambda"));
        cargo.args(["lambda", "build", "--release", "--locked", "--target", target, "--lambda-dir"]).arg(&built);
        cargo.args(programs.iter().flat_map(|program| ["--package", program, "--bin", program]));
        cargo.env("PATH", env::join_paths(paths)?).env("CARGO_TARGET_DIR", self.workspace.join("target/sam/cargo"));
        if self.is_trial {
            let settings = [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16")];
            cargo.envs(settings.map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value)));
        } else {
            cargo.args(["--config", &self.without_paths()]);
        }
        run(cargo.current_dir(&self.workspace))?;
        Ok(programs.iter().map(|program| built.join(program).join("bootstrap")).collect())
    }

    /// A setting of cargo with which messages of panics name no folder of this machine, so that another one builds the same. Not
    /// `RUSTFLAGS`, which would replace the processor's flags of cargo-lambda.
    fn without_paths(&self) -> String {
        let home = |name| env::var_os(name).map(PathBuf::from);
        let cargo = home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo")));
        let renamed = [(Some(self.workspace.clone()), "offercast"), (cargo, "cargo")];
        let flag = |(folder, name): (Option<PathBuf>, _)| {
            Some(format!("{:?}", format!("--remap-path-prefix={}=/{name}", folder?.display())))
        };
        let flags: Vec<_> = renamed.into_iter().filter_map(flag).collect();
        format!("build.rustflags=[{}]", flags.join(", "))
    }

    /// What the functions are made of: a CycloneDX file for each, by its path.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn materials(&self, architecture: Architecture, functions: &[String]) -> Result<Vec<PathBuf>> {
        let target = format!("{}-unknown-linux-gnu", architecture.of_rust());
        run(Command::new(self.workspace.join(".ci/sbom")).arg(target).current_dir(&self.workspace))?;
        let folder = self.workspace.join("target/sbom");
        Ok(functions.iter().map(|function| folder.join(format!("{function}.cdx.json"))).collect())
    }
}

/// Runs a command that says itself what goes wrong.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(())
}
