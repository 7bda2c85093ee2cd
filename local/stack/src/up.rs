//! `up` and `down`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use client::{Deployment, Stack};
use offercast::{logs, output};

use crate::deploy::Aws;
use crate::emulator::Emulator;
use crate::options::Options;
use crate::packages::Deployable;
use crate::process::Running;
use crate::running_stack::{Chosen, RunningStack};
use crate::services::{INBOX, STATUS_PAGE};
use crate::settings::{check_names, settings};
use crate::shutdown::{Interrupted, ShutdownSignal};
use crate::stack_dir::{REGION, StackDir};
use crate::{mail_server, private_file, sample, services};

/// Preferred ports of AWS, the inbox's SMTP server, the inbox and the status page; any free port is used instead of one that is
/// taken.
const PORTS: [u16; 4] = [4566, 1025, 8025, 8030];

/// What `up` was asked for.
pub(crate) struct Up {
    pub(crate) options: Options,
    /// Return once everything is up.
    pub(crate) detach: bool,
    /// Forget the settings of the last `up`.
    pub(crate) reset: bool,
    pub(crate) ports: Option<[u16; 4]>,
    /// Deploy this archive of a release.
    pub(crate) package: Option<PathBuf>,
}

/// Starts the stack, or updates the one that is up.
pub(crate) async fn up(dir: &StackDir, up: Up) -> Result<()> {
    let shutdown = ShutdownSignal::listen()?;
    let mut before = RunningStack::load(&dir.processes_file());
    tokio::select! {
        restarted = restart_ended(dir, &mut before) => restarted?,
        () = shutdown.wait() => return Err(Interrupted.into()),
    }
    let was_up = before.is_up();
    let chosen = Chosen::now(&up.options, Some(&before.chosen).filter(|_| was_up && !up.reset));
    if was_up && up.ports.is_some_and(|ports| before.ports != Some(ports)) {
        bail!("other --ports are for a stack that is not up yet; stop this one first with: cargo xtask down");
    }
    let bring_up = async {
        let stack = deploy(dir, &up.options, &chosen, up.ports.unwrap_or(PORTS), up.package.as_deref()).await?;
        sample::show(&stack, chosen.smtp.is_none()).await?;
        Ok(stack)
    };
    let stack = tokio::select! {
        stack = bring_up => stack,
        () = shutdown.wait() => Err(Interrupted.into()),
    };
    let stack = match stack {
        Ok(stack) => stack,
        Err(error) => {
            // A stack that was already up stays up.
            if !was_up {
                stop(dir)?;
            }
            return Err(error);
        }
    };
    let inbox = RunningStack::load(&dir.processes_file()).inbox_smtp_url;
    print_endpoints(&stack, chosen.smtp.as_deref().filter(|url| url.trim_end_matches('/') != inbox));
    warn_about_mail(&chosen, was_up.then_some(&before.chosen)).await;
    if up.detach {
        println!("\n  Stop it with: cargo xtask down");
        return Ok(());
    }
    let what = if was_up { "stop showing them; the stack stays up" } else { "stop everything" };
    println!("\n  The functions' logs follow. Press Ctrl-C to {what}.\n");
    let deployment = Deployment::local(&stack);
    tokio::select! {
        shown = logs::follow(&deployment) => shown?,
        () = shutdown.wait() => {}
    }
    println!();
    if was_up { Ok(()) } else { down(dir) }
}

impl Chosen {
    /// What is chosen now, and else what was `before`.
    fn now(options: &Options, before: Option<&Self>) -> Self {
        let mut chosen = before.cloned().unwrap_or_default();
        if options.smtp.is_some() {
            chosen.smtp.clone_from(&options.smtp);
        }
        chosen.set.extend(options.set.iter().cloned());
        chosen
    }
}

/// Starts the services unless they are running, and deploys the current build, or an archive of a release, with these settings
/// alone.
pub(crate) async fn prepare(dir: &StackDir, options: &Options, release: Option<&Path>) -> Result<Stack> {
    deploy(dir, options, &Chosen::now(options, None), PORTS, release).await
}

async fn deploy(
    dir: &StackDir,
    options: &Options,
    chosen: &Chosen,
    ports: [u16; 4],
    release: Option<&Path>,
) -> Result<Stack> {
    let deployable = release.map_or_else(|| Deployable::of_workspace(dir), Deployable::of_release)?;
    if let Some(release) = release {
        output::note(&format!("The functions and template.yaml are those of {}", release.display()));
    }
    check_names(&deployable.template, chosen.set.keys())?;
    let mut running = RunningStack::load(&dir.processes_file());
    let emulator = options.stack.clone().unwrap_or_else(|| running.emulator.clone());
    emulator.install(dir)?;
    let before = Stack::read(&dir.stack_file()).ok().filter(|_| running.is_up());
    if before.is_none() {
        running = start(dir, emulator, ports).await?;
    } else if running.emulator != emulator {
        bail!("a stack with another emulator is up at {}; stop it first with: cargo xtask down", running.endpoint_url);
    }
    let endpoint = running.endpoint_url.clone();
    let smtp_url = chosen.smtp.clone().unwrap_or_else(|| running.inbox_smtp_url.clone());

    let aws = Aws::at(&endpoint, running.administrator.credentials());
    let settings = settings(&deployable.template, &running.emulator, &endpoint, &smtp_url, &chosen.set);
    let outputs = aws.deploy(&deployable, &settings).await?;
    // Now that they are accepted: else the next `up` would fail because of them as well.
    running.chosen = chosen.clone();
    running.save(&dir.processes_file())?;
    let credentials = match before {
        Some(stack) => stack.credentials(),
        None => aws.create_user().await?,
    };
    let output = |name: &str| outputs.get(name).with_context(|| format!("template.yaml has no output {name}"));
    let sdk = client::sdk_config(&endpoint, REGION, credentials.clone());
    let Deployment { functions, tables, queues, .. } = Deployment::of(sdk, &outputs);
    let stack = Stack {
        api_url: format!("{endpoint}/_aws/execute-api/{}/{}", output("ApiId")?, output("ApiStage")?),
        endpoint_url: endpoint,
        inbox_url: running.inbox_url,
        status_url: Some(running.status_url),
        smtp_url,
        region: REGION.to_owned(),
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: credentials.secret_access_key().to_owned(),
        functions,
        tables,
        queues,
    };
    private_file::write(&dir.stack_file(), &serde_json::to_vec_pretty(&stack)?)?;
    Ok(stack)
}

async fn start(dir: &StackDir, emulator: Emulator, ports: [u16; 4]) -> Result<RunningStack> {
    let [aws_port, smtp_port, inbox_port, status_port] = ports;
    // Stop the remaining processes of a partly stopped stack.
    stop(dir)?;
    let step = output::step("Starting the AWS emulator, the inbox and the status page");
    let mut running = RunningStack { ports: Some(ports), ..RunningStack::default() };
    // Fixed ports for the stack that people use; any free port for the others, since several may start at the same
    // time.
    let port = |usual| services::free_port(if dir.is_default() { usual } else { 0 });
    let aws_port = port(aws_port)?;
    running.emulator = emulator;
    running.endpoint_url = running.emulator.url(aws_port);
    running.administrator = running.emulator.administrator()?;
    if let Some((aws, ready)) = running.emulator.start(dir, aws_port, &running.administrator)? {
        record_and_wait(dir, &mut running, aws, &ready, "aws.log").await?;
    }
    running.inbox_smtp_url = format!("smtp://127.0.0.1:{}", port(smtp_port)?);
    running.inbox_url = format!("http://127.0.0.1:{}/", port(inbox_port)?);
    start_inbox(dir, &mut running).await?;
    running.status_url = format!("http://127.0.0.1:{}/", port(status_port)?);
    start_status_page(dir, &mut running).await?;
    step.done("ready");
    Ok(running)
}

/// Starts again what has ended of a stack whose emulator runs, which has its data. Without that, the stack begins anew.
async fn restart_ended(dir: &StackDir, running: &mut RunningStack) -> Result<()> {
    let is_service = |process: &Running| [INBOX, STATUS_PAGE].contains(&process.name.as_str());
    let ended: Vec<_> = running.processes.iter().filter(|process| !process.is_alive()).cloned().collect();
    if ended.iter().any(|process| !is_service(process)) {
        output::warning("the stack's AWS emulator has ended, and its data with it: the stack begins anew");
        return Ok(());
    }
    for Running { name, .. } in ended {
        let lost =
            if name == INBOX { ", without the e-mails that it had; who got them is still in the tables" } else { "" };
        output::note(&format!("{name} has ended, and is started again{lost}"));
        if name == INBOX {
            start_inbox(dir, running).await?;
        } else {
            start_status_page(dir, running).await?;
        }
    }
    Ok(())
}

/// Starts the inbox at the ports that its URLs name.
async fn start_inbox(dir: &StackDir, running: &mut RunningStack) -> Result<()> {
    let [smtp, web] = [&running.inbox_smtp_url, &running.inbox_url].map(|url| port_of(url));
    let inbox = services::start_inbox(dir, smtp?, web?, &running.endpoint_url)?;
    let url = running.inbox_url.clone();
    record_and_wait(dir, running, inbox, &url, "inbox.log").await
}

/// Starts the status page at the port that its URL names.
async fn start_status_page(dir: &StackDir, running: &mut RunningStack) -> Result<()> {
    let page = services::start_status(dir, port_of(&running.status_url)?)?;
    let url = running.status_url.clone();
    record_and_wait(dir, running, page, &url, "status.log").await
}

/// The port that a URL names.
fn port_of(url: &str) -> Result<u16> {
    let url = reqwest::Url::parse(url).with_context(|| format!("{url} is no URL"))?;
    url.port().with_context(|| format!("{url} has no port"))
}

/// Records a started process before anything can fail, so that `down` finds it, in place of one that has ended; then waits until it
/// is ready.
async fn record_and_wait(
    dir: &StackDir,
    running: &mut RunningStack,
    started: Running,
    url: &str,
    log: &str,
) -> Result<()> {
    running.processes.retain(|process| process.name != started.name);
    running.processes.push(started.clone());
    running.save(&dir.processes_file())?;
    services::wait_until_ready(&started, url, &dir.path().join(log)).await
}

/// Stops what `up` started.
pub(crate) fn down(dir: &StackDir) -> Result<()> {
    match stop(dir)? {
        0 => println!("Nothing was running."),
        _ => println!("Everything is stopped."),
    }
    Ok(())
}

/// Stops all processes, removes their record, and returns how many were running.
pub(crate) fn stop(dir: &StackDir) -> Result<usize> {
    let ended = RunningStack::load(&dir.processes_file()).stop();
    for file in [dir.stack_file(), dir.processes_file()] {
        if file.exists() {
            std::fs::remove_file(file)?;
        }
    }
    // The unpacked code of the functions; the next stack unpacks it again.
    let code = dir.path().join("tmp");
    if code.exists() {
        std::fs::remove_dir_all(code)?;
    }
    Ok(ended)
}

/// Says what would otherwise be found out by a missing e-mail.
async fn warn_about_mail(chosen: &Chosen, before: Option<&Chosen>) {
    if let Some(url) = &chosen.smtp
        && let Some(refusal) = mail_server::refusal(url).await
    {
        output::warning(&format!(
            "the mail server does not accept a connection ({refusal}). E-mails wait until it does; cargo xtask status shows it. \
             Back to the inbox: cargo xtask up --reset"
        ));
    }
    if before.is_some_and(|before| before.smtp != chosen.smtp) {
        println!("\n  Running functions send e-mail to the new server within a minute.");
    }
}

fn print_endpoints(stack: &Stack, smtp: Option<&str>) {
    println!("\n  Status   {}", stack.status_url.as_deref().unwrap_or_default());
    match smtp {
        None => println!("  Inbox    {}", stack.inbox_url),
        Some(url) => {
            let server = mail_server::shown(url).unwrap_or_else(|| "the server of --smtp".to_owned());
            println!("  E-mail   goes to {server}, not to the inbox at {}", stack.inbox_url);
        }
    }
    println!("  API      {}", stack.api_url);
    println!("  Details  target/stack/stack.json\n");
    println!("  Try it:");
    println!(
        "    cargo xtask call POST /offers '{{\"code\":\"HELLO\",\"description\":\"Hello {{{{ customer.name }}}}\"}}'"
    );
    println!("  or with curl:");
    println!(
        "    curl --aws-sigv4 aws:amz:{}:execute-api --user {}:{} \\\n      --json '{{\"code\":\"HELLO\",\"description\":\"Hello\"}}' {}/offers",
        stack.region, stack.access_key_id, stack.secret_access_key, stack.api_url
    );
}
