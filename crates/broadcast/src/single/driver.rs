//! The task that appends and delivers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_types::{BrokerId, LeadershipEpoch, Offset};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Shared, write_epoch};
use crate::atomic::{Appended, Delivery, LeaderHint, Refused, SnapshotError};
use crate::frame::{FrameBuilder, MAX_BATCH_BYTES};
use crate::{AppendError, MetadataLog};

/// What the driver is asked to do.
pub(super) enum Command {
    /// Append a batch.
    Append {
        /// Under which epoch.
        epoch: LeadershipEpoch,
        /// Its records.
        records: Vec<Bytes>,
        /// What was counted for it.
        weight: usize,
        /// Takes what became of it.
        answer: oneshot::Sender<Appended>,
    },
    /// Write a snapshot.
    Snapshot {
        /// The last offset that it stands for.
        upto: Offset,
        /// Its records.
        records: Vec<Bytes>,
        /// Takes the result.
        answer: oneshot::Sender<Result<(), SnapshotError>>,
    },
    /// End the epoch, if it is that one.
    Resign(LeadershipEpoch),
    /// Close the log, and say so.
    Close(oneshot::Sender<()>),
}

type Batch = (Vec<Bytes>, usize, oneshot::Sender<Appended>);

/// Its state.
pub(super) struct Driver {
    pub(super) id: BrokerId,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// `None` after it failed.
    pub(super) log: Option<MetadataLog>,
    pub(super) shared: Arc<Shared>,
    /// `None` when nobody takes them any more.
    pub(super) deliveries: Option<mpsc::Sender<Delivery>>,
    pub(super) is_closing: watch::Receiver<bool>,
    pub(super) hint: watch::Sender<LeaderHint>,
    /// The last epoch that began.
    pub(super) epoch: LeadershipEpoch,
    pub(super) is_leading: bool,
}

impl Driver {
    pub(super) async fn run(mut self, old: Vec<Delivery>, mut inbox: mpsc::UnboundedReceiver<Command>) {
        for delivery in old {
            self.deliver(delivery).await;
        }
        self.lead().await;
        let mut backlog = VecDeque::new();
        let closed = loop {
            if backlog.is_empty() {
                match inbox.recv().await {
                    Some(command) => backlog.push_back(command),
                    // Whoever had it has dropped it.
                    None => break None,
                }
            }
            while let Ok(command) = inbox.try_recv() {
                backlog.push_back(command);
            }
            match backlog.pop_front() {
                Some(Command::Append { epoch, records, weight, answer }) => {
                    self.append_group(epoch, (records, weight, answer), &mut backlog).await;
                }
                Some(Command::Snapshot { upto, records, answer }) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.snapshot(upto, records).await);
                }
                Some(Command::Resign(epoch)) if self.is_leading && epoch == self.epoch => {
                    self.end_epoch().await;
                    self.lead().await;
                }
                Some(Command::Resign(_)) | None => {}
                Some(Command::Close(done)) => break Some(done),
            }
        };
        {
            let mut state = self.shared.lock();
            (state.is_over, state.leading) = (true, None);
        }
        if let Some(log) = self.log.take() {
            log.close().await;
        }
        self.hint.send_replace(LeaderHint { leader: None, epoch: self.epoch });
        if let Some(done) = closed {
            let _ = done.send(());
        }
    }

    /// Begins an epoch, once it can never be begun again.
    async fn lead(&mut self) {
        if self.log.is_none() {
            return;
        }
        let epoch = LeadershipEpoch(self.epoch.0 + 1);
        if let Err(error) = write_epoch(&*self.disk, &self.dir, epoch).await {
            return self.fail(error.to_string().into()).await;
        }
        (self.epoch, self.is_leading) = (epoch, true);
        self.shared.lock().leading = Some(epoch);
        self.hint.send_replace(LeaderHint { leader: Some(self.id), epoch });
        self.deliver(Delivery::Leading { epoch }).await;
    }

    async fn end_epoch(&mut self) {
        if !std::mem::take(&mut self.is_leading) {
            return;
        }
        self.shared.lock().leading = None;
        self.hint.send_replace(LeaderHint { leader: None, epoch: self.epoch });
        self.deliver(Delivery::NotLeading { epoch: self.epoch, leader: None }).await;
    }

    /// The log takes nothing more.
    async fn fail(&mut self, reason: Arc<str>) {
        self.end_epoch().await;
        self.shared.lock().is_over = true;
        if let Some(log) = self.log.take() {
            log.close().await;
        }
        self.deliver(Delivery::Failed { reason }).await;
        self.deliveries = None;
    }

    /// Appends a batch, and with it those that wait right behind it and fit into one write: they become durable, or fail,
    /// together.
    async fn append_group(&mut self, epoch: LeadershipEpoch, first: Batch, backlog: &mut VecDeque<Command>) {
        if !self.is_leading || epoch != self.epoch {
            let leader = self.hint.borrow().leader;
            let is_over = self.shared.lock().is_over && self.log.is_none();
            let why = if is_over { Refused::Closed } else { Refused::NotLeading { asked: epoch, leader } };
            return self.answer(vec![first], &Appended::Rejected(why));
        }
        let mut bytes = FrameBuilder::batch_len(&first.0);
        let mut group = vec![first];
        while let Some(Command::Append { epoch: next, records, .. }) = backlog.front()
            && *next == epoch
            && bytes + FrameBuilder::batch_len(records) <= MAX_BATCH_BYTES
        {
            if let Some(Command::Append { records, weight, answer, .. }) = backlog.pop_front() {
                bytes += FrameBuilder::batch_len(&records);
                group.push((records, weight, answer));
            }
        }
        let Some(log) = &self.log else { return };
        let all = group.iter().flat_map(|(records, ..)| records).cloned().collect();
        match log.append(all).await {
            Ok(first) => self.committed(first, group).await,
            Err(AppendError::Unknown(error)) => {
                let reason: Arc<str> = error.to_string().into();
                self.shared.lock().leading = None;
                self.answer(group, &Appended::Unknown(Arc::clone(&reason)));
                self.fail(reason).await;
            }
            Err(error) => {
                let why = match error {
                    AppendError::Io(error) => error,
                    other => Arc::new(std::io::Error::other(other)),
                };
                self.shared.lock().leading = None;
                self.answer(group, &Appended::Rejected(Refused::Io(why)));
                // What waits behind was decided on what has failed.
                self.end_epoch().await;
                self.lead().await;
            }
        }
    }

    async fn committed(&mut self, first: Offset, group: Vec<Batch>) {
        let mut next = first;
        for (records, weight, answer) in group {
            let at = next;
            next = Offset(at.0 + records.len() as i64);
            self.shared.lock().end = next;
            self.deliver(Delivery::Committed { first: at, records }).await;
            self.answer(vec![(Vec::new(), weight, answer)], &Appended::Committed(at));
        }
    }

    fn answer(&self, group: Vec<Batch>, outcome: &Appended) {
        for (_, weight, answer) in group {
            self.shared.lock().under_way_bytes -= weight;
            // Whoever asked may have gone.
            let _ = answer.send(outcome.clone());
        }
    }

    async fn snapshot(&self, upto: Offset, records: Vec<Bytes>) -> Result<(), SnapshotError> {
        let log = self.log.as_ref().ok_or(SnapshotError::Closed)?;
        if let Some(record) = records.iter().find(|record| record.len() + 4 > MAX_BATCH_BYTES) {
            return Err(SnapshotError::TooLarge { bytes: record.len() + 4, most: MAX_BATCH_BYTES });
        }
        log.snapshot(upto, records).await.map_err(|error| match error {
            AppendError::Rejected(why) => SnapshotError::Offset { upto, why },
            AppendError::Io(error) | AppendError::Unknown(error) => SnapshotError::Io(error),
            error @ AppendError::TooLarge { .. } => SnapshotError::Io(Arc::new(std::io::Error::other(error))),
        })
    }

    /// Hands over a delivery, and waits until there is room for it. Who closes the log may have stopped to take them:
    /// then those that there is no room for are left out, and all behind them.
    async fn deliver(&mut self, delivery: Delivery) {
        let Some(deliveries) = &self.deliveries else { return };
        let sent = tokio::select! {
            biased;
            sent = deliveries.reserve() => sent.map(|permit| permit.send(delivery)).is_ok(),
            _ = self.is_closing.wait_for(|closing| *closing) => false,
        };
        if !sent {
            self.deliveries = None;
        }
    }
}
