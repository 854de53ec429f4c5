//! Carries out on this broker what is replayed: logs are made, changed and deleted, groups are taken up and given up, and
//! then requests see the image that says so.

use std::sync::Arc;

use ottla_metadata::Delta;

use crate::broker::Core;
use crate::controller::end_of;

/// Runs until nothing more is replayed, from the image on that requests see: that one is carried out.
pub(crate) async fn run(core: Arc<Core>) {
    let metadata = &core.metadata;
    metadata.applied(end_of(&metadata.image()));
    while let Some(step) = metadata.steps.next().await {
        let before = metadata.image();
        let delta = match &step.records {
            Some(records) => Delta::of(&before, &step.image, records),
            None => Delta::between(&before, &step.image),
        };
        // What is created is seen when its logs are there, and what is deleted is not seen any more when its logs go:
        // in between, requests would be told that a log is at fault.
        if !delta.deleted.is_empty() {
            metadata.publish(Arc::clone(&step.image));
        }
        if !delta.is_empty() && core.role.is_broker() {
            core.apply(&step.image, &delta).await;
            core.groups.apply(&core.partitions, &step.image, &delta).await;
        }
        let end = end_of(&step.image);
        metadata.publish(step.image);
        core.replication.note(core.node_id, &delta);
        metadata.applied(end);
    }
}
