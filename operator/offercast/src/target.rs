//! Which deployment a command is about.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use client::{Api, Deployment, STACK_VARIABLE, Stack};

/// The folder of the local stack, in the workspace.
const LOCAL: &str = "target/stack/stack.json";

/// Which deployment a command is about.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// The stack on this machine (local), or the CloudFormation stack of this name, with the AWS CLI's credentials.
    #[arg(long, global = true, value_name = "local|NAME", default_value = "local")]
    stack: String,
    /// The region of a stack on AWS. Default: that of the AWS CLI.
    #[arg(long, global = true)]
    region: Option<String>,
    /// An older name of --stack.
    #[arg(long = "on-aws", global = true, value_name = "NAME", hide = true, conflicts_with = "stack")]
    on_aws: Option<String>,
}

/// The deployment to use.
#[derive(Debug)]
pub enum Target {
    /// The stack on this machine.
    Local(Box<Stack>),
    /// A CloudFormation stack on AWS: its name and its resources.
    OnAws(String, Box<Deployment>),
}

impl TargetArgs {
    /// The name of a stack on AWS. `None`: the stack on this machine.
    pub fn on_aws(&self) -> Option<&str> {
        self.on_aws.as_deref().or_else(|| Some(self.stack.as_str()).filter(|stack| *stack != "local"))
    }

    /// The region of a stack on AWS, if it was given.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Finds the deployment.
    ///
    /// # Errors
    /// If there is none.
    pub async fn resolve(&self) -> Result<Target> {
        Ok(match self.on_aws() {
            Some(name) => Target::OnAws(name.to_owned(), Box::new(Deployment::on_aws(name, self.region()).await?)),
            None => Target::Local(Box::new(running()?)),
        })
    }

    /// The same, where it does not matter of which kind it is.
    ///
    /// # Errors
    /// If there is none.
    pub async fn deployment(&self) -> Result<Deployment> {
        Ok(self.resolve().await?.deployment())
    }
}

impl Target {
    /// Its resources.
    pub fn deployment(self) -> Deployment {
        match self {
            Self::Local(stack) => Deployment::local(&stack),
            Self::OnAws(_, deployment) => *deployment,
        }
    }

    /// Its HTTP API.
    ///
    /// # Errors
    /// If the stack on AWS does not have one.
    pub fn api(&self) -> Result<Api> {
        match self {
            Self::Local(stack) => Ok(Api::new(stack)),
            Self::OnAws(_, deployment) => Api::of(deployment),
        }
    }

    /// Whether this is a stack on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}

/// Reads `stack.json` of the stack on this machine: of the workspace that the current folder is in, unless the environment names
/// another file.
///
/// # Errors
/// If there is none.
pub fn running() -> Result<Stack> {
    let missing =
        "no local stack is up. Start one with `cargo xtask up --detach`, or name one on AWS with --stack NAME";
    let named = env::var_os(STACK_VARIABLE).map(PathBuf::from);
    let file = named.or_else(|| find(&env::current_dir().ok()?)).context(missing)?;
    Stack::read(&file).context(missing)
}

fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(LOCAL)).find(|file| file.exists())
}
