//! One look at replicas, for eyes.

use super::state::{Health, PartitionState, ReplicaState, Standing};
use crate::output::Table;

/// The partitions that are shown, and below them how all are.
pub(super) fn text(all: &[PartitionState], shown: &[&PartitionState]) -> String {
    let summary = summary(all);
    if shown.is_empty() {
        return summary;
    }
    format!("{}\n\n{summary}", partitions(shown))
}

/// The columns.
const HEAD: [&str; 11] = [
    "partition",
    "epoch",
    "watermark",
    "in sync",
    "broker",
    "state",
    "end",
    "lag",
    "fetched",
    "caught up",
    "out of sync",
];

/// A row for each replica; what concerns the partition is in the first. Sizes are shown where brokers tell those of followers.
fn partitions(shown: &[&PartitionState]) -> String {
    let mut replicas = shown.iter().flat_map(|partition| &partition.replicas);
    let has_sizes = replicas.any(|replica| replica.state != Standing::Leads && replica.size_bytes.is_some());
    let columns: Vec<&str> = HEAD.into_iter().chain(has_sizes.then_some("bytes")).collect();
    let mut table = Table::new(&columns);
    for partition in shown {
        for (index, replica) in partition.replicas.iter().enumerate() {
            let head = if index == 0 { head(partition) } else { Default::default() };
            let size = has_sizes.then(|| number(replica.size_bytes));
            table.add_row(head.into_iter().chain(row(replica)).chain(size));
        }
    }
    table.text()
}

fn head(partition: &PartitionState) -> [String; 4] {
    let (in_sync, replicas) = (partition.isr.len(), partition.replicas.len());
    let needs = partition.min_insync_replicas.map_or_else(String::new, |least| format!(" min {least}"));
    [
        partition.name(),
        partition.leader_epoch.to_string(),
        number(partition.high_watermark),
        format!("{in_sync}/{replicas}{needs}"),
    ]
}

fn row(replica: &ReplicaState) -> [String; 7] {
    let asked = replica.asked.map_or_else(String::new, |asked| format!(", is to {asked}"));
    let why = replica.explanation.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    [
        replica.broker.to_string(),
        format!("{}{asked}", replica.state.text()),
        number(replica.log_end_offset),
        number(replica.lag_records),
        age(replica.last_fetch_ms_ago, " ago"),
        age(replica.last_caught_up_ms_ago, " ago"),
        match replica.out_of_sync_ms {
            None if replica.in_sync => String::new(),
            ms => format!("{}{why}", age(ms, "")),
        },
    ]
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn age(ms: Option<u64>, ago: &str) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{}{ago}", duration(ms)))
}

/// A time span, as exact as somebody who looks at it wants it.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How all partitions are, in one line.
pub(super) fn summary(all: &[PartitionState]) -> String {
    let count =
        |is_so: &dyn Fn(Health) -> bool| all.iter().filter(|partition| is_so(partition.health)).count();
    let partitions = counted(all.len());
    let lacking = count(&|health| health != Health::Whole);
    if lacking == 0 {
        return format!("{partitions}: all replicas are in sync");
    }
    let kinds = [
        (count(&|health| health == Health::Offline), "without a leader"),
        (count(&|health| health == Health::UnderMinIsr), "under min.insync.replicas"),
        (count(&|health| health == Health::AtMinIsr), "at min.insync.replicas"),
    ];
    let grave: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let grave = if grave.is_empty() { String::new() } else { format!(" ({})", grave.join(", ")) };
    format!("{partitions}: {lacking} under-replicated{grave}")
}

/// A number of partitions.
pub(super) fn counted(partitions: usize) -> String {
    format!("{partitions} partition{}", if partitions == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::of;
    use super::*;

    #[test]
    fn each_replica_has_a_row_and_the_partition_is_named_once() {
        let all = [of(0, &[1, 2, 3], &[]), of(1, &[1, 2], &[3])];
        let mut shown = all[1].clone();
        shown.high_watermark = Some(1204);
        shown.replicas[2].lag_records = Some(6);
        shown.replicas[2].last_fetch_ms_ago = Some(12_345);
        shown.replicas[2].out_of_sync_ms = Some(9_000);
        let text = text(&all, &[&shown]);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1][..7], ["orders-1", "4", "1204", "2/3", "min", "2", "1"], "{text}");
        assert_eq!(words[2][..3], ["2", "in", "sync"], "{text}");
        assert_eq!(
            words[3],
            ["3", "broker", "fenced", "-", "6", "12.3", "s", "ago", "-", "9.0", "s"],
            "{text}"
        );
        assert!(text.ends_with("\n\n2 partitions: 1 under-replicated (1 at min.insync.replicas)"), "{text}");
    }

    #[test]
    fn sizes_are_shown_where_brokers_tell_those_of_followers() {
        let mut told = of(0, &[1, 2, 3], &[]);
        assert!(!partitions(&[&told]).contains("bytes"));
        told.replicas[1].size_bytes = Some(4711);
        let text = partitions(&[&told]);
        assert!(text.contains("bytes") && text.lines().nth(2).unwrap().trim().ends_with("4711"), "{text}");
    }

    #[test]
    fn what_is_whole_is_one_line() {
        assert_eq!(summary(&[of(0, &[1, 2, 3], &[])]), "1 partition: all replicas are in sync");
        let grave = [of(0, &[1], &[2, 3]), of(1, &[], &[]), of(2, &[1, 2], &[3])];
        assert_eq!(
            summary(&grave),
            "3 partitions: 3 under-replicated (1 without a leader, 1 under min.insync.replicas, 1 at min.insync.replicas)"
        );
    }

    #[test]
    fn spans_are_as_exact_as_they_are_short() {
        let spans = [(0, "0.0 s"), (59_999, "59.9 s"), (60_000, "1 min 0 s"), (7_260_000, "2 h 1 min")];
        for (ms, text) in spans {
            assert_eq!(duration(ms), text);
        }
    }
}
