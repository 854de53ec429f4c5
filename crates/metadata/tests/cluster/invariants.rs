//! What must hold of any image, and between an image and the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_metadata::record::{LeaderRecovery, PartitionState};
use ottla_metadata::{Delta, Image, Record};
use ottla_types::config::Settings;
use ottla_types::config::topic::MIN_INSYNC_REPLICAS;
use ottla_types::{BrokerId, Offset, TopicId};

/// Everything that can be said of an image after a decision.
pub fn check(image: &Image) {
    check_any(image);
    // A decision that was cut may have unfenced a broker, and not elected it yet.
    for (topic, index) in image.leaderless().iter() {
        let state = image.partition(topic, index).unwrap();
        let could_lead = |id: &BrokerId| {
            let directory = state.directory(*id).unwrap();
            image.broker(*id).is_some_and(|broker| broker.is_active() && broker.has_online(directory))
        };
        assert!(!state.elr.iter().any(could_lead), "an eligible one could lead: {state:?}");
    }
}

/// Everything that can be said of any image.
pub fn check_any(image: &Image) {
    let settings = Settings::default();
    for topic in image.topics() {
        let overrides = image.topic_overrides(&topic.name);
        let min_isr = image.cluster_layers(&settings).topic_value(overrides, &MIN_INSYNC_REPLICAS);
        for (index, state) in topic.partitions() {
            let name = format!("{}-{index} of min.insync.replicas {min_isr}: {state:?}", topic.name);
            check_lists(state, &name);
            check_leader(image, state, &name);
            check_eligible(state, min_isr as usize, &name);
        }
    }
    check_index(image);
}

fn check_lists(state: &PartitionState, name: &str) {
    let distinct = |list: &[BrokerId]| list.iter().collect::<BTreeSet<_>>().len() == list.len();
    assert!(!state.replicas.is_empty() && distinct(&state.replicas), "{name}");
    assert_eq!(state.replicas.len(), state.directories.len(), "{name}");
    for list in [&state.isr, &state.elr] {
        assert!(distinct(list) && list.iter().all(|id| state.replicas.contains(id)), "{name}");
    }
    assert!(state.elr.iter().all(|id| !state.isr.contains(id)), "{name}");
    if let Some(moved) = &state.reassignment {
        assert!(!moved.adding.is_empty() || !moved.removing.is_empty(), "{name}");
        for list in [&moved.adding, &moved.removing] {
            assert!(list.iter().all(|id| state.replicas.contains(id)), "{name}");
        }
        assert!(moved.adding.iter().all(|id| !moved.removing.contains(id)), "{name}");
        let stays: Vec<_> = state.replicas.iter().filter(|id| !moved.removing.contains(id)).collect();
        // A leader that may lack records does not end what would delete the others.
        let is_recovering = state.recovery == LeaderRecovery::Recovering;
        let is_done = !is_recovering && stays.iter().all(|id| state.isr.contains(id));
        assert!(!is_done, "it is done, and not over: {name}");
    }
}

fn check_leader(image: &Image, state: &PartitionState, name: &str) {
    let is_active = |id: BrokerId| image.broker(id).is_some_and(|broker| broker.is_active());
    assert!(state.leader.is_none_or(|id| state.isr.contains(&id)), "the leader is in sync: {name}");
    assert!(state.isr.iter().all(|id| is_active(*id)), "fenced, stopping or unknown, and in sync: {name}");
    assert!(state.leader.is_some() || state.isr.is_empty(), "somebody could lead: {name}");
    let works = |id: &BrokerId| {
        let directory = state.directory(*id).unwrap();
        image.broker(*id).is_some_and(|broker| broker.has_online(directory))
    };
    assert!(state.isr.iter().all(works), "in sync in a directory that failed: {name}");
    let is_recovering = state.recovery == LeaderRecovery::Recovering;
    assert!(!is_recovering || state.isr.len() <= 1, "in sync with who may lack records: {name}");
    assert!(state.leader_epoch.0 >= 0 && state.partition_epoch.0 >= state.leader_epoch.0, "{name}");
}

fn check_eligible(state: &PartitionState, min_isr: usize, name: &str) {
    let is_small = state.isr.len() < min_isr.min(state.replicas.len());
    assert!(state.elr.is_empty() || is_small, "records may be committed without the ELR: {name}");
    let is_known = !state.isr.is_empty() || !state.elr.is_empty();
    assert!(is_known || state.last_known_leader.is_some(), "nobody is left: {name}");
    assert!(state.last_known_leader.is_none() || state.isr.is_empty(), "{name}");
}

/// The index says what the partitions say.
fn check_index(image: &Image) {
    let mut sets: BTreeMap<&str, BTreeSet<(TopicId, i32)>> = BTreeMap::new();
    let mut hosted: BTreeMap<BrokerId, [BTreeSet<(TopicId, i32)>; 3]> = BTreeMap::new();
    let mut count = 0;
    for topic in image.topics() {
        for (index, state) in topic.partitions() {
            count += 1;
            let partition = (topic.id, index);
            let mut note = |name, is: bool| is.then(|| sets.entry(name).or_default().insert(partition));
            note("leaderless", state.leader.is_none());
            note("misled", state.leader.is_some_and(|id| state.replicas[0] != id));
            note("elr", !state.elr.is_empty());
            note("moving", state.reassignment.is_some());
            for id in state.replicas.iter() {
                hosted.entry(*id).or_default()[0].insert(partition);
            }
            if let Some(id) = state.leader {
                hosted.entry(id).or_default()[1].insert(partition);
            }
            hosted.entry(state.replicas[0]).or_default()[2].insert(partition);
        }
    }
    assert_eq!(count, image.partition_count());
    for (name, set) in [
        ("leaderless", image.leaderless()),
        ("misled", image.not_led_by_preferred()),
        ("elr", image.with_elr()),
        ("moving", image.reassigning()),
    ] {
        let expected = sets.remove(name).unwrap_or_default();
        assert_eq!((set.iter().collect(), set.len()), (expected.clone(), expected.len()), "{name}");
    }
    for id in (0..20).map(BrokerId) {
        let [replicas, leads, preferred] = hosted.remove(&id).unwrap_or_default();
        let Some(found) = image.hosted(id) else {
            assert!(replicas.is_empty());
            continue;
        };
        assert_eq!((found.replicas.iter().collect(), found.leads.iter().collect()), (replicas, leads));
        assert_eq!(found.preferred, preferred.len());
    }
}

/// Who led each partition under each leader epoch.
#[derive(Debug, Default)]
pub struct Leaders(BTreeMap<(TopicId, i32, i32), BrokerId>);

/// Replays records one by one, and holds each to what a record may do.
pub fn replay(from: &Image, offset: Offset, records: &[Record], leaders: &mut Leaders) -> Image {
    let mut image = from.clone();
    for (offset, record) in (offset.0..).zip(records) {
        let before = image.clone();
        image.replay(Offset(offset), record).unwrap();
        let bytes = record.to_bytes();
        assert_eq!(Record::decode(&bytes).as_ref(), Ok(record));
        let delta = Delta::of(&before, &image, [record]);
        assert_eq!(delta, Delta::between(&before, &image), "{record:?}");
        for change in &delta.changed {
            for partition in &change.partitions {
                if let Some(old) = &partition.old {
                    check_step(old, &partition.new);
                }
            }
        }
        note_leaders(&image, &delta, leaders);
    }
    assert_eq!(Delta::of(from, &image, records), Delta::between(from, &image));
    image
}

fn check_step(old: &PartitionState, new: &PartitionState) {
    let name = format!("{old:?} became {new:?}");
    assert_eq!(new.partition_epoch.0, old.partition_epoch.0 + 1, "{name}");
    let rise = new.leader_epoch.0 - old.leader_epoch.0;
    assert!(rise == 0 || rise == 1, "{name}");
    assert!(rise == 1 || new.leader == old.leader, "another leader, and no new epoch: {name}");
    if let (Some(moved), None) = (&old.reassignment, &new.reassignment) {
        let is_done = new.replicas.iter().all(|id| new.isr.contains(id));
        let mut before = old.replicas.iter().filter(|id| !moved.adding.contains(id));
        let is_cancelled = before.all(|id| new.replicas.contains(id));
        assert!(is_done || is_cancelled, "over before it is done: {name}");
    }
    let is_left = |id| !new.replicas.contains(id);
    assert!(rise == 1 || !old.replicas.iter().any(is_left), "who is no replica any more is not told: {name}");
}

fn note_leaders(image: &Image, delta: &Delta, leaders: &mut Leaders) {
    let created = delta.created.iter().map(|topic| topic.id);
    for id in created.chain(delta.changed.iter().map(|change| change.topic.id)) {
        for (index, state) in image.topic(id).unwrap().partitions() {
            let Some(leader) = state.leader else { continue };
            let known = leaders.0.entry((id, index, state.leader_epoch.0)).or_insert(leader);
            assert_eq!(*known, leader, "two leaders of one epoch: {state:?}");
        }
    }
}

/// What a snapshot of an image leads to.
pub fn restored(image: &Image) -> Image {
    let mut restored = Image::default();
    for record in image.to_records() {
        let bytes = record.to_bytes();
        restored.load(image.offset().unwrap(), &Record::decode(&bytes).unwrap()).unwrap();
    }
    assert_eq!(&restored, image);
    restored
}

/// Settings for a controller.
pub fn settings() -> Arc<Settings> {
    Arc::new(
        Settings::parse("f", "auto.leader.rebalance.enable=true\nleader.imbalance.per.broker.percentage=0")
            .unwrap()
            .0,
    )
}
