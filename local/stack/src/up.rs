//! `up` and `down`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use client::{Deployment, Stack};

use crate::deploy::Aws;
use crate::emulator::Emulator;
use crate::options::Options;
use crate::place::{Place, REGION};
use crate::process::Running;
use crate::run::Run;
use crate::shutdown::Stopped;
use crate::{logs, package, progress, sample, services};

/// The ports that are taken if they are free.
const AWS_PORT: u16 = 4566;
const SMTP_PORT: u16 = 1025;
const INBOX_PORT: u16 = 8025;
const STATUS_PORT: u16 = 8030;

/// Brings the stack up, or up to date.
pub(crate) async fn up(place: &Place, options: &Options, detach: bool) -> Result<()> {
    let stopped = Stopped::listen()?;
    let was_up = Run::load(&place.processes_file()).is_up();
    let bring_up = async {
        let stack = prepare(place, options).await?;
        sample::show(&stack, options.smtp.is_none()).await?;
        Ok(stack)
    };
    let stack = tokio::select! {
        stack = bring_up => stack,
        () = stopped.wait() => Err(anyhow::anyhow!("stopped")),
    };
    let stack = match stack {
        Ok(stack) => stack,
        Err(error) => {
            // What was up before stays up.
            if !was_up {
                end(place)?;
            }
            return Err(error);
        }
    };
    tell(&stack);
    if detach {
        println!("\n  End it with: cargo xtask down");
        return Ok(());
    }
    let deployment = Deployment::local(&stack);
    println!("\n  The functions' logs follow. Ctrl-C ends everything.\n");
    tokio::select! {
        shown = logs::follow(&deployment, None) => shown?,
        () = stopped.wait() => {}
    }
    println!();
    down(place)
}

/// Builds, starts and deploys; a stack that runs already is brought up to date.
pub(crate) async fn prepare(place: &Place, options: &Options) -> Result<Stack> {
    let mut run = Run::load(&place.processes_file());
    let emulator = options.stack.clone().unwrap_or_else(|| run.emulator.clone());
    emulator.install(place)?;
    let packages = package::all(place)?;
    let before = Stack::read(&place.stack_file()).ok().filter(|_| run.is_up());
    if before.is_none() {
        run = start(place, emulator).await?;
    } else if run.emulator != emulator {
        bail!("another stack is up, at {}; end it first with: cargo xtask down", run.endpoint_url);
    }
    let endpoint = run.endpoint_url;
    let smtp_url = options.smtp.clone().unwrap_or_else(|| run.inbox_smtp_url.clone());

    let aws = Aws::at(&endpoint);
    let mut settings = BTreeMap::from([
        ("EmailTransport".to_owned(), "smtp".to_owned()),
        ("SmtpUrl".to_owned(), smtp_url.clone()),
        ("PublicUrl".to_owned(), format!("{endpoint}/_aws/execute-api/{{api}}/v1")),
        // More than a machine carries.
        ("EmailRatePerSecond".to_owned(), "10000".to_owned()),
        ("FallbackEmailRatePerSecond".to_owned(), "10000".to_owned()),
        ("SmsRatePerSecond".to_owned(), "10000".to_owned()),
        ("ApiRatePerSecond".to_owned(), "10000".to_owned()),
        ("PublicRatePerSecond".to_owned(), "10000".to_owned()),
        // No local stack has archives.
        ("EventArchiveDays".to_owned(), "0".to_owned()),
    ]);
    if !run.emulator.knows_opt_outs() {
        settings.insert("CheckSmsOptOuts".to_owned(), "false".to_owned());
    }
    if cfg!(target_arch = "x86_64") {
        settings.insert("Architecture".to_owned(), "x86_64".to_owned());
    }
    settings.extend(options.set.iter().cloned());
    let outputs = aws.deploy(place, &packages, &settings).await?;
    let credentials = match before {
        Some(stack) => stack.credentials(),
        None => aws.make_user().await?,
    };
    let output = |name: &str| outputs.get(name).with_context(|| format!("the template has no output {name}"));
    let sdk = client::sdk_config(&endpoint, REGION, credentials.clone());
    let Deployment { functions, tables, queues, .. } = Deployment::of(sdk, &outputs);
    let stack = Stack {
        api_url: format!("{endpoint}/_aws/execute-api/{}/{}", output("ApiId")?, output("ApiStage")?),
        endpoint_url: endpoint,
        inbox_url: run.inbox_url,
        status_url: Some(run.status_url),
        smtp_url,
        region: REGION.to_owned(),
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: credentials.secret_access_key().to_owned(),
        functions,
        tables,
        queues,
    };
    std::fs::write(place.stack_file(), serde_json::to_vec_pretty(&stack)?)?;
    Ok(stack)
}

async fn start(place: &Place, emulator: Emulator) -> Result<Run> {
    // What is left of a stack that is no longer whole.
    end(place)?;
    let step = progress::step("Starting the AWS stack, the inbox and the status page");
    let mut run = Run::default();
    // Where people look for it; tests take any, since several stacks may start at the same moment.
    let port = |usual| services::free_port(if place.is_for_people() { usual } else { 0 });
    let aws_port = port(AWS_PORT)?;
    run.emulator = emulator;
    run.endpoint_url = run.emulator.url(aws_port);
    if let Some((aws, ready)) = run.emulator.start(place, aws_port)? {
        note(place, &mut run, aws, &ready, "aws.log").await?;
    }
    let smtp_port = port(SMTP_PORT)?;
    let inbox_port = port(INBOX_PORT)?;
    let inbox = services::start_inbox(place, smtp_port, inbox_port)?;
    run.inbox_smtp_url = format!("smtp://127.0.0.1:{smtp_port}");
    let inbox_url = format!("http://127.0.0.1:{inbox_port}/");
    run.inbox_url.clone_from(&inbox_url);
    note(place, &mut run, inbox, &inbox_url, "inbox.log").await?;
    let status_port = port(STATUS_PORT)?;
    let status = services::start_status(place, status_port)?;
    let status_url = format!("http://127.0.0.1:{status_port}/");
    run.status_url.clone_from(&status_url);
    note(place, &mut run, status, &status_url, "status.log").await?;
    step.done("ready");
    Ok(run)
}

/// Notes what was started, at once, so that nothing is left running whatever happens next; then waits until it answers.
async fn note(place: &Place, run: &mut Run, started: Running, url: &str, log: &str) -> Result<()> {
    run.processes.push(started.clone());
    run.save(&place.processes_file())?;
    services::ready(&started, url, &place.files().join(log)).await
}

/// Ends what `up` started, and says so.
pub(crate) fn down(place: &Place) -> Result<()> {
    match end(place)? {
        0 => println!("Nothing was up."),
        _ => println!("Everything is down."),
    }
    Ok(())
}

/// Ends what was started and forgets where it was. Answers how many processes ran.
pub(crate) fn end(place: &Place) -> Result<usize> {
    let ended = Run::load(&place.processes_file()).end();
    for file in [place.stack_file(), place.processes_file()] {
        if file.exists() {
            std::fs::remove_file(file)?;
        }
    }
    // The code that functions ran from; the next stack unpacks it anew.
    let code = place.files().join("tmp");
    if code.exists() {
        std::fs::remove_dir_all(code)?;
    }
    Ok(ended)
}

fn tell(stack: &Stack) {
    println!("\n  Status   {}", stack.status_url.as_deref().unwrap_or_default());
    println!("  Inbox    {}", stack.inbox_url);
    println!("  API      {}", stack.api_url);
    println!("  All else target/stack/stack.json\n");
    println!("  Try it:");
    println!(
        "    cargo xtask call POST /offer/create '{{\"code\":\"HELLO\",\"description\":\"Hello {{{{ customer.name }}}}\"}}'"
    );
    println!("  or, without our tools:");
    println!(
        "    curl --aws-sigv4 aws:amz:{}:execute-api --user {}:{} \\\n      --json '{{\"code\":\"HELLO\",\"description\":\"Hello\"}}' {}/offer/create",
        stack.region, stack.access_key_id, stack.secret_access_key, stack.api_url
    );
}
