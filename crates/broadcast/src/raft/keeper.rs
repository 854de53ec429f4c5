//! The task that keeps what openraft does and what the trait promises together.
//!
//! It ends epochs when the vote on disk changes or the quorum is silent, announces their end, makes openraft give up a
//! leadership whose epoch has ended, stops the ticks of a quorum of one, forgets members that neither vote nor answer, and
//! reports a failed storage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::{Instant as _, WatchReceiver};
use openraft::raft::VoteRequest;
use openraft::{ChangeMembers, ServerState};
use ottla_env::process;
use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::OpenRaft;
use super::journal::Journal;
use super::leadership::{Leadership, SharedDeliverer};
use super::progress::Progress;
use super::types::{Vote, log_id};
use crate::quorum::VoterKey;

/// A candidate that there never is.
const NOBODY: VoterKey = VoterKey { id: BrokerId(i32::MAX), directory: DirectoryId::ZERO };

/// How long a node that does not vote may be silent before it is sent the log no more: as long as Kafka tells of an observer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// What the keeper works with.
pub(crate) struct Keeper {
    pub(crate) me: VoterKey,
    pub(crate) raft: OpenRaft,
    pub(crate) journal: Journal,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) deliverer: SharedDeliverer,
    pub(crate) progress: Arc<Progress>,
    pub(crate) is_closing: watch::Receiver<bool>,
    /// How long the quorum may be silent before its leader resigns.
    pub(crate) patience: Duration,
    /// How long a successor may take to be elected.
    pub(crate) handover: Duration,
    /// When the epoch that goes on was seen to begin.
    pub(crate) led_since: Option<Instant>,
    /// The change of members that is under way.
    pub(crate) forgetting: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) async fn run(mut self) {
        let (mut vote, mut failure) = (self.journal.vote(), self.journal.failure());
        let (mut state, mut is_closing) = (self.leadership.watch(), self.is_closing.clone());
        let mut server = self.raft.server_metrics();
        loop {
            self.leadership.see_vote();
            self.deliverer.lock().await.tell_end().await;
            if is(Sabotage::LeadsBeforeAppliedAll)
                && let Some(epoch) = self.leadership.elected()
            {
                self.deliverer.lock().await.lead(epoch).await;
            }
            let reason = failure.borrow_and_update().clone();
            if let Some(reason) = reason {
                return self.fail(reason).await;
            }
            self.led_since =
                self.leadership.state().leading.and(self.led_since.or_else(|| Some(Instant::now())));
            let is_alone = self.tend_ticks();
            self.progress.look(&self.raft);
            self.give_up().await;
            let is_silent = self.is_leader_silent().await;
            self.leadership.see_silence(is_silent);
            let check = self.next_check(is_alone, is_silent);
            tokio::select! {
                biased;
                () = closed(&mut is_closing) => return,
                _ = failure.changed() => {}
                _ = vote.changed() => {}
                _ = state.changed() => {}
                changed = server.changed() => {
                    if changed.is_err() {
                        // A storage that failed says more than that openraft has stopped.
                        let known = failure.borrow().clone();
                        return self.fail(known.unwrap_or_else(|| "the quorum's task has ended".into())).await;
                    }
                }
                () = sleep_until(check) => {
                    self.check_quorum();
                    self.forget_the_silent();
                }
            }
        }
    }

    async fn fail(&self, reason: Arc<str>) {
        if let Some(epoch) = self.leadership.state().leading {
            self.leadership.end(epoch);
        }
        self.leadership.see_vote();
        self.deliverer.lock().await.fail(reason).await;
    }

    /// Lets openraft tick where somebody else votes too, or follows. Whether nobody does.
    fn tend_ticks(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let mut members = metrics.membership_config.nodes();
        let is_alone = metrics.state == ServerState::Leader && members.all(|(member, _)| *member == self.me);
        drop(members);
        drop(metrics);
        self.raft.runtime_config().tick(!is_alone);
        is_alone
    }

    /// When to look at the quorum again: not where this node is all of it, unless it does not want to be.
    fn next_check(&self, is_alone: bool, is_silent: bool) -> Option<Instant> {
        if self.is_to_give_up() {
            return Some(Instant::now() + self.handover);
        }
        if self.leadership.state().leading.is_some() {
            return (!is_alone).then(|| Instant::now() + self.patience.saturating_sub(self.silence()));
        }
        // A leader that is heard again is soon to be named again.
        Some(Instant::now() + if is_silent { self.patience / 25 } else { self.patience })
    }

    /// Whether this node follows, and has heard of no leader for longer than one may be silent.
    async fn is_leader_silent(&self) -> bool {
        if self.leadership.elected().is_some() {
            return false;
        }
        // What the leader says renews the vote. Without an answer the task has ended, and nobody is heard of.
        let heard = self.raft.with_raft_state(|state| state.vote_last_modified()).await;
        heard.is_ok_and(|heard| heard.is_none_or(|heard| heard.elapsed() > self.patience))
    }

    /// For how long a majority has not been heard: since the epoch was seen to begin, at most.
    fn silence(&self) -> Duration {
        if self.is_only_voter() {
            // It is its own majority, whoever follows.
            return Duration::ZERO;
        }
        let acked = self.raft.metrics().borrow_watched().last_quorum_acked;
        let since_ack = acked.map_or(Duration::MAX, |acked| acked.elapsed());
        since_ack.min(self.led_since.map_or(Duration::MAX, |since| since.elapsed()))
    }

    fn check_quorum(&self) {
        if let Some(epoch) = self.leadership.state().leading
            && self.silence() >= self.patience
        {
            tracing::info!(%epoch, "the metadata quorum is silent: leadership is resigned");
            self.leadership.end(epoch);
        }
    }

    /// Sends the log no more to nodes without a vote that have not answered for long. Each try to reach one costs, and one that
    /// comes back is told what to do when it asks.
    fn forget_the_silent(&mut self) {
        let led = self.led_since.map_or(Duration::ZERO, |since| since.elapsed());
        if led < FORGOTTEN_AFTER || self.forgetting.as_ref().is_some_and(|change| !change.is_finished()) {
            return;
        }
        let silent: BTreeSet<VoterKey> = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: BTreeSet<VoterKey> = metrics.membership_config.voter_ids().collect();
            let nodes = metrics.membership_config.nodes().map(|(key, _)| *key);
            let heard = |key: &VoterKey| metrics.heartbeat.as_ref()?.get(key).copied().flatten();
            let is_silent =
                |key: &VoterKey| heard(key).is_none_or(|heard| heard.elapsed() >= FORGOTTEN_AFTER);
            nodes.filter(|key| *key != self.me && !voters.contains(key) && is_silent(key)).collect()
        };
        if silent.is_empty() {
            return;
        }
        let raft = self.raft.clone();
        self.forgetting = Some(process::spawn(async move {
            for key in &silent {
                tracing::info!(
                    "node {key} has no vote and was not heard for long: it is sent the log no more"
                );
            }
            // Where another change is under way, or leadership has ended, it is tried again.
            let _ = raft.change_membership(ChangeMembers::RemoveNodes(silent), true).await;
        }));
    }

    /// Whether openraft leads in an epoch that has ended.
    fn is_to_give_up(&self) -> bool {
        self.leadership.elected().is_some_and(|elected| elected <= self.leadership.state().ended)
    }

    /// Makes openraft give up a leadership whose epoch has ended.
    async fn give_up(&self) {
        let Some(elected) = self.leadership.elected().filter(|_| self.is_to_give_up()) else { return };
        if self.silence() < self.patience && self.hand_over(elected).await {
            return;
        }
        self.step_down(elected).await;
    }

    /// Hands leadership to the voter whose log is longest. Whether one took it.
    pub(crate) async fn hand_over(&self, elected: LeadershipEpoch) -> bool {
        let Some(successor) = successor(&self.raft, self.me) else { return false };
        // Without an answer there is another leader, or the task has ended.
        let _ = self.raft.trigger().transfer_leader(successor).await;
        let mut vote = self.journal.vote();
        let passed = vote.wait_for(|_| self.leadership.elected() != Some(elected));
        tokio::time::timeout(self.handover, passed).await.is_ok()
    }

    /// Grants a vote for the next epoch to nobody, as any node may grant one to another: that ends the one that goes on.
    /// (Openraft has no other way to make a leader step down, and takes it amiss if that vote is its own.)
    async fn step_down(&self, elected: LeadershipEpoch) {
        let Ok(term) = u64::try_from(elected.0 + 1) else { return };
        // Nobody's log is as long as any, also than what is on its way to the disk.
        let longest = log_id(term - 1, 1 << 62);
        let mut request = VoteRequest::new(Vote::new(term, NOBODY), Some(longest));
        // The leader itself allows it.
        request.leadership_transfer = true;
        let voted = self.raft.vote(request).await;
        if voted.is_ok() && self.is_only_voter() {
            // Nobody else will stand for election, and there is nothing to wait for.
            let _ = self.raft.trigger().elect(false).await;
        }
    }

    /// Whether this node votes, and no other.
    pub(crate) fn is_only_voter(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.voter_ids().eq([self.me])
    }
}

/// The voter with the longest log, apart from this node.
pub(crate) fn successor(raft: &OpenRaft, me: VoterKey) -> Option<VoterKey> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let matched = metrics.replication.as_ref()?;
    let voters = metrics.membership_config.voter_ids().filter(|voter| *voter != me);
    let known = voters.filter_map(|voter| Some((matched.get(&voter).copied()??, voter)));
    // Of equal ones the lowest id, so that the choice does not depend on chance.
    known.max_by(|(a, x), (b, y)| a.cmp(b).then(y.cmp(x))).map(|(_, voter)| voter)
}

async fn closed(is_closing: &mut watch::Receiver<bool>) {
    // Whoever could close it is gone where this is an error: that is the end too.
    let _ = is_closing.wait_for(|closing| *closing).await;
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
