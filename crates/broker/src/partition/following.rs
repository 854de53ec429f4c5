//! The follower's side: what a fetcher asks the leader, and what it tells of the answer.
//!
//! What is not here: the fetching itself, and what is done to the log by a [`Step`]: `replication::fetching`.

use ottla_replica::{FetchAnswer, FetchFrom, NextFetch, Step};
use ottla_types::{BrokerId, LeaderEpoch};

use super::Partition;

impl Partition {
    /// Whom this replica is to copy from, and in which epoch. `None` if it leads, if nobody does, or if it is none of the
    /// replicas any more.
    pub(crate) fn follows(&self) -> Option<(BrokerId, LeaderEpoch)> {
        let progress = self.progress();
        let view = progress.replica.current();
        let leader = view.leader.filter(|leader| *leader != self.hosting.me)?;
        view.replicas.contains(&self.hosting.me).then_some((leader, view.leader_epoch))
    }

    /// What to ask the leader next.
    pub(crate) fn next_fetch(&self) -> NextFetch {
        let progress = self.progress();
        let ends = progress.ends(self.log.start_offset(), self.log.end_offset());
        progress.replica.next_fetch(ends, self.log.latest_epoch())
    }

    /// What an answer means. Hold the [tenure](Self::tenure) from here until [`Self::copied`].
    pub(crate) fn answered(&self, sent: &FetchFrom, answer: FetchAnswer) -> Step {
        let mut progress = self.progress();
        let ends = progress.ends(self.log.start_offset(), self.log.end_offset());
        progress.replica.answered(sent, &answer, ends, |epoch| self.log.epoch_end_offset(epoch))
    }

    /// Takes note of what was done by a [`Step`]: records were appended, or the log was cut or begun anew.
    pub(crate) fn copied(&self) {
        let (end, flushed) = (self.log.end_offset(), self.log.flushed_offset());
        let unflushed = end.0.saturating_sub(flushed.0);
        let flush_due = unflushed >= self.log.config().flush_messages;
        self.drive_noting(
            |progress| {
                progress.cut(end);
                progress.share = progress.share.max(if flush_due { flushed } else { end }).min(end);
            },
            |replica, ends, _| (replica.copied(ends), ()),
        );
        if flush_due {
            self.log.request_flush();
        }
    }
}
