//! What functions log, from where Lambda keeps it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::DisplayErrorContext;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;

/// Most events of one answer (CloudWatch Logs API reference). MiniStack does not say where the next one begins.
const PAGE: usize = 10_000;

/// What a function of this name has logged since then.
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
                // A function that never ran has no log.
                Err(error)
                    if error.as_service_error().is_some_and(FilterLogEventsError::is_resource_not_found_exception) =>
                {
                    break;
                }
                Err(error) => bail!("the logs cannot be read: {}", DisplayErrorContext(&error)),
            }
        }
        let last = events.iter().filter_map(FilteredLogEvent::timestamp).max();
        let Some(last) = last.filter(|last| events.len() - before >= PAGE && *last > from) else {
            return Ok(events);
        };
        // Those of the last millisecond come again, with the rest of it.
        events.retain(|event| event.timestamp != Some(last));
        from = last;
    }
}
