//! What the sweep itself queues does not make a queue count as busy.

use std::time::Duration;

use domain::Channel;
use testing::Fault;

use super::super::report::Swept;
use super::world::{World, minutes, pass, push};

#[tokio::test(start_paused = true)]
async fn lost_slices_of_two_pushes_are_queued_again_in_one_sweep() {
    let world = World::new().await;
    world.create(2, 2).await;
    world.create(3, 1).await;
    pass(minutes(4)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { resumed: 3, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 1), (2, 1, 1), (3, 0, 1)]);
    assert_eq!(world.queues.take_depth_reads(), ["audience"]);
    // The next sweep reads it again.
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    world.queues.take("audience");
    assert_eq!(world.sweep().await.unwrap(), Swept { resumed: 3, ..Swept::default() });
}

#[tokio::test(start_paused = true)]
async fn a_push_that_the_sweep_starts_hides_no_lost_slice_of_another() {
    let world = World::new().await;
    world.schedule(2, world.clock.now() + minutes(4)).await;
    world.create(3, 1).await;
    pass(minutes(4)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { started: 1, resumed: 1, ..Swept::default() });
    assert_eq!(world.queued_slices().last(), Some(&(3, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_missed_push_that_the_sweep_starts_hides_no_lost_slice_of_another() {
    let world = World::new().await;
    world.request(2).await;
    world.create(3, 1).await;
    pass(minutes(4)).await;
    // The missed push is started while the open pushes are listed.
    world.dynamo.inject_always("Query", "Pushes", Fault::Delay(Duration::from_secs(1)));
    assert_eq!(world.sweep().await.unwrap(), Swept { started: 1, resumed: 1, ..Swept::default() });
    assert_eq!(world.queued_slices().last(), Some(&(3, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_slice_hides_no_lost_slice_of_another_push() {
    let world = World::new().await;
    world.create(2, 1).await;
    world.scan_slice(push(2), 0, 1, &[Channel::Email]).await;
    world.queues.take("email");
    world.create(3, 1).await;
    pass(minutes(4)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { restarted: 1, resumed: 1, ..Swept::default() });
    assert_eq!(world.queued_slices(), [(2, 0, 2), (3, 0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn the_search_for_lost_batches_uses_the_depth_that_was_read_before() {
    let world = World::new().await;
    for number in [2, 3] {
        world.create(number, 1).await;
        world.scan_slice(push(number), 0, 1, &[Channel::Email]).await;
    }
    // One of the two batches is lost, and the queue does not say which.
    let batches = world.queues.take("email");
    world.queues.put("email", batches[0].clone());
    pass(minutes(45)).await;
    assert_eq!(world.sweep().await.unwrap(), Swept { restarted: 2, ..Swept::default() });
    let mut reads = world.queues.take_depth_reads();
    reads.sort();
    assert_eq!(reads, ["audience", "email"]);
}

#[tokio::test(start_paused = true)]
async fn queues_that_nothing_depends_on_are_not_read() {
    let world = World::new().await;
    world.create(2, 1).await;
    assert_eq!(world.sweep().await.unwrap(), Swept::default());
    assert_eq!(world.queues.take_depth_reads(), [""; 0]);
}
