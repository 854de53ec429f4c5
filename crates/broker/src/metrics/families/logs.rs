//! The logs and their directories: Kafka's `kafka.log` domain, and what its `ReplicaManager` counts.
//!
//! Nothing is kept up to date for this: a scrape reads it off the logs.

use std::fmt;
use std::sync::Arc;

use ottla_log::stats::Stats;

use crate::metrics::monitor::{Dir, Observed};
use crate::metrics::page::{NS_IN_MS, PLAIN, Page};
use crate::partition::Partition;

/// What is read off a log.
struct Row {
    partition: Arc<Partition>,
    index: String,
    size_bytes: u64,
    segments: usize,
}

impl Row {
    fn of(partition: Arc<Partition>) -> Self {
        let log = &partition.log;
        Self {
            index: partition.id.partition.to_string(),
            size_bytes: log.size_bytes(),
            segments: log.segment_count(),
            partition,
        }
    }

    fn topic(&self) -> &str {
        self.partition.id.topic.as_str()
    }
}

pub(super) fn encode(page: &mut Page<'_>, observed: &Observed) -> fmt::Result {
    let rows: Vec<Row> = observed.core.partitions.all().into_iter().map(Row::of).collect();
    let shown = if rows.len() > observed.limit { &[] } else { rows.as_slice() };
    by_partition(page, shown)?;
    by_topic(page, &rows, observed.limit)?;
    sums(page, observed, &rows)?;
    work(page, observed.core.logs.stats())?;
    directories(page, &observed.dirs)
}

fn by_partition(page: &mut Page<'_>, rows: &[Row]) -> fmt::Result {
    let mut gauge = |name, help, of: fn(&Row) -> i64| {
        let mut family = page.gauge(name, help)?;
        rows.iter()
            .try_for_each(|row| family.add(&[("topic", row.topic()), ("partition", &row.index)], of(row)))
    };
    gauge("kafka_log_log_size", "Bytes of a partition's segments.", |row| {
        i64::try_from(row.size_bytes).unwrap_or(i64::MAX)
    })?;
    gauge("kafka_log_log_numlogsegments", "Segments of a partition.", |row| {
        i64::try_from(row.segments).unwrap_or(i64::MAX)
    })?;
    gauge("kafka_log_log_logstartoffset", "The first offset of a partition.", |row| {
        row.partition.log.start_offset().0
    })?;
    gauge("kafka_log_log_logendoffset", "The offset of a partition's next record.", |row| {
        row.partition.log.end_offset().0
    })?;
    gauge("ottla_partition_high_watermark", "The offset below which consumers may read.", |row| {
        row.partition.high_watermark().0
    })
}

/// The rows are in the order of their topics.
fn by_topic(page: &mut Page<'_>, rows: &[Row], limit: usize) -> fmt::Result {
    let mut topics: Vec<(&str, u64, u64)> = Vec::new();
    for row in rows {
        match topics.last_mut().filter(|(topic, ..)| *topic == row.topic()) {
            Some((_, size_bytes, partitions)) => {
                *size_bytes += row.size_bytes;
                *partitions += 1;
            }
            None => topics.push((row.topic(), row.size_bytes, 1)),
        }
    }
    if topics.len() > limit {
        topics.clear();
    }
    let mut sizes =
        page.gauge("ottla_topic_size_bytes", "Bytes of the segments of a topic's partitions here.")?;
    for (topic, size_bytes, _) in &topics {
        sizes.add(&[("topic", topic)], *size_bytes)?;
    }
    let mut counts = page.gauge("ottla_topic_partitions", "Partitions of a topic here.")?;
    topics.iter().try_for_each(|(topic, _, count)| counts.add(&[("topic", topic)], *count))
}

fn sums(page: &mut Page<'_>, observed: &Observed, rows: &[Row]) -> fmt::Result {
    let mut gauge = |name, help, value: u64| page.gauge(name, help)?.add(PLAIN, value);
    let count = |of: &dyn Fn(&Partition) -> bool| rows.iter().filter(|row| of(&row.partition)).count() as u64;
    gauge("ottla_log_size_bytes", "Bytes of all segments.", rows.iter().map(|row| row.size_bytes).sum())?;
    gauge(
        "ottla_log_segments",
        "Segments of all partitions.",
        rows.iter().map(|row| row.segments as u64).sum(),
    )?;
    gauge(
        "kafka_server_replicamanager_partitioncount",
        "Partitions that are here and can be used.",
        rows.len() as u64,
    )?;
    gauge(
        "kafka_server_replicamanager_leadercount",
        "Partitions that this broker leads.",
        count(&|partition| partition.leadership().is_leader),
    )?;
    gauge(
        "kafka_server_replicamanager_offlinereplicacount",
        "Partitions that should be here and cannot be used.",
        offline_replicas(observed, rows),
    )?;
    gauge(
        "kafka_server_replicamanager_underreplicatedpartitions",
        "Partitions led here that have fewer replicas in sync than replicas.",
        count(&|partition| {
            let leadership = partition.leadership();
            leadership.is_leader && leadership.in_sync < leadership.replicas
        }),
    )?;
    gauge(
        "kafka_server_replicamanager_underminisrpartitioncount",
        "Partitions led here that have fewer replicas in sync than min.insync.replicas asks for.",
        count(&|partition| {
            let leadership = partition.leadership();
            leadership.is_leader && leadership.in_sync < leadership.min_in_sync(&partition.config())
        }),
    )?;
    gauge(
        "kafka_server_replicamanager_produceridcount",
        "Producers that partitions remember, each once for each partition.",
        rows.iter().map(|row| row.partition.log.producer_count() as u64).sum(),
    )
}

/// Those that the metadata have here, less those that are, or that are in a directory which failed since.
fn offline_replicas(observed: &Observed, rows: &[Row]) -> u64 {
    let core = &observed.core;
    let image = core.metadata.image();
    let placed = image
        .topics()
        .flat_map(|topic| topic.partitions())
        .filter(|(_, state)| state.replicas.contains(&core.node_id))
        .count();
    let offline_dirs: Vec<&Dir> = observed.dirs.iter().filter(|dir| dir.failure.is_some()).collect();
    let in_failed_dir = rows.iter().filter(|row| {
        let home = row.partition.log.log_dir();
        offline_dirs.iter().any(|dir| dir.info.as_ref().is_some_and(|info| info.path == home))
    });
    (placed.saturating_sub(rows.len()) + in_failed_dir.count()) as u64
}

fn work(page: &mut Page<'_>, stats: &Stats) -> fmt::Result {
    page.histogram(
        "kafka_log_logflushstats_logflushrateandtimems",
        "Milliseconds that flushes of logs took.",
    )?
    .add(PLAIN, &stats.flush_times().counted(), NS_IN_MS)?;
    let sources = [("memory", stats.memory_reads()), ("disk", stats.disk_reads())];
    let mut reads = page.counter(
        "ottla_log_reads",
        "Reads of records by where the first batch came from: the memory for tailing readers, or a file.",
    )?;
    for (source, counts) in &sources {
        reads.add(&[("source", source)], counts.count)?;
    }
    let mut bytes =
        page.counter("ottla_log_read_bytes", "Bytes of record batches by where they came from.")?;
    for (source, counts) in &sources {
        bytes.add(&[("source", source)], counts.bytes)?;
    }
    let recovery = stats.recovery();
    page.gauge("ottla_log_open_seconds", "How long the start took to open all logs, recovery included.")?
        .add(PLAIN, recovery.time.as_secs_f64())?;
    page.gauge(
        "ottla_recovered_logs",
        "Logs that had not been closed in order, and were recovered at the start.",
    )?
    .add(PLAIN, recovery.recovered_logs)?;
    page.gauge("ottla_recovered_bytes", "Bytes in the logs that were recovered at the start.")?
        .add(PLAIN, recovery.recovered_bytes)
}

fn directories(page: &mut Page<'_>, dirs: &[Dir]) -> fmt::Result {
    let offline = dirs.iter().filter(|dir| dir.failure.is_some()).count();
    page.gauge("kafka_log_logmanager_offlinelogdirectorycount", "Log directories that cannot be used.")?
        .add(PLAIN, offline as u64)?;
    let mut each =
        page.gauge("kafka_log_logmanager_logdirectoryoffline", "1 for a log directory that cannot be used.")?;
    for dir in dirs {
        each.add(&[("logDirectory", &dir.path)], u64::from(dir.failure.is_some()))?;
    }
    let spaces: Vec<_> = dirs.iter().filter_map(|dir| Some((&dir.path, dir.info.as_ref()?.space?))).collect();
    let mut total =
        page.gauge("ottla_log_directory_total_bytes", "The size of a log directory's file system.")?;
    for (path, space) in &spaces {
        total.add(&[("logDirectory", path)], space.total_bytes)?;
    }
    let mut usable = page.gauge(
        "ottla_log_directory_usable_bytes",
        "What can still be written to a log directory's file system.",
    )?;
    spaces.iter().try_for_each(|(path, space)| usable.add(&[("logDirectory", path)], space.usable_bytes))
}
