//! Looks at everything. What cannot be looked at is told, and hides nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use aws_sdk_sqs::types::QueueAttributeName;
use client::{Deployment, Stack, logged};
use domain::push::waiting::Delays;
use domain::{PushId, TransportId};
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use store::pushes::Progress;
use store::{Offers, Pushes, StoreError, TransportLimits};

use super::{Email, Function, Inbox, Observed, Push, Queue, Status, Table, TextMessage};
use crate::redrive::DEAD_LETTERS;

/// Offers whose last push is shown.
const OFFERS: u16 = 8;
/// Open pushes that are shown.
const OPEN: u16 = 20;
/// Queues whose dead letters hold pushes up: a push waits for the batches and slices in them.
const HOLD_UP: [&str; 3] = ["audience", "email", "sms"];
/// Items of a table, e-mails and text messages that are shown.
const FIRST: i32 = 3;
const MESSAGES: usize = 6;
/// How far back invocations and errors are counted.
const BACK: Duration = Duration::from_secs(3600);
/// The longest period of CloudWatch's in which a queue's age is looked for.
const AGE_BACK: Duration = Duration::from_secs(300);
/// Functions and tables change slowly, and looking at them takes many calls.
const SLOWLY: Duration = Duration::from_secs(3);

/// Looks at one deployment, again and again.
pub(super) struct Observer {
    /// Where it is on this machine, and its name on AWS.
    stack: Option<Stack>,
    on_aws: Option<String>,
    deployment: Deployment,
    http: reqwest::Client,
    lambda: aws_sdk_lambda::Client,
    sqs: aws_sdk_sqs::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    offers: Offers,
    pushes: Pushes,
    limits: TransportLimits,
    /// Pushes whose notifications all have an outcome: they do not change any more.
    over: HashMap<PushId, Push>,
    slow: Option<(Instant, Slow)>,
}

/// What is looked at less often.
#[derive(Clone, Default)]
struct Slow {
    functions: Vec<Function>,
    tables: Vec<Table>,
    /// What carries each channel.
    transports: BTreeSet<TransportId>,
    faults: Vec<String>,
}

impl Observer {
    pub(super) fn new(observed: Observed) -> Self {
        let (stack, on_aws, deployment) = match observed {
            Observed::Local(stack) => {
                let deployment = Deployment::local(&stack);
                (Some(*stack), None, deployment)
            }
            Observed::OnAws(name, deployment) => (None, Some(name), *deployment),
        };
        let dynamodb = aws_sdk_dynamodb::Client::new(&deployment.sdk);
        // An unknown name is told as what it is: a table that is not there.
        let table = |name: &str| deployment.tables.get(name).cloned().unwrap_or_else(|| name.to_owned());
        Self {
            http: reqwest::Client::new(),
            lambda: aws_sdk_lambda::Client::new(&deployment.sdk),
            sqs: aws_sdk_sqs::Client::new(&deployment.sdk),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&deployment.sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(&deployment.sdk),
            offers: Offers::new(dynamodb.clone(), table("offers")),
            pushes: Pushes::new(dynamodb.clone(), table("pushes")),
            limits: TransportLimits::new(dynamodb.clone(), table("pacing")),
            dynamodb,
            stack,
            on_aws,
            deployment,
            over: HashMap::new(),
            slow: None,
        }
    }

    /// How everything is now.
    pub(super) async fn look(&mut self) -> Status {
        let slow = match self.slow.take().filter(|(at, _)| at.elapsed() < SLOWLY) {
            Some((at, slow)) => (at, slow),
            None => (Instant::now(), self.look_slowly().await),
        };
        let Slow { functions, tables, transports, mut faults } = slow.1.clone();
        self.slow = Some(slow);
        let (queues, inbox) = tokio::join!(self.queues(), self.inbox());
        let queues = or_fault(queues, "queues", &mut faults);
        let inbox = or_fault(inbox, "inbox", &mut faults);
        let customers = tables.iter().find(|table| table.name == "customers").map_or(0, |table| table.items);
        let pushes = self.pushes(customers, &transports, &queues).await;
        let pushes = or_fault(pushes, "pushes", &mut faults);
        Status { at: Timestamp::now(), on_aws: self.on_aws.clone(), pushes, functions, queues, tables, inbox, faults }
    }

    async fn look_slowly(&self) -> Slow {
        let mut slow = Slow::default();
        let (functions, tables) = tokio::join!(self.functions(), self.tables());
        if let Ok((_, transports)) = &functions {
            slow.transports.clone_from(transports);
        }
        slow.functions = or_fault(functions.map(|(functions, _)| functions), "functions", &mut slow.faults);
        slow.tables = or_fault(tables, "tables", &mut slow.faults);
        slow
    }

    // ---- Pushes ----

    /// Open pushes and the last of each of the newest offers, newest first.
    async fn pushes(
        &mut self,
        customers: u64,
        transports: &BTreeSet<TransportId>,
        queues: &[Queue],
    ) -> Result<Vec<Push>> {
        let wanted = self.wanted().await?;
        self.over.retain(|id, _| wanted.contains_key(id));
        let unsure = wanted.keys().filter(|id| !self.over.contains_key(id));
        // What is requested and not begun yet shows up in a moment.
        let found = try_join_all(unsure.map(|id| self.pushes.progress(*id))).await?.into_iter().flatten();
        let delays = self.delays(transports).await?;
        let dead_letters: Vec<_> = queues
            .iter()
            .filter_map(|queue| Some((queue.name.strip_suffix(DEAD_LETTERS)?, queue.depth())))
            .filter(|(queue, _)| HOLD_UP.contains(queue))
            .collect();
        let mut pushes: Vec<_> = self.over.values().cloned().collect();
        for progress in found {
            let id = progress.push.id;
            let push = view(&progress, wanted[&id].clone(), customers, &delays, &dead_letters);
            // One that was called off still hears of batches that were queued.
            if !progress.push.state.is_open() && progress.pending() == 0 {
                self.over.insert(id, push.clone());
            }
            pushes.push(push);
        }
        pushes.sort_by_key(|push| (std::cmp::Reverse(push.requested_at), push.offer.clone(), push.number));
        Ok(pushes)
    }

    /// The pushes to show, with their offers' codes.
    async fn wanted(&self) -> Result<HashMap<PushId, String>> {
        let (open, newest) = tokio::try_join!(self.pushes.list_open(OPEN, None), self.offers.list(OFFERS, None))?;
        let newest: HashMap<_, _> = newest.items.into_iter().map(|offer| (offer.id, offer.code)).collect();
        let last = newest.iter().map(|(offer, code)| async move {
            let number = self.offers.last_push_number(*offer).await?;
            Ok::<_, StoreError>(number.map(|number| (PushId { offer: *offer, number }, code.clone())))
        });
        let open = open.items.iter().map(|push| {
            let known = newest.get(&push.id.offer).cloned();
            async move {
                let code = match known {
                    Some(code) => Some(code),
                    None => self.offers.get(push.id.offer).await?.map(|offer| offer.code),
                };
                Ok(code.map(|code| (push.id, code)))
            }
        });
        let (last, open) = tokio::try_join!(try_join_all(last), try_join_all(open))?;
        Ok(last.into_iter().chain(open).flatten().collect())
    }

    async fn delays(&self, transports: &BTreeSet<TransportId>) -> Result<Delays> {
        let mut delays = Delays::new();
        for transport in transports {
            let delay = self.limits.delay(*transport).await?;
            delays.entry(transport.channel()).or_default().insert(*transport, delay);
        }
        Ok(delays)
    }

    // ---- Functions ----

    /// All functions, and what carries each channel, which one of them knows.
    async fn functions(&self) -> Result<(Vec<Function>, BTreeSet<TransportId>)> {
        let counts = self.counts().await?;
        let mut transports = BTreeSet::from([TransportId::Sns]);
        let looked = self.deployment.functions.iter().map(|(name, function)| async move {
            let configuration = self.lambda.get_function_configuration().function_name(function);
            let sources = self.lambda.list_event_source_mappings().function_name(function);
            let (configuration, sources) =
                tokio::try_join!(async { Ok::<_, anyhow::Error>(configuration.send().await?) }, async {
                    Ok(sources.send().await?)
                })?;
            Ok::<_, anyhow::Error>((name, function, configuration, sources))
        });
        let mut functions = Vec::new();
        for looked in join_all(looked).await {
            let (name, function, configuration, sources) = looked?;
            let is_held = sources.event_source_mappings().iter().any(|source| source.state() == Some("Disabled"));
            if name == "offer" {
                let variables = configuration.environment.and_then(|environment| environment.variables);
                let variables = variables.unwrap_or_default();
                let named = ["EMAIL_TRANSPORT", "FALLBACK_EMAIL_TRANSPORT"].map(|name| variables.get(name).cloned());
                transports.extend(named.into_iter().flatten().filter_map(|name| name.parse::<TransportId>().ok()));
            }
            let Counts { invocations, errors } = counts.get(name).copied().unwrap_or_default();
            functions.push(Function {
                name: name.clone(),
                function: function.clone(),
                state: match configuration.state {
                    _ if is_held => "Held".to_owned(),
                    Some(state) => state.as_str().to_owned(),
                    None => "Unknown".to_owned(),
                },
                invocations,
                errors,
            });
        }
        Ok((functions, transports))
    }

    /// How often each function was invoked, and its errors, in the last hour.
    async fn counts(&self) -> Result<HashMap<String, Counts>> {
        if self.on_aws.is_none() {
            return self.counts_logged().await;
        }
        let functions = &self.deployment.functions;
        let series = |metric| {
            functions.values().map(move |function| Series {
                namespace: "AWS/Lambda",
                metric,
                dimension: ("FunctionName", function),
                statistic: "Sum",
            })
        };
        let sums = self.metrics(BACK, series("Invocations").chain(series("Errors"))).await?;
        let sums: Vec<_> = sums.into_iter().map(|values| whole(values.into_iter().sum())).collect();
        let (invocations, errors) = sums.split_at(functions.len());
        let counts = invocations
            .iter()
            .zip(errors)
            .map(|(invocations, errors)| Counts { invocations: *invocations, errors: *errors });
        Ok(functions.keys().cloned().zip(counts).collect())
    }

    /// The same from the logs: local stacks count only some of the invocations.
    async fn counts_logged(&self) -> Result<HashMap<String, Counts>> {
        let since = SystemTime::now() - BACK;
        let counted = self.deployment.functions.iter().map(|(name, function)| async move {
            let mut counts = Counts::default();
            let events = logged(&self.logs, function, since).await?;
            for message in events.iter().filter_map(FilteredLogEvent::message) {
                counts.invocations += u64::from(message.starts_with("START RequestId"));
                counts.errors += u64::from(message.trim_start().starts_with("ERROR"));
            }
            anyhow::Ok((name.clone(), counts))
        });
        Ok(try_join_all(counted).await?.into_iter().collect())
    }

    /// What CloudWatch noted of each, in the order in which they are given.
    async fn metrics<'a>(&self, back: Duration, wanted: impl Iterator<Item = Series<'a>>) -> Result<Vec<Vec<f64>>> {
        let period = i32::try_from(back.as_secs())?;
        let queries =
            wanted.enumerate().map(|(i, Series { namespace, metric, dimension: (name, value), statistic })| {
                let metric = Metric::builder()
                    .namespace(namespace)
                    .metric_name(metric)
                    .dimensions(Dimension::builder().name(name).value(value).build());
                let stat = MetricStat::builder().metric(metric.build()).period(period).stat(statistic).build();
                MetricDataQuery::builder().id(format!("m{i}")).metric_stat(stat).build()
            });
        let queries: Vec<_> = queries.collect();
        let mut values = vec![Vec::new(); queries.len()];
        let now = SystemTime::now();
        let answer = self
            .cloudwatch
            .get_metric_data()
            .start_time((now - back).into())
            .end_time(now.into())
            .set_metric_data_queries(Some(queries))
            .send()
            .await
            .context("CloudWatch does not answer")?;
        for result in answer.metric_data_results() {
            let index: Option<usize> = result.id().and_then(|id| id.strip_prefix('m')?.parse().ok());
            if let Some(found) = index.and_then(|index| values.get_mut(index)) {
                found.extend(result.values());
            }
        }
        Ok(values)
    }

    // ---- Queues ----

    async fn queues(&self) -> Result<Vec<Queue>> {
        let looked = self.deployment.queues.iter().map(|(name, url)| async move {
            let call = self.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
            let attributes = call.send().await?.attributes.unwrap_or_default();
            let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or_default();
            let mut queue = Queue {
                name: name.clone(),
                is_dead_letters: name.ends_with(DEAD_LETTERS),
                waiting: count(QueueAttributeName::ApproximateNumberOfMessages),
                in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
                delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
                oldest: None,
            };
            if queue.depth() > 0 {
                queue.oldest = self.oldest(url).await?;
            }
            Ok::<_, anyhow::Error>(queue)
        });
        let mut queues = try_join_all(looked).await?;
        queues.sort_by_key(|queue| (queue.is_dead_letters, queue.name.clone()));
        Ok(queues)
    }

    /// The age of a queue's oldest message, in seconds.
    async fn oldest(&self, url: &str) -> Result<Option<u64>> {
        let Some(stack) = &self.stack else {
            let name = url.rsplit('/').next().unwrap_or_default();
            let age = Series {
                namespace: "AWS/SQS",
                metric: "ApproximateAgeOfOldestMessage",
                dimension: ("QueueName", name),
                statistic: "Maximum",
            };
            let ages = self.metrics(AGE_BACK, std::iter::once(age)).await?;
            return Ok(ages.into_iter().flatten().next().map(whole));
        };
        let messages = self.peek(stack, "sqs/messages", &[("QueueUrl", url)]).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let sent = earliest_sent(&messages).map(u128::from);
        Ok(sent.map(|sent| u64::try_from(now.saturating_sub(sent) / 1000).unwrap_or(u64::MAX)))
    }

    // ---- Tables ----

    async fn tables(&self) -> Result<Vec<Table>> {
        let looked = self.deployment.tables.iter().map(|(name, table)| async move {
            let described = self.dynamodb.describe_table().table_name(table).send().await?;
            let items = described.table.and_then(|table| table.item_count).unwrap_or_default();
            let mut first = Vec::new();
            if self.stack.is_some() {
                let scanned = self.dynamodb.scan().table_name(table).limit(FIRST).send().await?;
                for item in scanned.items.unwrap_or_default() {
                    first.push(serde_dynamo::from_item(item)?);
                }
            }
            let items = u64::try_from(items).unwrap_or_default();
            Ok::<_, anyhow::Error>(Table { name: name.clone(), table: table.clone(), items, first })
        });
        try_join_all(looked).await
    }

    // ---- What arrived ----

    async fn inbox(&self) -> Result<Option<Inbox>> {
        let Some(stack) = &self.stack else {
            return Ok(None);
        };
        let url = format!("{}api/messages?limit={MESSAGES}", stack.inbox_url);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        let emails = answer.headers().get("x-total-count").and_then(|count| count.to_str().ok()?.parse().ok());
        let newest_emails: Vec<Email> = answer.json().await?;
        let sent = self.peek(stack, "sns/sms-messages", &[("region", &stack.region)]).await?;
        let sent: SentTexts = serde_json::from_value(sent).context("the text messages cannot be read")?;
        let texts: Vec<_> = sent.sms_messages.into_values().flatten().collect();
        Ok(Some(Inbox {
            url: stack.inbox_url.clone(),
            emails: emails.context("the inbox does not tell how much it has")?,
            newest_emails,
            texts: texts.len() as u64,
            some_texts: texts
                .into_iter()
                .take(MESSAGES)
                .map(|text| TextMessage { to: text.phone_number, text: text.message })
                .collect(),
        }))
    }

    /// Looks at what AWS itself would not show: MiniStack's way, or else LocalStack's.
    async fn peek(&self, stack: &Stack, what: &str, query: &[(&str, &str)]) -> Result<Value> {
        for root in ["_ministack", "_aws"] {
            let url = reqwest::Url::parse_with_params(&format!("{}/{root}/{what}", stack.endpoint_url), query)?;
            let answer = self.http.get(url).header("accept", "application/json").send().await?;
            if answer.status().is_success() {
                return Ok(answer.json().await?);
            }
        }
        anyhow::bail!("the stack does not show its {what}")
    }
}

/// What a function did in the last hour.
#[derive(Clone, Copy, Default)]
struct Counts {
    invocations: u64,
    errors: u64,
}

/// A series of CloudWatch's.
struct Series<'a> {
    namespace: &'a str,
    metric: &'a str,
    dimension: (&'a str, &'a str),
    statistic: &'a str,
}

#[derive(Deserialize)]
struct SentTexts {
    sms_messages: BTreeMap<String, Vec<SentText>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SentText {
    phone_number: String,
    message: String,
}

/// CloudWatch's values are fractional, what they count is not.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast of a count")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn or_fault<T: Default>(looked: Result<T>, what: &str, faults: &mut Vec<String>) -> T {
    looked.unwrap_or_else(|error| {
        faults.push(format!("The {what} cannot be looked at: {error:#}"));
        T::default()
    })
}

fn view(progress: &Progress, code: String, customers: u64, delays: &Delays, dead_letters: &[(&str, u64)]) -> Push {
    let wait = progress.wait(delays, dead_letters, Timestamp::now());
    Push {
        offer: progress.push.id.offer.to_string(),
        number: progress.push.id.number,
        code,
        state: progress.push.state,
        percent: percent(progress, customers),
        eligible: progress.scan.notifications,
        pending: progress.pending(),
        outcomes: progress.outcomes,
        requested_at: progress.push.requested_at,
        completed_at: progress.push.completed_at,
        waiting_for: wait.reason,
        last_error: wait.last_error,
    }
}

/// How much of a push is done. Of a table of `customers`, as many are taken to be eligible among those not yet read as among
/// those read.
fn percent(progress: &Progress, customers: u64) -> u8 {
    if !progress.push.state.is_open() {
        return 100;
    }
    let (read, found) = (u128::from(progress.scan.customers_read), u128::from(progress.scan.notifications));
    let expected = found * u128::from(customers).max(read);
    let percent = (100 * u128::from(progress.outcomes.total()) * read).checked_div(expected).unwrap_or_default();
    u8::try_from(percent).unwrap_or(99).min(99)
}

/// When the oldest of some messages was sent, in milliseconds since 1970, wherever it stands: as an attribute in an object
/// (MiniStack), or as one's name and value (LocalStack, in SQS's older form).
fn earliest_sent(json: &Value) -> Option<u64> {
    const SENT: &str = "SentTimestamp";
    let millis = |value: &Value| value.as_str()?.parse().ok();
    match json {
        Value::Array(values) => values.iter().filter_map(earliest_sent).min(),
        Value::Object(fields) if fields.get("Name").is_some_and(|name| name == SENT) => millis(fields.get("Value")?),
        Value::Object(fields) => {
            let own = fields.get(SENT).and_then(millis);
            own.into_iter().chain(fields.values().filter_map(earliest_sent)).min()
        }
        _ => None,
    }
}
