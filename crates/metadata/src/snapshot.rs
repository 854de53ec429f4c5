//! An image as records, and back: what a snapshot of the log holds.

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, Offset};

use crate::image::{Image, ReplayError, check_counters};
use crate::record::{
    BrokerChange, BrokerEpochs, BrokerFencing, Config, FeatureLevel, Partition, ProducerIdsBlock, Record,
    Topic,
};

/// Whom the block of producer ids in a snapshot belongs to: it stands for many.
const NOBODY: (BrokerId, BrokerEpoch) = (BrokerId(-1), BrokerEpoch(-1));

impl Image {
    /// Records that lead from an empty image to one like this.
    #[must_use]
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        records.extend(
            self.features()
                .map(|(name, level)| Record::FeatureLevel(FeatureLevel { name: name.into(), level })),
        );
        // In the order of their registrations, since the epochs must rise.
        let mut brokers: Vec<_> = self.brokers().collect();
        brokers.sort_by_key(|broker| broker.registration.epoch);
        let mut next_epoch = 0;
        for broker in brokers {
            let (id, epoch) = (broker.registration.id, broker.registration.epoch);
            records.push(Record::RegisterBroker(broker.registration.clone()));
            if broker.was_unfenced {
                records.push(Record::BrokerFencing(BrokerFencing { id, epoch, fenced: false }));
                if broker.fenced {
                    records.push(Record::BrokerFencing(BrokerFencing { id, epoch, fenced: true }));
                }
            }
            if broker.in_controlled_shutdown {
                let (in_controlled_shutdown, directories) = (true, None);
                let change = BrokerChange { id, epoch, in_controlled_shutdown, directories };
                records.push(Record::BrokerChange(change));
            }
            next_epoch = epoch.0.saturating_add(1);
        }
        // The broker that registered last may be unregistered since, and its epoch is not given again.
        if self.next_broker_epoch().0 > next_epoch {
            records.push(Record::BrokerEpochs(BrokerEpochs { next: self.next_broker_epoch() }));
        }
        for topic in self.topics() {
            records.push(Record::Topic(Topic { name: topic.name.clone(), id: topic.id }));
            records.extend(topic.partitions().map(|(index, state)| {
                Record::Partition(Partition { topic: topic.id, index, state: (**state).clone() })
            }));
        }
        let resources = self.config_resources().filter(|_| !is(Sabotage::SnapshotSkipsRecords));
        for (resource, configs) in resources {
            records.extend(configs.iter().map(|(key, value)| {
                Record::Config(Config {
                    resource: resource.clone(),
                    key: key.into(),
                    value: Some(value.into()),
                })
            }));
        }
        if self.next_producer_id().0 > 0 {
            let (broker, epoch) = NOBODY;
            let next = self.next_producer_id();
            records.push(Record::ProducerIdsBlock(ProducerIdsBlock { broker, epoch, next }));
        }
        records
    }

    /// Applies one record of a snapshot that stands for the log up to `upto`.
    ///
    /// # Errors
    /// The record does not fit; the image is as it was.
    pub fn load(&mut self, upto: Offset, record: &Record) -> Result<(), ReplayError> {
        check_counters(record)?;
        self.apply(record)?;
        self.set_offset(upto);
        Ok(())
    }
}
