//! Random consumers, time, failing appends and restarts, against a simple model.
//!
//! The model knows the log: which changes were appended, what each says about offsets, and which are committed. After
//! every step the shard must tell exactly the offsets that the model has; of one generation, no partition may have been
//! given to two members; and when time has passed in the end, every request must have got its one answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::{GROUP, World, commit, join, rejoin};
use ottla_groups::record::Key;
use ottla_groups::request::{Heartbeat, Join, Leave, Leaver, Sync};
use ottla_groups::{Answer, Generation, Request, Ticket};
use ottla_types::ErrorCode;
use proptest::prelude::*;

const CLIENTS: usize = 4;
const PARTITIONS: i32 = 6;
const TOPIC: &str = "read";
/// Consumers do not subscribe to it, so its offsets can be deleted.
const OTHER_TOPIC: &str = "other";

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    /// With a seed for the assignment, should the client lead.
    Sync(usize, u64),
    Heartbeat(usize),
    Leave(usize),
    /// A client commits as a member; the topic is its own.
    Commit(usize, i32),
    CommitFromOutside(i32),
    DeleteOffset(i32),
    DeleteGroup,
    /// As `DeleteGroup` and then `FailLastInPart`.
    DeleteGroupInPart(usize),
    Forget(usize),
    Advance(i64),
    CommitLog,
    CommitOne,
    FailLast(usize),
    /// Of the last change, if it may go into more than one batch, only the first ones of its records are appended.
    FailLastInPart(usize),
    /// The coordinator dies, and this many of its changes on their way are in the log nevertheless.
    Restart(usize),
    Expire,
    /// All clients join and sync, as they do when nothing disturbs them.
    Settle(u64),
    /// As `Settle`, but the leader sends a second, other assignment; and when the coordinator is another one, all ask for
    /// theirs again.
    SettleTwice(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let partition = 0..PARTITIONS;
    prop_oneof![
        4 => client.clone().prop_map(Step::Join),
        4 => (client.clone(), any::<u64>()).prop_map(|(client, seed)| Step::Sync(client, seed)),
        3 => client.clone().prop_map(Step::Heartbeat),
        1 => client.clone().prop_map(Step::Leave),
        4 => (client.clone(), partition.clone()).prop_map(|(client, partition)| Step::Commit(client, partition)),
        1 => partition.clone().prop_map(Step::CommitFromOutside),
        1 => partition.prop_map(Step::DeleteOffset),
        1 => Just(Step::DeleteGroup),
        1 => client.prop_map(Step::Forget),
        3 => (0_i64..20_000).prop_map(Step::Advance),
        3 => Just(Step::CommitLog),
        2 => Just(Step::CommitOne),
        1 => (1_usize..4).prop_map(Step::FailLast),
        1 => (0_usize..12).prop_map(Step::FailLastInPart),
        1 => (0_usize..12).prop_map(Step::DeleteGroupInPart),
        1 => (0_usize..4).prop_map(Step::Restart),
        1 => Just(Step::Expire),
        3 => any::<u64>().prop_map(Step::Settle),
        1 => any::<u64>().prop_map(Step::SettleTwice),
    ]
}

/// What a consumer knows.
#[derive(Debug, Default)]
struct Client {
    member_id: String,
    generation: i32,
    /// The members that it may assign to, if it leads.
    members: Vec<String>,
    asked: Vec<Ticket>,
}

/// What a change says about an offset.
type Told = ((&'static str, i32), Option<i64>);

struct Model {
    world: World,
    clients: Vec<Client>,
    /// Changes on their way, as the world's: what each says, and whether it ends the group.
    appended: VecDeque<Vec<Told>>,
    offsets: BTreeMap<(&'static str, i32), i64>,
    /// Counts up at each deletion of the group: generations begin anew then.
    incarnation: u32,
    /// Who was given a partition in a generation.
    owners: BTreeMap<(u32, i32, i32), String>,
    next_offset: i64,
    asked: Vec<Ticket>,
    committed_len: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            world: World::slow(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            appended: VecDeque::new(),
            offsets: BTreeMap::new(),
            incarnation: 0,
            owners: BTreeMap::new(),
            next_offset: 0,
            asked: Vec::new(),
            committed_len: 0,
        }
    }

    /// Clients 2 and 3 are static members.
    fn instance_id(client: usize) -> Option<String> {
        (client >= 2).then(|| format!("instance-{client}"))
    }

    fn ask(&mut self, request: Request, told: Vec<Told>) -> Ticket {
        let before = self.world.appended.len();
        let ticket = self.world.ask(request);
        self.note_appended(before, told);
        self.asked.push(ticket);
        ticket
    }

    fn note_appended(&mut self, before: usize, told: Vec<Told>) {
        if self.world.appended.len() > before {
            self.appended.push_back(told);
        }
        while self.appended.len() < self.world.appended.len() {
            // Changes of passing time, which say nothing about offsets.
            self.appended.push_back(Vec::new());
        }
    }

    fn join(&mut self, client: usize) {
        let new_id = format!("client-{client}-{}", self.asked.len());
        let own = &self.clients[client];
        let request = if own.member_id.is_empty() { join(&new_id) } else { rejoin(&own.member_id) };
        let protocols = common::protocols(&["range"], &[TOPIC]);
        let requires_known_member_id = client.is_multiple_of(2);
        let request =
            Join { instance_id: Self::instance_id(client), protocols, requires_known_member_id, ..request };
        let ticket = self.ask(Request::Join(request), Vec::new());
        self.clients[client].asked.push(ticket);
    }

    fn sync(&mut self, client: usize, seed: u64) {
        let own = &self.clients[client];
        let mut assignments: BTreeMap<&String, Vec<u8>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            if !own.members.is_empty() {
                let picked = (seed >> (partition * 8)) as usize % own.members.len();
                assignments.entry(&own.members[picked]).or_default().push(partition as u8);
            }
        }
        let request = Sync {
            group_id: GROUP.to_owned(),
            generation: Generation(own.generation),
            member_id: own.member_id.clone(),
            instance_id: Self::instance_id(client),
            protocol_type: None,
            protocol_name: None,
            assignments: assignments
                .into_iter()
                .map(|(id, partitions)| (id.clone(), partitions.into()))
                .collect(),
        };
        let ticket = self.ask(Request::Sync(request), Vec::new());
        self.clients[client].asked.push(ticket);
    }

    fn commit(&mut self, client: Option<usize>, topic: &'static str, partition: i32) {
        self.next_offset += 1;
        let offset = self.next_offset;
        let mut request = commit("", -1, topic, partition, offset);
        if let Some(client) = client {
            request.member_id.clone_from(&self.clients[client].member_id);
            request.generation = Generation(self.clients[client].generation);
            request.instance_id = Self::instance_id(client);
        }
        self.ask(Request::Commit(request), vec![((topic, partition), Some(offset))]);
    }

    fn step(&mut self, step: &Step) {
        let before = self.world.appended.len();
        match *step {
            Step::Join(client) => self.join(client),
            Step::Sync(client, seed) => self.sync(client, seed),
            Step::Heartbeat(client) => {
                let own = &self.clients[client];
                let request = Heartbeat {
                    group_id: GROUP.to_owned(),
                    generation: Generation(own.generation),
                    member_id: own.member_id.clone(),
                    instance_id: Self::instance_id(client),
                };
                let ticket = self.ask(Request::Heartbeat(request), Vec::new());
                self.clients[client].asked.push(ticket);
            }
            Step::Leave(client) => {
                let own = &mut self.clients[client];
                let member_id = std::mem::take(&mut own.member_id);
                let members = vec![Leaver { member_id, instance_id: Self::instance_id(client) }];
                self.ask(Request::Leave(Leave { group_id: GROUP.to_owned(), members }), Vec::new());
            }
            Step::Commit(client, partition) => self.commit(Some(client), TOPIC, partition),
            Step::CommitFromOutside(partition) => self.commit(None, OTHER_TOPIC, partition),
            Step::DeleteOffset(partition) => {
                let topics = vec![ottla_groups::request::DeleteTopic {
                    topic: common::name(OTHER_TOPIC),
                    partitions: vec![partition],
                }];
                let request = ottla_groups::request::DeleteOffsets { group_id: GROUP.to_owned(), topics };
                self.ask(Request::DeleteOffsets(request), vec![((OTHER_TOPIC, partition), None)]);
            }
            Step::DeleteGroup => {
                let request = ottla_groups::request::Delete { group_id: GROUP.to_owned() };
                let all = [TOPIC, OTHER_TOPIC]
                    .into_iter()
                    .flat_map(|topic| (0..PARTITIONS).map(move |p| (topic, p)));
                self.ask(Request::Delete(request), all.map(|place| (place, None)).collect());
            }
            Step::DeleteGroupInPart(written) => {
                self.step(&Step::DeleteGroup);
                if self.world.appended.len() > before {
                    self.step(&Step::FailLastInPart(written));
                }
            }
            Step::Forget(client) => self.clients[client] = Client::default(),
            Step::Advance(ms) => {
                self.world.advance(ms);
                self.note_appended(before, Vec::new());
            }
            Step::CommitLog => {
                while !self.appended.is_empty() {
                    self.commit_one();
                }
            }
            Step::CommitOne => self.commit_one(),
            Step::FailLast(count) => {
                self.world.fail_last(count, ErrorCode::NotEnoughReplicas);
                self.appended.truncate(self.world.appended.len());
            }
            Step::FailLastInPart(written) => self.fail_last_in_part(written),
            Step::Restart(survivors) => self.restart(survivors),
            Step::Expire => {
                self.world.sweep(ottla_groups::Sweep::expired());
                self.note_appended(before, Vec::new());
            }
            Step::Settle(seed) => {
                self.join_all();
                (0..CLIENTS).for_each(|client| self.sync(client, seed));
                self.step(&Step::CommitLog);
            }
            Step::SettleTwice(seed) => {
                self.join_all();
                (0..CLIENTS).for_each(|client| self.sync(client, seed));
                (0..CLIENTS).for_each(|client| self.sync(client, !seed));
                self.step(&Step::CommitLog);
                self.restart(0);
                (0..CLIENTS).for_each(|client| self.sync(client, 0));
            }
        }
        self.hear();
        self.check();
    }

    fn join_all(&mut self) {
        (0..CLIENTS).for_each(|client| self.join(client));
        self.hear();
        // Those that were told their ids only.
        let idle: Vec<usize> = (0..CLIENTS).filter(|&client| self.clients[client].asked.is_empty()).collect();
        idle.into_iter().for_each(|client| self.join(client));
        // A first rebalance takes a step more, as members came during the first.
        self.step(&Step::Advance(6_000));
        self.hear();
    }

    fn commit_one(&mut self) {
        self.world.commit_one();
        if let Some(told) = self.appended.pop_front() {
            self.learn(told);
        }
        self.hear();
    }

    /// The model's own replay: what a committed change says of offsets holds.
    fn learn(&mut self, told: Vec<Told>) {
        for (place, offset) in told {
            match offset {
                Some(offset) => self.offsets.insert(place, offset),
                None => self.offsets.remove(&place),
            };
        }
        let ends = self.world.log[self.committed_len..].iter().filter(|record| {
            record.value.is_none() && matches!(Key::decode(&record.key), Ok(Key::Group { .. }))
        });
        self.incarnation += ends.count() as u32;
        self.committed_len = self.world.log.len();
    }

    fn fail_last_in_part(&mut self, seed: usize) {
        let Some((_, records)) = self.world.appended.back().filter(|(_, records)| records.len() > 1) else {
            return;
        };
        if !self.world.may_split {
            return;
        }
        let written = 1 + seed % (records.len() - 1);
        self.world.fail_last_in_part(written, ErrorCode::NotEnoughReplicas);
        let is_written = |(topic, partition): (&str, i32)| {
            let (_, records) = self.world.appended.back().unwrap();
            records.iter().any(|record| {
                matches!(Key::decode(&record.key), Ok(Key::Offset { topic: of, partition: at, .. })
                    if (of, at) == (topic, partition))
            })
        };
        if let Some(told) = self.appended.back_mut() {
            told.retain(|(place, _)| is_written(*place));
        }
    }

    fn restart(&mut self, survivors: usize) {
        for (_, records) in self.world.appended.iter().take(survivors) {
            self.world.log.extend(records.iter().cloned());
        }
        // Answers given before the end are heard before generations may begin anew.
        self.hear();
        self.world.restart();
        let appended = std::mem::take(&mut self.appended);
        self.hear();
        for told in appended.into_iter().take(survivors) {
            self.learn(told);
        }
    }

    /// Clients take note of their answers.
    fn hear(&mut self) {
        for client in 0..CLIENTS {
            for ticket in std::mem::take(&mut self.clients[client].asked) {
                match self.world.answers.get(&ticket).cloned() {
                    None => self.clients[client].asked.push(ticket),
                    Some(answer) => self.heard(client, answer),
                }
            }
        }
    }

    fn heard(&mut self, client: usize, answer: Answer) {
        let error = match answer {
            Answer::Join(answer) => {
                if matches!(answer.error, ErrorCode::None | ErrorCode::MemberIdRequired) {
                    self.clients[client].member_id = answer.member_id;
                    self.clients[client].generation = answer.generation.0;
                    self.clients[client].members =
                        answer.members.into_iter().map(|member| member.member_id).collect();
                }
                answer.error
            }
            Answer::Sync(answer) => {
                if !answer.error.is_error() {
                    self.own(client, &answer.assignment);
                }
                answer.error
            }
            Answer::Heartbeat(error) => error,
            other => panic!("not asked for: {other:?}"),
        };
        if matches!(error, ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) {
            self.clients[client].member_id.clear();
        }
    }

    /// One owner for each partition of a generation. A static member that came back with another id is still the same.
    fn own(&mut self, client: usize, assignment: &[u8]) {
        let own = &self.clients[client];
        let owner = Self::instance_id(client).unwrap_or_else(|| own.member_id.clone());
        for &partition in assignment {
            let place = (self.incarnation, own.generation, i32::from(partition));
            let known = self.owners.entry(place).or_insert_with(|| owner.clone());
            assert_eq!(*known, owner, "two owners of partition {partition} in generation {}", own.generation);
        }
    }

    /// What the shard tells is what is committed.
    fn check(&mut self) {
        let told = self.world.fetch_all();
        let expected = self
            .offsets
            .iter()
            .map(|((topic, partition), offset)| (((*topic).to_owned(), *partition), *offset));
        assert_eq!(told, expected.collect());
        assert_eq!(self.world.shard.census().offsets, self.offsets.len());
    }

    /// An acknowledged commit is in the log at the latest when it is acknowledged, so that `check` saw it. In the end
    /// everybody has an answer, though nobody lives any more, and another coordinator tells the same.
    fn end(mut self) {
        self.step(&Step::CommitLog);
        self.world.commits_at_once = true;
        self.world.advance(24 * 60 * 60 * 1000);
        for ticket in &self.asked {
            assert!(!self.world.is_waiting(*ticket), "{ticket:?} is never answered");
        }
        let census = self.world.shard.census();
        assert_eq!((census.members, census.offsets), (0, self.offsets.len()));
        assert_eq!(self.world.shard.next_deadline_ms(), None, "the queue is empty");
        self.world.restart();
        self.check();
    }
}

fn run(steps: &[Step]) -> Model {
    let mut model = Model::new();
    for step in steps {
        model.step(step);
    }
    model
}

proptest! {
    // `PROPTEST_CASES` asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(400)))]

    #[test]
    fn groups_keep_their_promises_whatever_happens(steps in prop::collection::vec(step(), 1..120)) {
        run(&steps).end();
    }
}

#[test]
fn settled_clients_share_all_partitions() {
    let model = run(&[Step::Settle(0x0302_0100_0302)]);
    assert_eq!(model.owners.len(), PARTITIONS as usize, "or else the model checks nothing");
    model.end();
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn the_model_notices_an_offset_that_got_lost() {
    let mut model = run(&[Step::CommitFromOutside(0), Step::CommitLog]);
    model.world.log.pop();
    model.step(&Step::Restart(0));
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn the_model_notices_an_offset_that_turned_back() {
    let mut model = run(&[Step::CommitFromOutside(0), Step::CommitFromOutside(0), Step::CommitLog]);
    model.world.log.swap(0, 1);
    model.step(&Step::Restart(0));
}

#[test]
#[should_panic(expected = "two owners of partition 0 in generation")]
fn the_model_notices_two_owners() {
    let mut model = run(&[Step::Settle(0)]);
    let other =
        (0..CLIENTS).find(|&client| !model.owners.values().any(|owner| owner.contains(&client.to_string())));
    model.own(other.unwrap(), &[0]);
}
