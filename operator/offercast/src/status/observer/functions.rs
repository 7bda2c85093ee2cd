//! Functions: their state, and their invocations and errors in the last hour.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use client::{Deployment, logged};
use domain::TransportId;
use futures::future::{join_all, try_join_all};

use super::metrics::{Series, fetch, whole};
use crate::status::view::Function;

/// Period over which invocations and errors are counted.
const COUNT_PERIOD: Duration = Duration::from_secs(3600);

pub(super) struct FunctionObserver {
    is_on_aws: bool,
    functions: BTreeMap<String, String>,
    lambda: aws_sdk_lambda::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
}

/// A function's invocations and errors in [`COUNT_PERIOD`].
#[derive(Clone, Copy, Default)]
struct Counts {
    invocations: u64,
    errors: u64,
}

impl FunctionObserver {
    pub(super) fn new(deployment: &Deployment, is_on_aws: bool) -> Self {
        Self {
            is_on_aws,
            functions: deployment.functions.clone(),
            lambda: aws_sdk_lambda::Client::new(&deployment.sdk),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&deployment.sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(&deployment.sdk),
        }
    }

    /// All functions, and the transports of all channels, which are in the environment of `offer`.
    pub(super) async fn observe(&self) -> Result<(Vec<Function>, BTreeSet<TransportId>)> {
        let counts = self.counts().await?;
        let mut transports = BTreeSet::from([TransportId::Sns]);
        let observed = self.functions.iter().map(|(name, function)| async move {
            let configuration = self.lambda.get_function_configuration().function_name(function);
            let sources = self.lambda.list_event_source_mappings().function_name(function);
            let (configuration, sources) =
                tokio::try_join!(async { Ok::<_, anyhow::Error>(configuration.send().await?) }, async {
                    Ok(sources.send().await?)
                })?;
            Ok::<_, anyhow::Error>((name, function, configuration, sources))
        });
        let mut functions = Vec::new();
        for observed in join_all(observed).await {
            let (name, function, configuration, sources) = observed?;
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
                full_name: function.clone(),
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

    /// Invocations and errors of each function.
    async fn counts(&self) -> Result<HashMap<String, Counts>> {
        if !self.is_on_aws {
            return self.counts_from_logs().await;
        }
        let functions = &self.functions;
        let series = |metric| {
            functions.values().map(move |function| Series {
                namespace: "AWS/Lambda",
                metric,
                dimension: ("FunctionName", function),
                statistic: "Sum",
            })
        };
        let sums = fetch(&self.cloudwatch, COUNT_PERIOD, series("Invocations").chain(series("Errors"))).await?;
        let sums: Vec<_> = sums.into_iter().map(|values| whole(values.into_iter().sum())).collect();
        let (invocations, errors) = sums.split_at(functions.len());
        let counts = invocations
            .iter()
            .zip(errors)
            .map(|(invocations, errors)| Counts { invocations: *invocations, errors: *errors });
        Ok(functions.keys().cloned().zip(counts).collect())
    }

    /// The same from the logs: the emulators' metrics miss some invocations.
    async fn counts_from_logs(&self) -> Result<HashMap<String, Counts>> {
        let since = SystemTime::now() - COUNT_PERIOD;
        let counted = self.functions.iter().map(|(name, function)| async move {
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
}
