//! What a shard costs: `cargo run --release -p ottla-groups --example measure`.
//!
//! CPU time is wall time here, as nothing waits.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "it measures, and prints")]

use std::time::Instant;

use bytes::Bytes;
use ottla_groups::request::{Commit, CommitPartition, CommitTopic, Heartbeat, Join, Protocol, Sync};
use ottla_groups::{Answer, Decision, Effect, Generation, GroupConfig, Record, Request, Shard, Ticket};
use ottla_types::{LeaderEpoch, Offset, TopicId, TopicName};

fn commit(group: usize, topic: usize, partitions: std::ops::Range<i32>) -> Request {
    let partition = |partition| CommitPartition {
        partition,
        offset: Offset(123_456),
        leader_epoch: LeaderEpoch(7),
        metadata: String::new(),
    };
    let topic = CommitTopic {
        topic: TopicName::new(&format!("some-topic-of-usual-length-{topic}")).unwrap(),
        topic_id: TopicId([7; 16]),
        partitions: partitions.map(partition).collect(),
    };
    Request::Commit(Commit {
        group_id: format!("some-group-of-usual-length-{group}"),
        generation: Generation::NONE,
        member_id: String::new(),
        instance_id: None,
        retention_ms: None,
        knows_group_id_not_found: true,
        topics: vec![topic],
    })
}

/// Appends and commits at once.
fn settle(shard: &mut Shard, mut decision: Decision, log: &mut Vec<Record>) -> Vec<Effect> {
    let mut effects = std::mem::take(&mut decision.effects);
    log.append(&mut decision.records);
    if let Some(change) = decision.change {
        effects.extend(shard.committed(change, 0));
    }
    effects
}

fn report(what: &str, count: usize, began: Instant) {
    let taken = began.elapsed();
    println!("{what}: {count} in {taken:?}, {:.0} ns each", taken.as_nanos() as f64 / count as f64);
}

fn load(name: &str, log: &[Record]) {
    let mut shard = Shard::new(GroupConfig::default());
    let began = Instant::now();
    for (offset, record) in log.iter().enumerate() {
        shard.load(&record.key, record.value.as_deref(), Offset(offset as i64)).unwrap();
    }
    shard.loaded(0);
    report(name, log.len(), began);
    println!("    {:?}", shard.census());
}

fn main() {
    let mut shard = Shard::new(GroupConfig::default());
    let mut log = Vec::new();
    let began = Instant::now();
    for round in 0..1_000_000_usize {
        let partition = (round / 10_000) as i32 % 10;
        let request = commit(round % 1_000, round / 1_000 % 10, partition..partition + 1);
        let decision = shard.handle(Ticket(round as u64), request, 0);
        settle(&mut shard, decision, &mut log);
    }
    report("commits, 1,000 groups", 1_000_000, began);
    load("loading those", &log);

    let mut shard = Shard::new(GroupConfig::default());
    let mut log = Vec::new();
    for group in 0..10_000 {
        for topic in 0..10 {
            let decision = shard.handle(Ticket(0), commit(group, topic, 0..10), 0);
            settle(&mut shard, decision, &mut log);
        }
    }
    load("loading 10,000 groups of 100 different offsets", &log);
    heartbeats();
}

fn heartbeats() {
    let mut shard = Shard::new(GroupConfig::default());
    let mut log = Vec::new();
    let mut ticket = 0;
    let mut ask = |shard: &mut Shard, request, now_ms| {
        ticket += 1;
        let decision = shard.handle(Ticket(ticket), request, now_ms);
        settle(shard, decision, &mut log)
    };
    let ids = |group: usize| (0..10).map(move |member| format!("client-{group}-{member}-0123456789abcdef"));
    for group in 0..1_000 {
        for member in ids(group) {
            ask(&mut shard, Request::Join(join(group, member)), 0);
        }
    }
    for now_ms in [3_000, 6_000, 9_000] {
        let mut joined = Vec::new();
        while shard.next_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            let decision = shard.tick(now_ms);
            joined.extend(decision.effects);
        }
        for effect in joined {
            let Effect::Answer { answer: Answer::Join(answer), .. } = effect else { panic!() };
            let group = answer.member_id.split('-').nth(1).unwrap().parse().unwrap();
            let request =
                sync(group, answer.member_id, answer.members.into_iter().map(|member| member.member_id));
            ask(&mut shard, Request::Sync(request), now_ms);
        }
    }
    println!("{:?}", shard.census());
    let began = Instant::now();
    for round in 0..100 {
        let now_ms = 9_000 + round * 3_000;
        for group in 0..1_000 {
            for member_id in ids(group) {
                let request = Heartbeat {
                    group_id: format!("group-{group}"),
                    generation: Generation(1),
                    member_id,
                    instance_id: None,
                };
                ask(&mut shard, Request::Heartbeat(request), now_ms);
            }
        }
        let decision = shard.tick(now_ms);
        assert!(decision.records.is_empty());
    }
    report("heartbeats, 1,000 groups of 10 members", 1_000_000, began);
    println!("    {:?}", shard.census());
}

fn join(group: usize, new_member_id: String) -> Join {
    Join {
        group_id: format!("group-{group}"),
        member_id: String::new(),
        instance_id: None,
        new_member_id,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::from_static(&[0; 10]) }],
        requires_known_member_id: false,
        supports_skipping_assignment: true,
    }
}

fn sync(group: usize, member_id: String, members: impl Iterator<Item = String>) -> Sync {
    Sync {
        group_id: format!("group-{group}"),
        generation: Generation(1),
        member_id,
        instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: members.map(|member| (member, Bytes::from_static(b"assigned"))).collect(),
    }
}
