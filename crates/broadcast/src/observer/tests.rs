//! An observer before nodes that are there, or dead, or silent, or cut off from the others.

use std::collections::BTreeMap;

use tokio::time::{Instant, timeout};

use super::*;
use crate::atomic::Delivery;

const PATIENCE: Duration = Duration::from_millis(500);

/// What a node has, and how it is.
#[derive(Clone, Default)]
struct Node {
    /// All that is committed, as far as it knows.
    records: Vec<Bytes>,
    /// Its log begins here; a snapshot stands for what is before.
    start: usize,
    leader: LeaderHint,
    state: State,
    /// It dies after so many pieces of a snapshot.
    pieces_left: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Up,
    Dead,
    /// It takes questions, and answers none.
    Silent,
}

struct Fake {
    nodes: watch::Sender<BTreeMap<i32, Node>>,
}

/// The clock of the runtime, which is paused.
struct Paused(Instant);

impl Clock for Paused {
    fn wall_ms(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn place(node: i32) -> Place {
    Place { host: "node".to_owned(), port: u16::try_from(node).unwrap() }
}

fn id(place: &Place) -> i32 {
    i32::from(place.port)
}

fn record(n: usize) -> Bytes {
    Bytes::from(n.to_string())
}

fn hint(leader: i32, epoch: i64) -> LeaderHint {
    LeaderHint { leader: Some(BrokerId(leader)), epoch: LeadershipEpoch(epoch) }
}

impl Fake {
    fn new(nodes: impl IntoIterator<Item = (i32, Node)>) -> Arc<Self> {
        Arc::new(Self { nodes: watch::Sender::new(nodes.into_iter().collect()) })
    }

    fn change(&self, node: i32, change: impl FnOnce(&mut Node)) {
        self.nodes.send_modify(|nodes| change(nodes.get_mut(&node).unwrap()));
    }

    /// Commits records on some nodes: up to this one.
    fn commit(&self, nodes: impl IntoIterator<Item = i32>, count: usize) {
        for node in nodes {
            self.change(node, |node| node.records = (0..count).map(record).collect());
        }
    }

    async fn there(&self, place: &Place, patience: Duration) -> Result<Node, String> {
        let node = self.nodes.borrow().get(&id(place)).unwrap().clone();
        match node.state {
            State::Up => Ok(node),
            State::Dead => Err("refused".to_owned()),
            State::Silent => {
                tokio::time::sleep(patience).await;
                Err("no answer".to_owned())
            }
        }
    }

    fn found(&self, place: &Place, node: &Node, question: &Question) -> Found {
        if let Some((upto, position)) = question.snapshot {
            if upto != Offset(node.start as i64 - 1) {
                return Found::NoSnapshot;
            }
            if let Some(left) = node.pieces_left {
                self.change(id(place), |node| {
                    node.pieces_left = Some(left.saturating_sub(1));
                    node.state = if left <= 1 { State::Dead } else { State::Up };
                });
            }
            let at = usize::try_from(position).unwrap();
            let next = (at + 1 < node.start).then_some(position + 1);
            return Found::Piece(SnapshotPiece { records: vec![record(at)], next });
        }
        let from = usize::try_from(question.from.0).unwrap();
        if from < node.start {
            return Found::NeedsSnapshot { upto: Offset(node.start as i64 - 1) };
        }
        Found::Records(node.records.get(from..).unwrap_or_default().to_vec())
    }
}

impl Voters for Fake {
    fn ask<'a>(
        &'a self,
        place: &'a Place,
        question: Question,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            let mut nodes = self.nodes.subscribe();
            let node = self.there(place, patience).await?;
            let mut found = self.found(place, &node, &question);
            if found == Found::Records(Vec::new()) && node.leader.epoch <= question.leader.epoch {
                let _ = timeout(question.max_wait, nodes.changed()).await;
                found = self.found(place, &self.there(place, patience).await?, &question);
            }
            let leader = self.nodes.borrow().get(&id(place)).unwrap().leader;
            Ok(Answer { node: BrokerId(id(place)), leader, leader_at: None, found })
        })
    }

    fn barrier<'a>(&'a self, place: &'a Place, patience: Duration) -> BoxFuture<'a, Result<Offset, String>> {
        Box::pin(async move { Ok(Offset(self.there(place, patience).await?.records.len() as i64)) })
    }

    fn found(&self, _node: BrokerId, _place: &Place) {}
}

struct Following {
    observer: Arc<Observer>,
    deliveries: DeliveryReceiver,
    /// What was delivered, with the pieces of a snapshot that is not whole apart.
    records: Vec<Bytes>,
    loading: Vec<Bytes>,
    snapshots: usize,
}

impl Following {
    fn start(fake: &Arc<Fake>) -> Self {
        let voters = Arc::clone(fake) as Arc<dyn Voters>;
        let places: Vec<Place> = fake.nodes.borrow().keys().map(|node| place(*node)).collect();
        let observer = Observer::start(voters, Arc::new(Paused(Instant::now())), places, PATIENCE);
        let deliveries = observer.deliveries().unwrap();
        let (records, loading) = (Vec::new(), Vec::new());
        Self { observer, deliveries, records, loading, snapshots: 0 }
    }

    /// Takes deliveries until there are so many records, each in its place.
    async fn reaches(&mut self, count: usize) {
        while self.records.len() < count {
            let next = timeout(Duration::from_secs(60), self.deliveries.recv()).await;
            match next.expect("nothing more is delivered").expect("it ended") {
                Delivery::Committed { first, records } => {
                    assert_eq!(first, Offset(self.records.len() as i64));
                    self.records.extend(records);
                }
                Delivery::Snapshot { upto, is_first, is_last, records } => {
                    if is_first {
                        self.loading.clear();
                    }
                    self.loading.extend(records);
                    if is_last {
                        self.records = std::mem::take(&mut self.loading);
                        self.snapshots += 1;
                        assert_eq!(self.records.len() as i64, upto.0 + 1);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.records, (0..count).map(record).collect::<Vec<_>>());
    }
}

fn three(leader: i32, epoch: i64) -> Arc<Fake> {
    Fake::new((1..=3).map(|node| (node, Node { leader: hint(leader, epoch), ..Node::default() })))
}

#[tokio::test(start_paused = true)]
async fn records_come_in_order_over_the_death_of_a_leader_and_of_all() {
    let fake = three(1, 5);
    let mut following = Following::start(&fake);
    fake.commit(1..=3, 3);
    following.reaches(3).await;
    assert_eq!(*following.observer.leader().borrow(), hint(1, 5));

    fake.change(1, |node| node.state = State::Dead);
    for node in 2..=3 {
        fake.change(node, |node| node.leader = hint(3, 6));
    }
    fake.commit(2..=3, 5);
    following.reaches(5).await;
    let mut leader = following.observer.leader();
    leader.wait_for(|known| *known == hint(3, 6)).await.unwrap();

    for node in 1..=3 {
        fake.change(node, |node| node.state = State::Dead);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    for node in 1..=3 {
        fake.change(node, |node| (node.state, node.leader) = (State::Up, hint(2, 7)));
    }
    fake.commit(1..=3, 6);
    following.reaches(6).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_falls_silent_is_left_for_the_next_one() {
    let fake = three(1, 5);
    let mut following = Following::start(&fake);
    fake.commit(1..=3, 3);
    following.reaches(3).await;
    fake.change(1, |node| node.state = State::Silent);
    for node in 2..=3 {
        fake.change(node, |node| node.leader = hint(2, 6));
    }
    fake.commit(2..=3, 4);
    let begin = Instant::now();
    following.reaches(4).await;
    assert!(begin.elapsed() < 3 * PATIENCE, "in simulated time: {:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_from_the_others_does_not_keep_an_observer_in_the_past() {
    // Node 1 believes to lead, and will for ever; the others have another leader.
    let fake = three(1, 5);
    let mut following = Following::start(&fake);
    fake.commit(1..=3, 3);
    following.reaches(3).await;
    for node in 2..=3 {
        fake.change(node, |node| node.leader = hint(2, 6));
    }
    fake.commit(2..=3, 4);
    following.reaches(4).await;
    // And node 2 is lost, while node 3 has not noticed: what it hears of is had from it.
    fake.change(2, |node| node.state = State::Silent);
    fake.commit([3], 5);
    following.reaches(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_go_back_far_enough_is_begun_with_its_snapshot() {
    let fake = three(2, 5);
    fake.commit(1..=3, 9);
    for node in 1..=3 {
        fake.change(node, |node| node.start = 6);
    }
    let mut following = Following::start(&fake);
    following.reaches(9).await;
    assert_eq!(following.snapshots, 1);
    // And one that lags behind while it runs.
    fake.commit(1..=3, 20);
    fake.change(2, |node| node.start = 18);
    following.reaches(20).await;
    assert!(following.snapshots <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_whose_node_dies_is_begun_anew_from_another() {
    let fake = three(2, 5);
    fake.commit(1..=3, 9);
    for node in 1..=3 {
        fake.change(node, |node| node.start = 6);
    }
    // The first that is asked.
    fake.change(1, |node| node.pieces_left = Some(3));
    fake.change(3, |node| node.start = 7);
    let mut following = Following::start(&fake);
    following.reaches(9).await;
    assert_eq!(following.snapshots, 1);
    assert!(fake.nodes.borrow()[&1].state == State::Dead, "it was asked for pieces");
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_is_asked_of_others_where_the_leader_does_not_say() {
    let fake = three(1, 5);
    fake.commit(1..=3, 4);
    let mut following = Following::start(&fake);
    following.reaches(4).await;
    let observer = &following.observer;
    fake.change(1, |node| node.state = State::Silent);
    assert_eq!(observer.read_barrier().await, Ok(Offset(4)));
    for node in 2..=3 {
        fake.change(node, |node| node.state = State::Dead);
    }
    let error = observer.read_barrier().await.unwrap_err().to_string();
    assert!(error.contains("node:1: no answer") && error.contains("node:3: refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nobody_appends_here_and_nothing_is_kept() {
    let fake = three(1, 5);
    fake.commit(1..=3, 1);
    let mut following = Following::start(&fake);
    following.reaches(1).await;
    let observer = &following.observer;
    let refused = observer.append(LeadershipEpoch(5), vec![record(1)]).err().unwrap();
    assert!(matches!(refused, Refused::NotLeading { leader: Some(BrokerId(1)), .. }), "{refused}");
    assert!(!observer.keeps_snapshots());
    observer.read(Offset(0), 100).await.unwrap_err();
    observer.read_snapshot(Offset(0), 0, 100).await.unwrap_err();
    observer.snapshot(Offset(0), Vec::new()).await.unwrap_err();
    assert!(observer.deliveries().is_none(), "they are taken once");
}

#[tokio::test(start_paused = true)]
async fn a_closed_observer_delivers_nothing_more_even_if_nobody_takes_it() {
    let fake = three(1, 5);
    let mut following = Following::start(&fake);
    // One record at a time, and nobody takes them.
    for count in 1..=20 {
        fake.commit(1..=3, count);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    following.observer.close().await;
    following.observer.close().await;
    let mut left = 0;
    while following.deliveries.recv().await.is_some() {
        left += 1;
    }
    assert!(left <= WAITING_DELIVERIES, "{left}");
    assert!(following.observer.read_barrier().await.is_err());
}
