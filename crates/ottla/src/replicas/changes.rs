//! What happened between two looks: replicas that left the ISR or came back, leaders that changed, writes that are refused. Of
//! many partitions that had the same happen, there is one line.

use std::collections::BTreeMap;

use serde::Serialize;

use super::state::{Health, PartitionState};
use super::table::counted;

/// How many partitions are named of a kind.
const NAMED: usize = 3;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) kind: Kind,
    /// The broker that it is about.
    pub(super) broker: Option<i32>,
    /// The partitions that it happened to.
    pub(super) partitions: Vec<String>,
    /// In words.
    pub(super) what: String,
}

/// What happened, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Partitions are new.
    Created,
    /// Partitions are gone.
    Deleted,
    /// Nobody leads.
    LeaderLost,
    /// Somebody else leads, or somebody again.
    LeaderChanged,
    /// A replica is not in sync any more.
    LeftIsr,
    /// A replica is in sync.
    EnteredIsr,
    /// Writes with `acks=all` are refused.
    WritesRefused,
    /// Writes with `acks=all` are taken again.
    WritesTaken,
    /// All replicas are in sync again.
    Whole,
    /// Nobody could be asked.
    Unanswered,
}

/// What happened, of the same kind and to the same broker: by that, and by the end of the sentence.
type Groups = BTreeMap<(Kind, Option<i32>, String), Vec<String>>;

/// What happened between two looks.
pub(super) fn changes(before: &[PartitionState], now: &[PartitionState]) -> Vec<Change> {
    let known: BTreeMap<(&str, i32), &PartitionState> = by_name(before);
    let there = by_name(now);
    let mut groups = Groups::new();
    for (name, partition) in &there {
        match known.get(name) {
            None => note(&mut groups, Kind::Created, None, String::new(), partition),
            Some(was) => compare(was, partition, &mut groups),
        }
    }
    for (_, gone) in known.iter().filter(|(name, _)| !there.contains_key(*name)) {
        note(&mut groups, Kind::Deleted, None, String::new(), gone);
    }
    groups.into_iter().map(change).collect()
}

fn by_name(partitions: &[PartitionState]) -> BTreeMap<(&str, i32), &PartitionState> {
    partitions.iter().map(|partition| ((partition.topic.as_str(), partition.partition), partition)).collect()
}

fn note(groups: &mut Groups, kind: Kind, broker: Option<i32>, rest: String, of: &PartitionState) {
    groups.entry((kind, broker, rest)).or_default().push(of.name());
}

fn compare(was: &PartitionState, is: &PartitionState, groups: &mut Groups) {
    match (was.leader, is.leader) {
        (before, now) if before == now => {}
        (Some(before), None) => {
            note(groups, Kind::LeaderLost, None, format!(" (broker {before} did)"), is);
        }
        (Some(before), now) => {
            note(groups, Kind::LeaderChanged, now, format!(" (before: broker {before})"), is);
        }
        (None, now) => note(groups, Kind::LeaderChanged, now, " (before: nobody)".to_owned(), is),
    }
    for replica in &is.replicas {
        match (was.isr.contains(&replica.broker), is.isr.contains(&replica.broker)) {
            (true, false) => {
                let why = match &replica.explanation {
                    Some(why) => format!(": {why}"),
                    None => format!(": {}", replica.state.reason()),
                };
                note(groups, Kind::LeftIsr, Some(replica.broker), why, is);
            }
            (false, true) => note(groups, Kind::EnteredIsr, Some(replica.broker), String::new(), is),
            _ => {}
        }
    }
    let refuses = |partition: &PartitionState| partition.health == Health::UnderMinIsr;
    match (refuses(was), refuses(is)) {
        (false, true) => note(groups, Kind::WritesRefused, None, String::new(), is),
        (true, false) if is.leader.is_some() => note(groups, Kind::WritesTaken, None, String::new(), is),
        _ => {}
    }
}

fn change(((kind, broker, rest), partitions): ((Kind, Option<i32>, String), Vec<String>)) -> Change {
    let (names, who) = (some_of(&partitions), broker.map_or_else(String::new, |id| id.to_string()));
    let what = match kind {
        Kind::Created => format!("new: {names}"),
        Kind::Deleted => format!("gone: {names}"),
        Kind::LeaderLost => format!("nobody leads {names} any more{rest}"),
        Kind::LeaderChanged => format!("broker {who} leads {names}{rest}"),
        Kind::LeftIsr => format!("replica {who} is out of sync in {names}{rest}"),
        Kind::EnteredIsr => format!("replica {who} is in sync in {names}"),
        Kind::WritesRefused => {
            format!(
                "writes with acks=all are refused in {names}: fewer replicas are in sync than min.insync.replicas"
            )
        }
        Kind::WritesTaken => format!("writes with acks=all are taken again in {names}"),
        Kind::Whole | Kind::Unanswered => rest,
    };
    Change { kind, broker, partitions, what }
}

/// So many partitions, and the names of the first.
fn some_of(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        few if few.len() <= NAMED => few.join(", "),
        many => {
            let first = many.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("{} ({first} and {} more)", counted(many.len()), many.len() - NAMED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::of;
    use super::*;

    fn told(before: &[PartitionState], now: &[PartitionState]) -> Vec<String> {
        changes(before, now).into_iter().map(|change| change.what).collect()
    }

    #[test]
    fn where_nothing_happened_nothing_is_told() {
        let mut later = of(0, &[1, 2, 3], &[]);
        later.high_watermark = Some(7);
        assert_eq!(told(&[of(0, &[1, 2, 3], &[])], &[later]), Vec::<String>::new());
    }

    #[test]
    fn a_broker_that_dies_and_comes_back_is_a_line_each_time_and_not_one_for_each_partition() {
        let whole: Vec<_> = (0..5).map(|partition| of(partition, &[1, 2, 3], &[])).collect();
        let lacking: Vec<_> = (0..5).map(|partition| of(partition, &[1, 2], &[3])).collect();
        assert_eq!(
            told(&whole, &lacking),
            [
                "replica 3 is out of sync in 5 partitions (orders-0, orders-1, orders-2 and 2 more): its broker is fenced"
            ]
        );
        assert_eq!(
            told(&lacking, &whole),
            ["replica 3 is in sync in 5 partitions (orders-0, orders-1, orders-2 and 2 more)"]
        );
    }

    #[test]
    fn a_leader_that_dies_is_told_with_who_leads_instead() {
        let now = told(&[of(0, &[1, 2, 3], &[])], &[of(0, &[2, 3], &[1])]);
        assert_eq!(
            now,
            [
                "broker 2 leads orders-0 (before: broker 1)",
                "replica 1 is out of sync in orders-0: its broker is fenced"
            ]
        );
        let nobody = told(&[of(0, &[1], &[2, 3])], &[of(0, &[], &[1, 2, 3])]);
        assert_eq!(nobody[0], "nobody leads orders-0 any more (broker 1 did)");
    }

    #[test]
    fn writes_that_are_refused_are_told_and_when_they_are_taken_again() {
        let (two, one) = ([of(0, &[1, 2], &[3])], [of(0, &[1], &[2, 3])]);
        assert!(told(&two, &one)[1].starts_with("writes with acks=all are refused in orders-0"));
        assert!(told(&one, &two)[1].starts_with("writes with acks=all are taken again in orders-0"));
    }

    #[test]
    fn partitions_come_and_go() {
        let (zero, one) = (of(0, &[1, 2, 3], &[]), of(1, &[1, 2, 3], &[]));
        assert_eq!(told(&[zero], &[one]), ["new: orders-1", "gone: orders-0"]);
    }
}
