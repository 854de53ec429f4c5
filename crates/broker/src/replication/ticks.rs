//! The task that tells the machines of partitions that their time has come: when followers lag too long, and the like. It
//! sleeps until the first of these times.

use std::sync::Arc;

use tokio::sync::watch;

use crate::broker::Core;
use crate::partitions::TopicRef;
use crate::server::stopped;

/// Runs until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let signals = &core.replication.signals;
    loop {
        let now = core.env.clock.monotonic();
        for (topic, index) in signals.take_due(now) {
            // One that is not here any more has nothing to be told.
            if let Some(partition) = core.partitions.get(TopicRef::Id(topic), index) {
                partition.drive(|replica, _, now| (replica.tick(now), ()));
            }
        }
        let sleep = async {
            match signals.next_due() {
                Some(at) => tokio::time::sleep(at.saturating_sub(core.env.clock.monotonic())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            () = signals.earlier() => {}
            () = sleep => {}
        }
    }
}
