//! Collects the facts. A part that cannot be read is reported as such and does not hide the others.
//!
//! # Layout
//!
//! | to change | open |
//! |---|---|
//! | pushes and their progress; outages of providers | `pushes` |
//! | how fast they go | `pace` |
//! | functions, their invocations and errors | `functions` |
//! | queues, dead letters and their age | `queues` |
//! | tables and their first items | `tables` |
//! | e-mails and text messages | `inbox` |
//! | CloudWatch queries | `metrics` |
//! | what only an emulator shows | `emulator` |

mod emulator;
mod functions;
mod inbox;
mod metrics;
mod pace;
mod pushes;
mod queues;
mod tables;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use client::{Deployment, Stack};
use domain::TransportId;
use jiff::Timestamp;

use super::concerns::concerns;
use super::view::{Function, Inbox, Part, ReadError, Status, Table};
use crate::target::Target;
use functions::FunctionObserver;
use pushes::PushObserver;
use queues::QueueObserver;
use tables::TableObserver;

/// How long facts about functions and tables are reused: they change slowly and take many calls.
const SLOW_FACTS_TTL: Duration = Duration::from_secs(3);

/// Observes one deployment.
pub(super) struct Observer {
    /// Set for a local stack; `on_aws` is set otherwise.
    stack: Option<Stack>,
    on_aws: Option<String>,
    http: reqwest::Client,
    pushes: PushObserver,
    functions: FunctionObserver,
    queues: QueueObserver,
    tables: TableObserver,
    slow: Option<(Instant, SlowFacts)>,
}

/// Facts that are refreshed less often.
#[derive(Clone, Default)]
struct SlowFacts {
    functions: Vec<Function>,
    tables: Vec<Table>,
    /// The transports of all channels.
    transports: BTreeSet<TransportId>,
    read_errors: Vec<ReadError>,
}

impl Observer {
    pub(super) fn new(observed: Target) -> Self {
        let (stack, on_aws, deployment) = match observed {
            Target::Local(stack) => {
                let deployment = Deployment::local(&stack);
                (Some(*stack), None, deployment)
            }
            Target::OnAws(name, deployment) => (None, Some(name), *deployment),
        };
        Self {
            http: reqwest::Client::new(),
            pushes: PushObserver::new(&deployment),
            functions: FunctionObserver::new(&deployment, on_aws.is_some()),
            queues: QueueObserver::new(&deployment, stack.clone()),
            tables: TableObserver::new(&deployment, on_aws.is_some()),
            stack,
            on_aws,
            slow: None,
        }
    }

    /// Collects the current facts.
    pub(super) async fn observe(&mut self) -> Status {
        let slow = match self.slow.take().filter(|(at, _)| at.elapsed() < SLOW_FACTS_TTL) {
            Some((at, slow)) => (at, slow),
            None => (Instant::now(), self.observe_slow().await),
        };
        let SlowFacts { functions, tables, transports, mut read_errors } = slow.1.clone();
        self.slow = Some(slow);
        let (queues, inbox) = tokio::join!(self.queues.observe(), self.inbox());
        let queues = or_record_error(queues, Part::Queues, &mut read_errors);
        let inbox = or_record_error(inbox, Part::Inbox, &mut read_errors);
        let customers = tables.iter().find(|table| table.name == "customers").map_or(0, |table| table.items);
        let pushes = self.pushes.observe(customers, &transports, &queues).await;
        let pushes = or_record_error(pushes, Part::Pushes, &mut read_errors);
        let transports = self.pushes.transports(&transports).await;
        let transports = or_record_error(transports, Part::Transports, &mut read_errors);
        let mut status = Status {
            at: Timestamp::now(),
            on_aws: self.on_aws.clone(),
            pushes,
            transports,
            functions,
            queues,
            tables,
            inbox,
            read_errors,
            concerns: Vec::new(),
        };
        status.concerns = concerns(&status);
        status
    }

    async fn observe_slow(&self) -> SlowFacts {
        let mut slow = SlowFacts::default();
        let (functions, tables) = tokio::join!(self.functions.observe(), self.tables.observe());
        if let Ok((_, transports)) = &functions {
            slow.transports.clone_from(transports);
        }
        slow.functions =
            or_record_error(functions.map(|(functions, _)| functions), Part::Functions, &mut slow.read_errors);
        slow.tables = or_record_error(tables, Part::Tables, &mut slow.read_errors);
        slow
    }

    async fn inbox(&self) -> Result<Option<Inbox>> {
        match &self.stack {
            Some(stack) => Ok(Some(inbox::observe(&self.http, stack).await?)),
            None => Ok(None),
        }
    }
}

fn or_record_error<T: Default>(observed: Result<T>, part: Part, read_errors: &mut Vec<ReadError>) -> T {
    observed.unwrap_or_else(|error| {
        read_errors.push(ReadError { part, error: format!("{error:#}") });
        T::default()
    })
}
