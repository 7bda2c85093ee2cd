//! Options shared by several commands: which stack to start and which deployment to use.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use client::{Deployment, STACK_VARIABLE, Stack};

use crate::emulator::Emulator;
use crate::stack_dir::StackDir;

#[derive(Args)]
pub(crate) struct TargetArgs {
    /// Use this CloudFormation stack on AWS, with the AWS CLI's credentials and region. Default: the local stack.
    #[arg(long = "on-aws", value_name = "STACK")]
    on_aws: Option<String>,
}

impl TargetArgs {
    pub(crate) async fn deployment(&self, dir: &StackDir) -> Result<Deployment> {
        Ok(match self.resolve(dir).await? {
            Target::Local(stack) => Deployment::local(&stack),
            Target::OnAws(_, deployment) => *deployment,
        })
    }

    pub(crate) async fn resolve(&self, dir: &StackDir) -> Result<Target> {
        Ok(match &self.on_aws {
            Some(name) => Target::OnAws(name.clone(), Box::new(Deployment::on_aws(name).await?)),
            None => Target::Local(Box::new(running(dir)?)),
        })
    }
}

#[derive(Args, Clone, Default)]
pub(crate) struct Options {
    /// The AWS emulator to run on. Default: the one that is up, or else ministack.
    ///
    /// ministack: starts fast and enforces IAM roles.
    /// localstack: event sources behave as on AWS.
    /// URL: an emulator that already runs on this machine, for example http://127.0.0.1:4566.
    #[arg(long, value_name = "ministack|localstack|URL", verbatim_doc_comment)]
    pub(crate) stack: Option<Emulator>,
    /// Deliver e-mail to this server instead of the built-in inbox, for example smtp://127.0.0.1:2525.
    #[arg(long, value_name = "URL")]
    pub(crate) smtp: Option<String>,
    /// Override a parameter of template.yaml, for example --set BrandName=Acme.
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = parse_setting)]
    pub(crate) set: Vec<(String, String)>,
}

fn parse_setting(setting: &str) -> Result<(String, String), String> {
    let (name, value) = setting.split_once('=').ok_or("expected PARAMETER=VALUE, for example BrandName=Acme")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The deployment to use.
pub(crate) enum Target {
    /// The stack on this machine.
    Local(Box<Stack>),
    /// A CloudFormation stack on AWS: its name and its resources.
    OnAws(String, Box<Deployment>),
}

/// Reads `stack.json` of the local stack that is up.
pub(crate) fn running(dir: &StackDir) -> Result<Stack> {
    let file = std::env::var_os(STACK_VARIABLE).map_or_else(|| dir.stack_file(), PathBuf::from);
    Stack::read(&file).context("no local stack is up; start one with: cargo xtask up --detach")
}
