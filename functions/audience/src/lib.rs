//! The function `audience`: scans slices of the customer table, selects the eligible customers and queues batches of
//! notifications for the channels.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how a slice is scanned, page by page, and when it is handed on | `scan` |
//! | who of a page gets a notification, and how batches are filled | `select` |

mod scan;
mod select;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::queue::AudienceMessage;
use runtime::{Deadline, records};

pub use crate::scan::{ChannelQueue, ScanError, SliceScanner};

/// The function, built once and used by every invocation.
pub struct App {
    scanner: SliceScanner,
}

impl App {
    /// The function that scans with this scanner.
    pub fn new(scanner: SliceScanner) -> Self {
        Self { scanner }
    }

    /// Scans the slices of a queue's event. The response names the messages that failed, for SQS to redeliver.
    pub async fn handle(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        // Boxed: inside a caller's own futures, a scan exceeds the compiler's depth limit for layouts.
        Box::pin(records::handle_each(event, &self.scanner.slice_queue, async |body| {
            let AudienceMessage::Slice(slice) = serde_json::from_str(body)?;
            self.scanner.scan_slice(&slice, deadline).await
        }))
        .await
    }
}
