//! Reading as a member of a group (the classic protocol): which partitions, the group says; from where, the offsets that it
//! keeps.
//!
//! `poll` does what the owner must see: it gives up partitions, joins, starts where the group's offsets are, commits
//! what its owner has come back for. [`heartbeat`] keeps the member alive in between. A rebalance takes all partitions
//! away and hands them out anew (the eager protocol); [`assignor`] says what another one would take.
//!
//! - [`membership`]: who the member is, and its connection to the coordinator.
//! - [`join`]: JoinGroup and SyncGroup.
//!
//! What is not here: the group protocol that came with KIP-848, share groups, and subscribing by pattern.

mod assignor;
mod heartbeat;
mod join;
mod membership;
mod options;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_env::process;
use ottla_types::{Offset, TopicName, TopicPartition};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::consumer::{ConsumedRecord, Consumer, Start};
use crate::error::Error;
use crate::groups::offsets::Offsets;
use crate::offsets::OffsetSpec;
use heartbeat::{Presence, keep_alive};
use join::Joined;
use membership::{Membership, Rejoin};

pub use assignor::Assignor;
pub use options::GroupConsumerOptions;

/// Reads the partitions that its group gives it.
#[derive(Debug)]
pub struct GroupConsumer {
    member: Arc<Membership>,
    consumer: Consumer,
    presence: Arc<Presence>,
    stage: Stage,
    /// Keeps the member alive while it reads.
    heartbeats: JoinSet<()>,
    rejoins: watch::Receiver<Option<Rejoin>>,
    /// What the coordinator has of the member's partitions.
    committed: BTreeMap<TopicPartition, Offset>,
    commits: JoinSet<(BTreeMap<TopicPartition, Offset>, Result<(), Error>)>,
    next_commit: Option<Instant>,
}

/// What a member that joined starts with: where the group's offsets are.
type Starts = BTreeMap<TopicPartition, Option<Offset>>;

#[derive(Debug)]
enum Stage {
    /// Not a member.
    Outside,
    /// On its way into the group.
    Joining(JoinSet<Result<(Joined, Starts), Error>>),
    /// A member, with places to find for these partitions.
    Starting(BTreeMap<TopicPartition, Start>),
    Reading,
}

impl GroupConsumer {
    /// A consumer that is to join a group. It does so when it is polled.
    #[must_use]
    pub fn new(client: Client, group: &str, topics: Vec<TopicName>, options: GroupConsumerOptions) -> Self {
        let consumer = Consumer::new(client.clone(), options.consumer.clone());
        let member = Arc::new(Membership::new(client, group.to_owned(), topics, options));
        Self {
            rejoins: member.rejoins(),
            member,
            consumer,
            presence: Arc::default(),
            stage: Stage::Outside,
            heartbeats: JoinSet::new(),
            committed: BTreeMap::new(),
            commits: JoinSet::new(),
            next_commit: None,
        }
    }

    /// The next records of some partition, as soon as there are any; none when `timeout` is over. Safe to cancel.
    ///
    /// Who calls this again has done with the records before: from now on they may be committed.
    ///
    /// # Errors
    /// What [`Consumer::poll`] tells, except an offset out of range where [`GroupConsumerOptions::reset`] says what to do;
    /// [`Error::NoCommittedOffset`] where it does not; and what keeps the member out of its group for good, or for as long as
    /// a call may take. Another call tries again.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumedRecord>, Error> {
        let _present = self.presence.enter();
        let deadline = Instant::now() + timeout;
        loop {
            if !matches!(self.stage, Stage::Reading) {
                match timeout_at(deadline, self.get_ready()).await {
                    Ok(ready) => ready?,
                    Err(_) => return Ok(Vec::new()),
                }
                continue;
            }
            let why = self.rejoins.borrow_and_update().clone();
            if let Some(why) = why {
                self.give_up_partitions(why)?;
                continue;
            }
            self.commit_if_due();
            let until = self.next_commit.map_or(deadline, |at| at.min(deadline));
            let polled = tokio::select! {
                biased;
                // An error would mean that the sender is gone, and `member` holds it.
                _ = self.rejoins.changed() => continue,
                polled = self.consumer.poll(until.saturating_duration_since(Instant::now())) => polled,
            };
            match polled {
                Ok(records) if records.is_empty() && Instant::now() < deadline => {}
                Ok(records) => return Ok(records),
                Err(error) => self.start_anew(error)?,
            }
        }
    }

    /// The partitions that the member reads now; none while the group rebalances.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment().cloned().collect()
    }

    /// Whether the member has its partitions, be it none.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        matches!(self.stage, Stage::Reading)
    }

    /// The offset of the next record that [`Self::poll`] gives of a partition: what a commit commits.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// Reads a partition of the member from another place on.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        self.consumer.seek(partition, offset);
    }

    /// Reads a partition no further, until the group rebalances. The member keeps it.
    pub fn pause(&mut self, partition: &TopicPartition) {
        self.consumer.pause(partition);
    }

    /// Commits the positions of all partitions, and waits for it.
    ///
    /// # Errors
    /// [`Error::Answered`] with REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION or UNKNOWN_MEMBER_ID where the group has gone on:
    /// the partitions may belong to others, who read from the last commit on; and [`Error::LeftOut`] where that is known.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let _present = self.presence.enter();
        self.finish_commit().await;
        let positions = self.uncommitted();
        if positions.is_empty() {
            return Ok(());
        }
        self.member.commit(&offsets(&positions)).await?;
        self.committed.extend(positions);
        Ok(())
    }

    /// Commits what was read, if it commits by itself, and leaves the group, unless it is a static member, which is to come
    /// back. Dropping the consumer instead makes the group wait for the end of its session.
    ///
    /// # Errors
    /// If the positions could not be committed. That the group could not be told is no error: it will notice.
    pub async fn close(mut self) -> Result<(), Error> {
        let commits = self.member.options.auto_commit_interval.is_some() && self.is_reading();
        let committed = if commits { self.commit().await } else { Ok(()) };
        if matches!(self.stage, Stage::Joining(_)) {
            // Behind a JoinGroup that still waits the coordinator would not be told in time.
            self.stage = Stage::Outside;
            self.member.hang_up().await;
        }
        self.heartbeats.shutdown().await;
        if let Err(error) = self.member.leave("the consumer is being closed").await {
            tracing::debug!(%error, "cannot leave the group");
        }
        committed
    }

    /// One step towards reading. Safe to cancel.
    async fn get_ready(&mut self) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Outside => self.stage = Stage::Joining(self.join_after(Offsets::new())),
            Stage::Joining(joining) => {
                let joined = joining.join_next().await;
                self.stage = Stage::Outside;
                // Nothing but this cancels the task, and it does not panic.
                if let Some(Ok(result)) = joined {
                    let (joined, starts) = result?;
                    self.stage = Stage::Starting(self.places(&starts)?);
                    self.committed =
                        starts.into_iter().filter_map(|(at, offset)| Some((at, offset?))).collect();
                    self.stay_alive(joined);
                }
            }
            Stage::Starting(starts) => {
                let result = self.consumer.assign(starts.clone()).await;
                if let Err(error) = result {
                    self.member.has_to_rejoin(Rejoin::Rebalance);
                    self.stage = Stage::Outside;
                    self.consumer.unassign_all();
                    return Err(error);
                }
                self.stage = Stage::Reading;
                self.next_commit =
                    self.member.options.auto_commit_interval.map(|every| Instant::now() + every);
            }
            Stage::Reading => {}
        }
        Ok(())
    }

    /// Joins in the background, after offsets are committed as the member that it was; and finds the group's offsets.
    fn join_after(&mut self, commit: Offsets) -> JoinSet<Result<(Joined, Starts), Error>> {
        let member = Arc::clone(&self.member);
        // Heartbeats go on until the coordinator hears of the member by JoinGroup.
        let mut heartbeats = std::mem::take(&mut self.heartbeats);
        let mut earlier_commits = std::mem::take(&mut self.commits);
        let mut joining = JoinSet::new();
        process::spawn_in(&mut joining, async move {
            while earlier_commits.join_next().await.is_some() {}
            if !commit.is_empty()
                && let Err(error) = member.commit(&commit).await
            {
                tracing::warn!(group = member.group, %error, "what was read is not committed, and will be read again");
            }
            heartbeats.shutdown().await;
            member.joins();
            let joined = member.join().await?;
            let committed = match joined.assignment.as_slice() {
                [] => Offsets::new(),
                partitions => member.committed(partitions).await?,
            };
            let starts = joined
                .assignment
                .iter()
                .map(|at| (at.clone(), committed.get(at).map(|committed| committed.offset)));
            let starts = starts.collect();
            Ok((joined, starts))
        });
        joining
    }

    fn stay_alive(&mut self, joined: Joined) {
        let (member, presence) = (Arc::clone(&self.member), Arc::clone(&self.presence));
        process::spawn_in(&mut self.heartbeats, keep_alive(member, presence, joined.assigned_from));
    }

    /// Where to start partitions: at their offsets, or where the options say if there is none.
    fn places(&self, starts: &Starts) -> Result<BTreeMap<TopicPartition, Start>, Error> {
        let place = |(at, offset): (&TopicPartition, &Option<Offset>)| {
            let start = match (offset, self.member.options.reset) {
                (Some(offset), _) => Start::Offset(*offset),
                (None, Some(reset)) => start(reset),
                (None, None) => return Err(self.no_committed_offset(at)),
            };
            Ok((at.clone(), start))
        };
        starts.iter().map(place).collect()
    }

    fn no_committed_offset(&self, partition: &TopicPartition) -> Error {
        Error::NoCommittedOffset { group: self.member.group.clone(), partition: partition.clone() }
    }

    /// Starts a partition anew whose position its log does not have, if the options say where; other errors are given back.
    fn start_anew(&mut self, error: Error) -> Result<(), Error> {
        let (Error::OffsetOutOfRange { partition, .. }, Some(reset)) = (&error, self.member.options.reset)
        else {
            return Err(error);
        };
        tracing::warn!(%error, ?reset, "starting the partition anew");
        self.stage = Stage::Starting(BTreeMap::from([(partition.clone(), start(reset))]));
        Ok(())
    }

    /// Gives up all partitions, and begins to join again.
    fn give_up_partitions(&mut self, why: Rejoin) -> Result<(), Error> {
        let commits = self.member.options.auto_commit_interval.is_some();
        let commit = match why {
            Rejoin::Rebalance if commits => offsets(&self.uncommitted()),
            // Without a generation the coordinator would refuse.
            _ => Offsets::new(),
        };
        self.consumer.unassign_all();
        self.committed.clear();
        if let Rejoin::Failed(error) = why {
            self.stage = Stage::Outside;
            return Err(error);
        }
        self.stage = Stage::Joining(self.join_after(commit));
        Ok(())
    }

    /// Positions that the coordinator does not have.
    fn uncommitted(&self) -> BTreeMap<TopicPartition, Offset> {
        let position = |at: &TopicPartition| Some((at.clone(), self.consumer.position(at)?));
        let positions = self.consumer.assignment().filter_map(position);
        positions.filter(|(at, offset)| self.committed.get(at) != Some(offset)).collect()
    }

    /// Begins to commit, where it is time to, and takes note of the commit before.
    fn commit_if_due(&mut self) {
        while let Some(finished) = self.commits.try_join_next() {
            if let Ok((positions, result)) = finished {
                self.took(positions, result);
            }
        }
        let Some(every) = self.member.options.auto_commit_interval else { return };
        let now = Instant::now();
        if self.next_commit.is_some_and(|at| at > now) {
            return;
        }
        self.next_commit = Some(now + every);
        let positions = self.uncommitted();
        // One after another, so that no older position overtakes a newer one.
        if positions.is_empty() || !self.commits.is_empty() {
            return;
        }
        let member = Arc::clone(&self.member);
        process::spawn_in(&mut self.commits, async move {
            let result = member.commit(&offsets(&positions)).await;
            (positions, result)
        });
    }

    async fn finish_commit(&mut self) {
        while let Some(finished) = self.commits.join_next().await {
            if let Ok((positions, result)) = finished {
                self.took(positions, result);
            }
        }
    }

    fn took(&mut self, positions: BTreeMap<TopicPartition, Offset>, result: Result<(), Error>) {
        match result {
            Ok(()) => self.committed.extend(positions),
            Err(error) => {
                tracing::warn!(group = self.member.group, %error, "what was read is not committed yet")
            }
        }
    }
}

fn start(reset: OffsetSpec) -> Start {
    match reset {
        OffsetSpec::Earliest => Start::Earliest,
        OffsetSpec::Latest => Start::Latest,
        OffsetSpec::Timestamp(timestamp_ms) => Start::Timestamp(timestamp_ms),
    }
}

fn offsets(positions: &BTreeMap<TopicPartition, Offset>) -> Offsets {
    positions.iter().map(|(at, &offset)| (at.clone(), offset.into())).collect()
}
