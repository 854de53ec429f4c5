//! A shard in a world of its own: a clock that stands until it is moved, and a log that commits when it is told to.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use ottla_groups::answer::{FetchedPartition, JoinAnswer, LeaveAnswer, SyncAnswer};
use ottla_groups::request::{
    Commit, CommitPartition, CommitTopic, Delete, DeleteOffsets, DeleteTopic, Describe, FetchOffsets,
    FetchTopic, Heartbeat, Join, Leave, Leaver, List, Protocol, Sync,
};
use ottla_groups::{
    Answer, ChangeId, Decision, Effect, Generation, GroupConfig, Record, Request, Shard, Sweep, Ticket,
};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId, TopicName};

pub const GROUP: &str = "group";
pub const SESSION_MS: i32 = 10_000;
pub const REBALANCE_MS: i32 = 60_000;
pub const START_MS: i64 = 1_700_000_000_000;

pub struct World {
    pub shard: Shard,
    pub config: GroupConfig,
    pub now_ms: i64,
    /// What is committed, in order.
    pub log: Vec<Record>,
    /// What is appended, and not committed.
    pub appended: VecDeque<(ChangeId, Vec<Record>)>,
    /// Whether the records of the newest change may go into more than one batch.
    pub may_split: bool,
    pub answers: BTreeMap<Ticket, Answer>,
    /// Whether records are committed as soon as they are appended.
    pub commits_at_once: bool,
    last_ticket: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    pub fn with(config: GroupConfig) -> Self {
        Self {
            shard: Shard::new(config.clone()),
            config,
            now_ms: START_MS,
            log: Vec::new(),
            appended: VecDeque::new(),
            may_split: false,
            answers: BTreeMap::new(),
            commits_at_once: true,
            last_ticket: 0,
        }
    }

    /// A world whose log commits nothing by itself.
    pub fn slow() -> Self {
        Self { commits_at_once: false, ..Self::new() }
    }

    pub fn ask(&mut self, request: Request) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let decision = self.shard.handle(ticket, request, self.now_ms);
        self.carry_out(decision);
        ticket
    }

    pub fn carry_out(&mut self, decision: Decision) {
        assert_eq!(decision.change.is_some(), !decision.records.is_empty(), "a change has records");
        self.deliver(decision.effects);
        if let Some(change) = decision.change {
            self.appended.push_back((change, decision.records));
            self.may_split = decision.may_split;
            if self.commits_at_once {
                self.commit_log();
            }
        }
    }

    fn deliver(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let Effect::Answer { ticket, answer } = effect else { panic!("unexpected {effect:?}") };
            assert!(ticket.0 <= self.last_ticket, "{ticket:?} was never given out");
            let before = self.answers.insert(ticket, answer);
            assert_eq!(before, None, "{ticket:?} is answered twice");
        }
    }

    /// Commits the oldest change.
    pub fn commit_one(&mut self) {
        if let Some((change, records)) = self.appended.pop_front() {
            self.log.extend(records);
            let effects = self.shard.committed(change, self.now_ms);
            self.deliver(effects);
        }
    }

    /// Commits all that is appended.
    pub fn commit_log(&mut self) {
        while !self.appended.is_empty() {
            self.commit_one();
        }
    }

    /// The newest `count` changes cannot be appended.
    pub fn fail_last(&mut self, count: usize, error: ErrorCode) {
        let dropped = self.appended.split_off(self.appended.len().saturating_sub(count));
        self.may_split = false;
        if let Some((change, _)) = dropped.front() {
            let effects = self.shard.failed(*change, error, self.now_ms);
            self.deliver(effects);
        }
    }

    /// Of the newest change, whose records are in several batches, only the first `written` records can be appended.
    pub fn fail_last_in_part(&mut self, written: usize, error: ErrorCode) {
        assert!(self.may_split, "records of one batch are written together");
        let (change, records) = self.appended.back_mut().expect("a change is on its way");
        assert!((1..records.len()).contains(&written), "{written} of {}", records.len());
        records.truncate(written);
        // They are one batch now.
        self.may_split = false;
        let effects = self.shard.failed_in_part(*change, written, error, self.now_ms);
        self.deliver(effects);
    }

    /// What is appended takes too long to be committed.
    pub fn time_out(&mut self) {
        if let Some((change, _)) = self.appended.back() {
            let effects = self.shard.timed_out(*change, self.now_ms);
            self.deliver(effects);
        }
    }

    /// Sweeps to the end. Returns how many records each part wrote.
    pub fn sweep(&mut self, mut sweep: Sweep) -> Vec<usize> {
        let mut parts = Vec::new();
        while !sweep.is_done() {
            let decision = self.shard.sweep(&mut sweep, self.now_ms);
            assert!(decision.may_split || decision.records.is_empty());
            parts.push(decision.records.len());
            self.carry_out(decision);
        }
        parts
    }

    /// Lets time pass, and does what comes due on the way.
    pub fn advance(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(deadline_ms) =
            self.shard.next_deadline_ms().filter(|&deadline_ms| deadline_ms <= end_ms)
        {
            self.now_ms = self.now_ms.max(deadline_ms);
            let decision = self.shard.tick(self.now_ms);
            self.carry_out(decision);
        }
        self.now_ms = end_ms;
    }

    /// The coordinator dies with what is not committed, and another loads the log.
    pub fn restart(&mut self) {
        self.appended.clear();
        let effects = self.shard.stop(ErrorCode::NotCoordinator);
        self.deliver(effects);
        self.shard = self.reloaded();
        self.shard.loaded(self.now_ms);
    }

    pub fn reloaded(&self) -> Shard {
        let mut shard = Shard::new(self.config.clone());
        for (offset, record) in self.log.iter().enumerate() {
            shard
                .load(&record.key, record.value.as_deref(), Offset(offset as i64))
                .expect("own records can be read");
        }
        shard
    }

    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    pub fn answer(&self, ticket: Ticket) -> &Answer {
        self.answers.get(&ticket).unwrap_or_else(|| panic!("{ticket:?} has no answer yet"))
    }

    pub fn joined(&self, ticket: Ticket) -> &JoinAnswer {
        let Answer::Join(answer) = self.answer(ticket) else { panic!("{ticket:?} is no join") };
        answer
    }

    pub fn synced(&self, ticket: Ticket) -> &SyncAnswer {
        let Answer::Sync(answer) = self.answer(ticket) else { panic!("{ticket:?} is no sync") };
        answer
    }

    pub fn left(&self, ticket: Ticket) -> &LeaveAnswer {
        let Answer::Leave(answer) = self.answer(ticket) else { panic!("{ticket:?} is no leave") };
        answer
    }

    pub fn commit_error(&self, ticket: Ticket) -> ErrorCode {
        let Answer::Commit(topics) = self.answer(ticket) else { panic!("{ticket:?} is no commit") };
        topics[0].partitions[0].1
    }

    pub fn heartbeat(&mut self, member_id: &str, generation: i32) -> ErrorCode {
        self.heartbeat_as(member_id, None, generation)
    }

    pub fn heartbeat_as(&mut self, member_id: &str, instance_id: Option<&str>, generation: i32) -> ErrorCode {
        let ticket = self.ask(Request::Heartbeat(Heartbeat {
            group_id: GROUP.to_owned(),
            generation: Generation(generation),
            member_id: member_id.to_owned(),
            instance_id: instance_id.map(str::to_owned),
        }));
        let Answer::Heartbeat(error) = self.answer(ticket) else { panic!("{ticket:?} is no heartbeat") };
        *error
    }

    pub fn sync(&mut self, member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        self.ask(Request::Sync(sync(member_id, generation, assignments)))
    }

    pub fn leave(&mut self, member_ids: &[&str]) -> Ticket {
        let members = member_ids.iter().map(|id| Leaver { member_id: (*id).to_owned(), instance_id: None });
        self.ask(Request::Leave(Leave { group_id: GROUP.to_owned(), members: members.collect() }))
    }

    pub fn commit(
        &mut self,
        member_id: &str,
        generation: i32,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Ticket {
        self.ask(Request::Commit(commit(member_id, generation, topic, partition, offset)))
    }

    pub fn fetch(&mut self, topic: &str, partition: i32) -> i64 {
        let request = fetch(Some(&[(topic, partition)]), false);
        let ticket = self.ask(Request::FetchOffsets(request));
        let Answer::FetchOffsets(answer) = self.answer(ticket) else { panic!("{ticket:?} is no fetch") };
        assert_eq!(answer.error, ErrorCode::None);
        answer.topics[0].partitions[0].offset.0
    }

    /// All committed offsets of the group.
    pub fn fetch_all(&mut self) -> BTreeMap<(String, i32), i64> {
        let ticket = self.ask(Request::FetchOffsets(fetch(None, false)));
        let Answer::FetchOffsets(answer) = self.answer(ticket) else { panic!("{ticket:?} is no fetch") };
        let of = |topic: &TopicName, partition: &FetchedPartition| {
            ((topic.to_string(), partition.partition), partition.offset.0)
        };
        let topics = answer.topics.iter();
        topics
            .flat_map(|topic| topic.partitions.iter().map(move |partition| of(&topic.topic, partition)))
            .collect()
    }

    pub fn delete_offset(&mut self, topic: &str, partition: i32) -> Result<ErrorCode, ErrorCode> {
        let topics = vec![DeleteTopic { topic: name(topic), partitions: vec![partition] }];
        let ticket = self.ask(Request::DeleteOffsets(DeleteOffsets { group_id: GROUP.to_owned(), topics }));
        let Answer::DeleteOffsets(answer) = self.answer(ticket) else { panic!("{ticket:?} is no deletion") };
        if answer.error.is_error() { Err(answer.error) } else { Ok(answer.topics[0].1[0].1) }
    }

    pub fn delete_group(&mut self) -> Ticket {
        self.ask(Request::Delete(Delete { group_id: GROUP.to_owned() }))
    }

    pub fn deleted(&self, ticket: Ticket) -> ErrorCode {
        let Answer::Delete(error) = self.answer(ticket) else { panic!("{ticket:?} is no deletion") };
        *error
    }

    pub fn describe(&mut self) -> ottla_groups::answer::DescribedGroup {
        let ticket = self.ask(Request::Describe(Describe { group_ids: vec![GROUP.to_owned()] }));
        let Answer::Describe(groups) = self.answer(ticket) else { panic!("{ticket:?} is no description") };
        groups[0].clone()
    }

    pub fn state(&mut self) -> &'static str {
        self.describe().state
    }

    pub fn list(&mut self, states: &[&str], types: &[&str]) -> Vec<String> {
        let list = List::new(states.iter().copied(), types.iter().copied());
        let ticket = self.ask(Request::List(list));
        let Answer::List(groups) = self.answer(ticket) else { panic!("{ticket:?} is no list") };
        groups.iter().map(|group| group.group_id.clone()).collect()
    }

    /// A stable group of these members, who knew their ids from the beginning. The first one leads. Each is assigned
    /// its own name.
    pub fn stable(&mut self, members: &[&str]) -> i32 {
        let tickets: Vec<Ticket> = members.iter().map(|id| self.ask(Request::Join(join(id)))).collect();
        self.advance(i64::from(self.config.initial_rebalance_delay_ms) * (members.len() as i64 + 1));
        let generation = self.joined(tickets[0]).generation.0;
        self.sync_all(members, generation);
        generation
    }

    /// All members sync, the leader with an assignment of its own name for each.
    pub fn sync_all(&mut self, members: &[&str], generation: i32) {
        let leader = self.leader(members);
        let assignments: Vec<(&str, &str)> = members.iter().map(|id| (*id, *id)).collect();
        let leads = self.sync(&leader, generation, &assignments);
        self.commit_log();
        assert_eq!(self.synced(leads).error, ErrorCode::None);
        for member in members.iter().filter(|member| **member != leader) {
            let ticket = self.sync(member, generation, &[]);
            assert_eq!(self.synced(ticket).assignment, member.as_bytes());
        }
    }

    /// The leader, from the answers to joins.
    pub fn leader(&self, members: &[&str]) -> String {
        let joins = self.answers.values().rev().filter_map(|answer| match answer {
            Answer::Join(answer) if members.contains(&answer.member_id.as_str()) => {
                Some(answer.leader.clone())
            }
            _ => None,
        });
        joins.into_iter().find(|leader| !leader.is_empty()).expect("somebody has joined")
    }
}

pub fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("a legal name")
}

/// `ConsumerProtocolSubscription`, version 0.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut out = vec![0, 0];
    out.extend_from_slice(&(topics.len() as i32).to_be_bytes());
    for topic in topics {
        out.extend_from_slice(&(topic.len() as i16).to_be_bytes());
        out.extend_from_slice(topic.as_bytes());
    }
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.into()
}

pub fn protocols(names: &[&str], topics: &[&str]) -> Vec<Protocol> {
    let protocol = |name: &&str| Protocol { name: (*name).to_owned(), metadata: subscription(topics) };
    names.iter().map(protocol).collect()
}

/// A member that joins for the first time, as clients before KIP-394 did, and gets this id.
pub fn join(new_member_id: &str) -> Join {
    Join {
        group_id: GROUP.to_owned(),
        member_id: String::new(),
        instance_id: None,
        new_member_id: new_member_id.to_owned(),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range"], &["topic"]),
        requires_known_member_id: false,
        supports_skipping_assignment: true,
    }
}

/// A member that joins again.
pub fn rejoin(member_id: &str) -> Join {
    Join { member_id: member_id.to_owned(), ..join("not-needed") }
}

/// A static member that joins without an id.
pub fn join_static(instance_id: &str, new_member_id: &str) -> Join {
    Join { instance_id: Some(instance_id.to_owned()), ..join(new_member_id) }
}

pub fn sync(member_id: &str, generation: i32, assignments: &[(&str, &str)]) -> Sync {
    let owned = |(member, assignment): &(&str, &str)| {
        ((*member).to_owned(), Bytes::copy_from_slice(assignment.as_bytes()))
    };
    Sync {
        group_id: GROUP.to_owned(),
        generation: Generation(generation),
        member_id: member_id.to_owned(),
        instance_id: None,
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assignments.iter().map(owned).collect(),
    }
}

pub fn commit(member_id: &str, generation: i32, topic: &str, partition: i32, offset: i64) -> Commit {
    let partition = CommitPartition {
        partition,
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(3),
        metadata: "kept".to_owned(),
    };
    Commit {
        group_id: GROUP.to_owned(),
        generation: Generation(generation),
        member_id: member_id.to_owned(),
        instance_id: None,
        retention_ms: None,
        knows_group_id_not_found: true,
        topics: vec![CommitTopic {
            topic: name(topic),
            topic_id: TopicId::ZERO,
            partitions: vec![partition],
        }],
    }
}

pub fn fetch(partitions: Option<&[(&str, i32)]>, require_stable: bool) -> FetchOffsets {
    let topic = |(topic, partition): &(&str, i32)| FetchTopic {
        topic: name(topic),
        topic_id: TopicId::ZERO,
        partitions: vec![*partition],
    };
    FetchOffsets {
        group_id: GROUP.to_owned(),
        topics: partitions.map(|partitions| partitions.iter().map(topic).collect()),
        require_stable,
    }
}

/// The value of some offset, as in a record.
pub fn commit_value() -> Vec<u8> {
    let value = ottla_groups::record::OffsetValue {
        offset: Offset(1),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "".into(),
        commit_timestamp_ms: START_MS,
        expire_timestamp_ms: None,
        topic_id: TopicId::ZERO,
    };
    value.encode()
}
