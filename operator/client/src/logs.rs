//! Reading the functions' log lines from CloudWatch Logs.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;

use crate::sentence::sentence;

/// Maximum events per response (CloudWatch Logs API reference). MiniStack returns no token for the next page.
const PAGE: usize = 10_000;

/// The log events of a function since a time.
///
/// # Errors
/// If the logs cannot be read.
pub async fn logged(logs: &Client, function: &str, since: SystemTime) -> Result<Vec<FilteredLogEvent>> {
    let group = format!("/aws/lambda/{function}");
    let mut from = i64::try_from(since.duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut events: Vec<FilteredLogEvent> = Vec::new();
    loop {
        let before = events.len();
        let mut pages = logs.filter_log_events().log_group_name(&group).start_time(from).into_paginator().send();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => events.extend(page.events.unwrap_or_default()),
                // A function that has never run has no log group.
                Err(error)
                    if error.as_service_error().is_some_and(FilterLogEventsError::is_resource_not_found_exception) =>
                {
                    break;
                }
                Err(error) => bail!("cannot read the logs: {}", sentence(&error)),
            }
        }
        let last = events.iter().filter_map(FilteredLogEvent::timestamp).max();
        let Some(last) = last.filter(|last| events.len() - before >= PAGE && *last > from) else {
            return Ok(events);
        };
        // Read the last millisecond again: the page may contain only some of its events.
        events.retain(|event| event.timestamp != Some(last));
        from = last;
    }
}
