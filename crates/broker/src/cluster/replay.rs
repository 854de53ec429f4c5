//! Takes the deliveries of the metadata log in their order: replays what is committed, and begins and ends leaderships.
//!
//! Nothing here waits for anything but deliveries: the log waits for them to be taken.

use std::sync::Arc;

use bytes::Bytes;
use tracing::info;

use ottla_broadcast::{Delivery, DeliveryReceiver};
use ottla_env::process;
use ottla_metadata::{Image, Record};
use ottla_types::Offset;

use super::Metadata;
use crate::controller::end_of;

/// What a simulation is told each time that the metadata have changed on a node: see [`process::observe`].
#[derive(Debug, Clone)]
pub struct Replayed(pub Image);

/// Runs until the log is closed, or cannot be followed any more.
pub(super) async fn run(metadata: Arc<Metadata>, mut deliveries: DeliveryReceiver) {
    // A snapshot that is not whole yet.
    let mut loading = Image::default();
    while let Some(delivery) = deliveries.recv().await {
        let taken = match delivery {
            Delivery::Snapshot { upto, is_first, is_last, records } => {
                if is_first {
                    loading = Image::default();
                }
                load(&mut loading, upto, &records).map(|()| {
                    if is_last {
                        metadata.replace(std::mem::take(&mut loading));
                    }
                })
            }
            Delivery::Committed { first, records } => metadata.replay(first, &records),
            Delivery::Leading { epoch } => {
                info!(%epoch, "this node is the active controller");
                metadata.host.lead(epoch);
                Ok(())
            }
            Delivery::NotLeading { epoch, leader } => {
                info!(%epoch, ?leader, "this node is the active controller no longer");
                metadata.host.follow();
                Ok(())
            }
            Delivery::Failed { reason } => Err(reason.to_string()),
        };
        if let Err(reason) = taken {
            return metadata.fail(&reason);
        }
    }
    metadata.ended();
}

impl Metadata {
    fn replace(&self, image: Image) {
        let end = end_of(&image);
        process::observe(|| Replayed(image.clone()));
        self.host.replace(image.clone());
        self.snapshots.begin_anew();
        self.steps.replace(image);
        self.replayed_end.send_replace(end);
    }

    fn replay(&self, first: Offset, records: &[Bytes]) -> Result<(), String> {
        let mut decoded = records.iter().map(|bytes| decode(bytes)).collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = records.iter().map(Bytes::len).sum();
        let mut first = first;
        // What is created and what is deleted is carried out by steps of their own: see `follower`. No request does both,
        // so none is taken apart.
        while let Some(head) = decoded.first().map(is_removal) {
            let len = decoded.iter().position(|record| is_removal(record) != head).unwrap_or(decoded.len());
            let rest = decoded.split_off(len);
            let run = std::mem::replace(&mut decoded, rest);
            let image = self.host.replay(first, &run).map_err(|error| error.to_string())?;
            first = end_of(&image);
            process::observe(|| Replayed(image.clone()));
            run.iter().for_each(|record| self.liveness.replayed(record));
            self.steps.add(image, run, bytes);
        }
        self.snapshots.note(bytes);
        self.replayed_end.send_replace(first);
        Ok(())
    }
}

fn load(image: &mut Image, upto: Offset, records: &[Bytes]) -> Result<(), String> {
    for bytes in records {
        image.load(upto, &decode(bytes)?).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Record, String> {
    Record::decode(bytes).map_err(|error| error.to_string())
}

fn is_removal(record: &Record) -> bool {
    matches!(record, Record::RemoveTopic(_))
}
