//! The cluster as the metadata have it: Kafka's `kafka.controller:type=KafkaController`.

use std::fmt;

use crate::broker::Core;
use crate::metrics::page::{PLAIN, Page};

pub(super) fn encode(page: &mut Page<'_>, core: &Core) -> fmt::Result {
    let image = core.metadata.image();
    let mut gauge = |name, help, value: usize| page.gauge(name, help)?.add(PLAIN, value as u64);
    gauge(
        "kafka_controller_kafkacontroller_activecontrollercount",
        "1 where the controller is.",
        usize::from(core.metadata.is_leading()),
    )?;
    gauge(
        "kafka_controller_kafkacontroller_globaltopiccount",
        "Topics of the cluster.",
        image.topic_count(),
    )?;
    gauge(
        "kafka_controller_kafkacontroller_globalpartitioncount",
        "Partitions of the cluster.",
        image.partition_count(),
    )?;
    let leaderless = image
        .topics()
        .flat_map(|topic| topic.partitions())
        .filter(|(_, state)| state.leader.is_none())
        .count();
    gauge(
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "Partitions of the cluster that nobody leads.",
        leaderless,
    )
}
