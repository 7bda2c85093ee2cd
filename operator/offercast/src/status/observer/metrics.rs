//! Queries of CloudWatch metrics.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};

/// A CloudWatch metric with one dimension.
pub(super) struct Series<'a> {
    pub(super) namespace: &'a str,
    pub(super) metric: &'a str,
    pub(super) dimension: (&'a str, &'a str),
    pub(super) statistic: &'a str,
}

/// The values of each metric, in the given order.
pub(super) async fn fetch<'a>(
    cloudwatch: &Client,
    back: Duration,
    wanted: impl Iterator<Item = Series<'a>>,
) -> Result<Vec<Vec<f64>>> {
    let period = i32::try_from(back.as_secs())?;
    let queries = wanted.enumerate().map(|(i, Series { namespace, metric, dimension: (name, value), statistic })| {
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
    let response = cloudwatch
        .get_metric_data()
        .start_time((now - back).into())
        .end_time(now.into())
        .set_metric_data_queries(Some(queries))
        .send()
        .await
        .context("CloudWatch is unavailable")?;
    for result in response.metric_data_results() {
        let index: Option<usize> = result.id().and_then(|id| id.strip_prefix('m')?.parse().ok());
        if let Some(found) = index.and_then(|index| values.get_mut(index)) {
            found.extend(result.values());
        }
    }
    Ok(values)
}

/// Converts CloudWatch's fractional value of a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast of a count")]
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}
