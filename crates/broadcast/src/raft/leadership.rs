//! Under which epoch this node may append, and what its user has been told of it.
//!
//! An epoch begins where the state machine applies the leader's first entry of its term: by then all earlier ones have
//! been delivered. It ends for good with the first sign that it may: another vote on disk, an append that was lost, a
//! quorum that is silent, or the user's wish; whether openraft still leads in that term does not matter any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_env::process;
use ottla_types::{BrokerId, LeadershipEpoch};
use tokio::sync::{Mutex, mpsc, watch};

use super::observed::Observed;
use super::types::{Vote, epoch};
use crate::atomic::{Delivery, LeaderHint};
use crate::quorum::VoterKey;

/// The epochs of this node.
pub(crate) struct Leadership {
    me: VoterKey,
    vote: watch::Receiver<Option<Vote>>,
    state: watch::Sender<State>,
    hint: watch::Sender<LeaderHint>,
    /// Whether another node that leads according to the vote has not been heard of for long.
    is_silent: AtomicBool,
}

/// What the node may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The epoch under which appends are taken.
    pub(crate) leading: Option<LeadershipEpoch>,
    /// No epoch up to this one begins any more.
    pub(crate) ended: LeadershipEpoch,
}

/// The one that leads according to a vote that a quorum has granted.
pub(crate) fn leader_of(vote: Option<&Vote>) -> Option<(VoterKey, LeadershipEpoch)> {
    let vote = vote.filter(|vote| vote.committed)?;
    Some((vote.leader_id.voted_for, epoch(vote.leader_id.term)))
}

impl Leadership {
    pub(crate) fn new(me: VoterKey, vote: watch::Receiver<Option<Vote>>) -> Self {
        let state = watch::Sender::new(State::default());
        let known = vote.borrow().map_or(LeadershipEpoch(0), |vote| epoch(vote.leader_id.term));
        let hint = watch::Sender::new(LeaderHint { leader: None, epoch: known });
        Self { me, vote, state, hint, is_silent: AtomicBool::new(false) }
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn hint(&self) -> watch::Receiver<LeaderHint> {
        self.hint.subscribe()
    }

    /// The epoch that openraft leads in, going by the vote on disk.
    pub(crate) fn elected(&self) -> Option<LeadershipEpoch> {
        let vote = self.vote.borrow();
        leader_of(vote.as_ref()).filter(|(leader, _)| *leader == self.me).map(|(_, epoch)| epoch)
    }

    /// Begins an epoch, unless it has ended before it began. Whether it did.
    fn begin(&self, epoch: LeadershipEpoch) -> bool {
        self.state.send_if_modified(|state| {
            let begins = epoch > state.ended && state.leading.is_none();
            if begins {
                state.leading = Some(epoch);
            }
            begins
        });
        // The vote may have changed before the epoch was noted, and whoever watches it has passed by then.
        if self.elected() != Some(epoch) {
            self.end(epoch);
        }
        self.state().leading == Some(epoch)
    }

    /// Ends the given epoch and all before it.
    pub(crate) fn end(&self, epoch: LeadershipEpoch) {
        self.state.send_if_modified(|state| {
            let before = *state;
            state.ended = state.ended.max(epoch);
            state.leading = state.leading.filter(|leading| *leading > epoch);
            *state != before
        });
    }

    /// Takes note of whether the leader is silent, if it is another node: it is not named then. The vote says who was elected
    /// last, and stays as it is when too few are left to elect another one.
    pub(crate) fn see_silence(&self, is_silent: bool) {
        if self.is_silent.swap(is_silent, Ordering::Relaxed) != is_silent {
            self.see_vote();
        }
    }

    /// Takes note of the vote on disk: ends an epoch that another one follows, and tells who leads.
    pub(crate) fn see_vote(&self) {
        let elected = self.elected();
        if let Some(leading) = self.state().leading
            && elected != Some(leading)
        {
            self.end(leading);
        }
        let (leader, known) = {
            let vote = self.vote.borrow();
            (leader_of(vote.as_ref()), vote.map_or(LeadershipEpoch(0), |vote| epoch(vote.leader_id.term)))
        };
        let ended = self.state().ended;
        let is_silent = self.is_silent.load(Ordering::Relaxed);
        let is_there =
            |(key, epoch): &(VoterKey, _)| if *key == self.me { *epoch > ended } else { !is_silent };
        let leader = leader.filter(is_there).map(|(key, _)| key.id);
        let hint = LeaderHint { leader, epoch: known };
        self.hint.send_if_modified(|old| std::mem::replace(old, hint) != hint);
    }

    pub(crate) fn leader(&self) -> Option<BrokerId> {
        self.hint.borrow().leader
    }
}

/// Hands over deliveries, in one order.
pub(crate) struct Deliverer {
    leadership: Arc<Leadership>,
    /// `None` when nobody takes them any more.
    deliveries: Option<mpsc::Sender<Delivery>>,
    is_closing: watch::Receiver<bool>,
    /// The epoch that was announced last, until its end was.
    announced: Option<LeadershipEpoch>,
}

/// A deliverer that the state machine and the keeper share.
pub(crate) type SharedDeliverer = Arc<Mutex<Deliverer>>;

impl Deliverer {
    pub(crate) fn new(
        leadership: Arc<Leadership>,
        deliveries: mpsc::Sender<Delivery>,
        is_closing: watch::Receiver<bool>,
    ) -> Self {
        Self { leadership, deliveries: Some(deliveries), is_closing, announced: None }
    }

    /// Hands over a delivery, and waits until there is room for it. Who closes the log may have stopped to take them:
    /// then those that there is no room for are left out, and all behind them.
    pub(crate) async fn deliver(&mut self, delivery: Delivery) {
        let Some(deliveries) = &self.deliveries else { return };
        let sent = tokio::select! {
            biased;
            sent = deliveries.reserve() => sent.map(|permit| {
                process::observe(|| Observed::Delivers(delivery.clone()));
                permit.send(delivery);
            }).is_ok(),
            _ = self.is_closing.wait_for(|closing| *closing) => false,
        };
        if !sent {
            self.deliveries = None;
        }
    }

    /// Announces that this node leads, if it still does.
    pub(crate) async fn lead(&mut self, epoch: LeadershipEpoch) {
        // Whoever else watches the vote may be late, and an epoch begins only when the one before it has ended.
        self.leadership.see_vote();
        if self.announced == Some(epoch) || !self.leadership.begin(epoch) {
            return;
        }
        self.tell_end().await;
        self.announced = Some(epoch);
        self.leadership.see_vote();
        self.deliver(Delivery::Leading { epoch }).await;
    }

    /// Announces that the epoch announced last is over, if it is.
    pub(crate) async fn tell_end(&mut self) {
        let leading = self.leadership.state().leading;
        if let Some(epoch) = self.announced.filter(|announced| leading != Some(*announced)) {
            self.announced = None;
            let leader = self.leadership.leader();
            self.deliver(Delivery::NotLeading { epoch, leader }).await;
        }
    }

    /// The last delivery.
    pub(crate) async fn fail(&mut self, reason: Arc<str>) {
        self.tell_end().await;
        self.deliver(Delivery::Failed { reason }).await;
        self.end();
    }

    /// Delivers nothing more.
    pub(crate) fn end(&mut self) {
        self.deliveries = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::DirectoryId;

    fn key(id: i32) -> VoterKey {
        VoterKey { id: BrokerId(id), directory: DirectoryId([1; 16]) }
    }

    fn fixture() -> (watch::Sender<Option<Vote>>, Arc<Leadership>, Deliverer, mpsc::Receiver<Delivery>) {
        let vote = watch::Sender::new(None);
        let leadership = Arc::new(Leadership::new(key(1), vote.subscribe()));
        let (sender, receiver) = mpsc::channel(8);
        let deliverer = Deliverer::new(Arc::clone(&leadership), sender, watch::channel(false).1);
        (vote, leadership, deliverer, receiver)
    }

    fn drain(receiver: &mut mpsc::Receiver<Delivery>) -> Vec<Delivery> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn an_epoch_whose_vote_has_passed_never_begins() {
        let (vote, leadership, mut deliverer, mut receiver) = fixture();
        vote.send_replace(Some(Vote::new_committed(3, key(2))));
        deliverer.lead(LeadershipEpoch(2)).await;
        assert_eq!(leadership.state().leading, None);
        assert_eq!(drain(&mut receiver), []);
    }

    #[tokio::test]
    async fn an_epoch_ends_once_and_does_not_begin_again() {
        let (vote, leadership, mut deliverer, mut receiver) = fixture();
        vote.send_replace(Some(Vote::new_committed(3, key(1))));
        deliverer.lead(LeadershipEpoch(3)).await;
        assert_eq!(leadership.leader(), Some(BrokerId(1)));
        leadership.end(LeadershipEpoch(3));
        leadership.see_vote();
        deliverer.tell_end().await;
        deliverer.tell_end().await;
        deliverer.lead(LeadershipEpoch(3)).await;
        let epoch = LeadershipEpoch(3);
        let expected = [Delivery::Leading { epoch }, Delivery::NotLeading { epoch, leader: None }];
        assert_eq!(drain(&mut receiver), expected);
    }

    #[tokio::test]
    async fn an_epoch_begins_also_where_nobody_has_seen_the_end_of_the_one_before() {
        let (vote, leadership, mut deliverer, mut receiver) = fixture();
        for term in [3, 5] {
            vote.send_replace(Some(Vote::new_committed(term, key(1))));
            deliverer.lead(epoch(term)).await;
            assert_eq!(leadership.state().leading, Some(epoch(term)));
        }
        let told = drain(&mut receiver);
        assert_eq!(told.len(), 3);
        assert!(matches!(told[1], Delivery::NotLeading { epoch: LeadershipEpoch(3), .. }), "{told:?}");
        assert_eq!(told[2], Delivery::Leading { epoch: LeadershipEpoch(5) });
    }

    #[tokio::test]
    async fn a_leader_that_is_silent_is_not_named_unless_it_is_this_node() {
        let (vote, leadership, mut deliverer, _receiver) = fixture();
        vote.send_replace(Some(Vote::new_committed(2, key(2))));
        leadership.see_vote();
        for (is_silent, named) in [(true, None), (true, None), (false, Some(BrokerId(2)))] {
            leadership.see_silence(is_silent);
            assert_eq!(leadership.leader(), named);
        }
        vote.send_replace(Some(Vote::new_committed(3, key(1))));
        deliverer.lead(LeadershipEpoch(3)).await;
        leadership.see_silence(true);
        assert_eq!(leadership.leader(), Some(BrokerId(1)));
    }

    #[tokio::test]
    async fn another_vote_ends_the_epoch_and_a_later_one_is_announced_after_it() {
        let (vote, leadership, mut deliverer, mut receiver) = fixture();
        vote.send_replace(Some(Vote::new_committed(3, key(1))));
        deliverer.lead(LeadershipEpoch(3)).await;
        vote.send_replace(Some(Vote::new_committed(4, key(2))));
        leadership.see_vote();
        assert_eq!(leadership.state().leading, None);
        assert_eq!(leadership.leader(), Some(BrokerId(2)));
        vote.send_replace(Some(Vote::new_committed(5, key(1))));
        deliverer.lead(LeadershipEpoch(5)).await;
        // Who leads when it is told, which is this node again.
        let ended = Delivery::NotLeading { epoch: LeadershipEpoch(3), leader: Some(BrokerId(1)) };
        let [first, second, third] = drain(&mut receiver).try_into().unwrap();
        assert_eq!(first, Delivery::Leading { epoch: LeadershipEpoch(3) });
        assert_eq!(second, ended);
        assert_eq!(third, Delivery::Leading { epoch: LeadershipEpoch(5) });
    }
}
