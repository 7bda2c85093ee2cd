//! Event source mappings: what calls functions for the messages of a queue and the records of a stream.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how the messages of a queue reach their function | `queue` |
//! | how the records of a stream reach theirs | `stream` |
//! | which records are tried again, and how | `shard` |
//! | which records pass a filter | `filter` |
//! | what a function says of its batch | `report` |

mod filter;
mod queue;
mod report;
mod shard;
mod stream;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use serde_json::Value;
use tokio::task::spawn_local;

use crate::aws::activity::Activity;
use crate::aws::lambda::{Function, Invoked};
use crate::aws::template;
use crate::world::World;

/// What invokes a function with an event. The compiler cannot see that the functions' futures may move between
/// threads, so all that invokes functions are local tasks.
pub(super) type Invoke = Rc<dyn Fn(Value) -> LocalBoxFuture<'static, Invoked>>;

/// Starts the pollers of all mappings of the template as tasks of the present `LocalSet`. They run until it ends. The activity
/// is idle while no poller has anything to deliver; a message that waits is none
/// ([`Queues::is_empty`](crate::aws::sqs::Queues::is_empty)).
pub fn start(world: &Arc<World>) -> Activity {
    let activity = Activity::default();
    for mapping in template::queue_mappings() {
        let invoke = lambda(world, mapping.function);
        spawn_local(queue::poll(Arc::clone(world), mapping, invoke, activity.clone()));
    }
    for mapping in template::stream_mappings() {
        let invoke = lambda(world, mapping.function);
        spawn_local(stream::poll(Arc::clone(world), mapping, invoke, activity.clone()));
    }
    activity
}

/// Invokes a function in Lambda.
pub(super) fn lambda(world: &Arc<World>, function: Function) -> Invoke {
    let world = Arc::clone(world);
    Rc::new(move |event| {
        let world = Arc::clone(&world);
        Box::pin(async move { world.lambda.invoke(&world, function, event).await })
    })
}
