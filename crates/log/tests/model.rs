//! A log does what a list of batches does, whatever is done to it and however often it is restarted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::*;
use ottla_log::{Error, LogConfig};
use ottla_types::{LeaderEpoch, Offset};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Append { records: usize, len: usize, new_epoch: bool },
    AppendIdempotent { producer: usize, records: usize },
    Repeat { producer: usize },
    Read { from: i64, max_bytes: usize, upper: i64 },
    Truncate { to: i64 },
    AdvanceStart { to: i64 },
    Flush,
    Restart,
    Crash,
    CrashWithTornTail { cut: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..5usize, 0..400usize, prop::bool::weighted(0.2))
            .prop_map(|(records, len, new_epoch)| Op::Append { records, len, new_epoch }),
        4 => (0..3usize, 1..4usize).prop_map(|(producer, records)| Op::AppendIdempotent { producer, records }),
        2 => (0..3usize).prop_map(|producer| Op::Repeat { producer }),
        8 => (0..120i64, 0..3000usize, 0..200i64)
            .prop_map(|(from, max_bytes, upper)| Op::Read { from, max_bytes, upper }),
        1 => (0..120i64).prop_map(|to| Op::Truncate { to }),
        1 => (0..60i64).prop_map(|to| Op::AdvanceStart { to }),
        1 => Just(Op::Flush),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
        1 => (0..300u64).prop_map(|cut| Op::CrashWithTornTail { cut }),
    ]
}

#[derive(Debug, Clone)]
struct ModelBatch {
    base: i64,
    last: i64,
    epoch: i32,
    size: usize,
    /// Producer and first sequence number.
    producer: Option<(usize, i32)>,
}

/// The log as a list.
#[derive(Debug, Default)]
struct Model {
    batches: Vec<ModelBatch>,
    start: i64,
    end: i64,
    epoch: i32,
    durable: i64,
}

impl Model {
    fn push(&mut self, records: usize, size: usize, producer: Option<(usize, i32)>) {
        let last = self.end + records as i64 - 1;
        self.batches.push(ModelBatch { base: self.end, last, epoch: self.epoch, size, producer });
        self.end = last + 1;
    }

    fn next_sequence(&self, producer: usize) -> i32 {
        self.last_of(producer).map_or(0, |(first, records)| first + records)
    }

    fn last_of(&self, producer: usize) -> Option<(i32, i32)> {
        self.batches.iter().rev().find_map(|batch| match batch.producer {
            Some((p, first)) if p == producer => Some((first, (batch.last - batch.base + 1) as i32)),
            _ => None,
        })
    }

    /// What a read returns: base and last offset of each batch.
    fn read(&self, from: i64, max_bytes: usize, upper: i64) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.iter().filter(|batch| batch.last >= from) {
            bytes += batch.size;
            if batch.last >= upper || bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push((batch.base, batch.last));
        }
        found
    }

    fn truncate(&mut self, to: i64) {
        if to >= self.end {
            return;
        }
        // A batch that contains the offset goes whole; if that takes the start with it, nothing is left.
        let cut = self.batches.iter().find(|batch| batch.last >= to).map_or(to, |batch| batch.base.min(to));
        if to < self.start || cut < self.start {
            self.batches.clear();
            (self.start, self.end) = (to, to);
        } else {
            self.batches.retain(|batch| batch.last < to);
            self.end = cut;
        }
        self.durable = self.durable.min(self.end);
    }
}

struct Run {
    bench: Bench,
    model: Model,
}

impl Run {
    async fn step(&mut self, op: &Op) {
        match *op {
            Op::Append { records, len, new_epoch } => {
                self.model.epoch += i32::from(new_epoch);
                self.append(batch(records, len), records, None).await;
            }
            Op::AppendIdempotent { producer, records } => {
                let sequence = self.model.next_sequence(producer);
                let batch = of_producer(producer as i64, 0, sequence, records);
                self.append(batch, records, Some((producer, sequence))).await;
            }
            Op::Repeat { producer } => self.repeat(producer).await,
            Op::Read { from, max_bytes, upper } => self.read(from, max_bytes, upper).await,
            Op::Truncate { to } => self.truncate(to).await,
            Op::AdvanceStart { to } => self.advance_start(to).await,
            Op::Flush => {
                self.model.durable = self.bench.log().flush().await.unwrap().0;
                self.bench.dirs().write_checkpoints().await.unwrap();
            }
            Op::Restart => {
                self.bench.restart().await;
                self.model.durable = self.model.end;
            }
            Op::Crash => {
                self.bench.crash();
                self.bench.start().await;
            }
            Op::CrashWithTornTail { cut } => self.tear(cut).await,
        }
        self.check();
    }

    async fn append(&mut self, batch: bytes::Bytes, records: usize, producer: Option<(usize, i32)>) {
        let size = batch.len();
        let epoch = LeaderEpoch(self.model.epoch);
        let appended = self.bench.log().append(prepared(batch), epoch, NOW_MS).await.unwrap();
        assert_eq!((appended.base_offset.0, appended.duplicate), (self.model.end, false));
        self.model.push(records, size, producer);
    }

    async fn repeat(&mut self, producer: usize) {
        let Some((sequence, records)) = self.model.last_of(producer) else { return };
        let batch = of_producer(producer as i64, 0, sequence, records as usize);
        let size = batch.len();
        let epoch = LeaderEpoch(self.model.epoch);
        let appended = self.bench.log().append(prepared(batch), epoch, NOW_MS).await.unwrap();
        let original = self.model.batches.iter().rfind(|batch| batch.producer == Some((producer, sequence)));
        let original = original.unwrap().base;
        if appended.duplicate {
            assert_eq!(appended.base_offset.0, original);
        } else {
            // Only a producer whose records were deleted may be forgotten.
            assert!(original < self.model.start);
            self.model.push(records as usize, size, Some((producer, sequence)));
        }
    }

    async fn read(&self, from: i64, max_bytes: usize, upper: i64) {
        let result = self.bench.log().read(Offset(from), max_bytes, true, Offset(upper)).await;
        if from < self.model.start || from > self.model.end {
            assert!(matches!(result, Err(Error::OutOfRange { .. })));
            return;
        }
        let read = result.unwrap();
        let found = offsets_of(&read.clone().into_bytes());
        let expected = self.model.read(from, max_bytes, upper);
        // A read ends with its segment; so it is a front of what may be read, and empty only if that is.
        assert!(expected.starts_with(&found), "{found:?} {expected:?}");
        assert_eq!(found.is_empty(), expected.is_empty());
        assert_eq!(read.next_offset.0, found.last().map_or(from, |batch| batch.1 + 1));
    }

    async fn truncate(&mut self, to: i64) {
        let end = self.bench.log().truncate_to(Offset(to), NOW_MS).await.unwrap();
        self.model.truncate(to);
        assert_eq!(end.0, self.model.end);
    }

    async fn advance_start(&mut self, to: i64) {
        let to = to.min(self.model.end);
        self.bench.log().advance_start(Offset(to), NOW_MS).await.unwrap();
        self.model.start = self.model.start.max(to);
    }

    /// Takes bytes off the end of the last segment, but none of what is durable or below the start.
    async fn tear(&mut self, cut: u64) {
        let base = (0..=self.model.end).rev().find(|&base| self.bench.segment(base).exists());
        let keep = self.model.durable.max(self.model.start);
        let Some(base) = base else { return };
        let path = self.bench.segment(base);
        let len = std::fs::metadata(&path).unwrap().len();
        let in_segment: Vec<&ModelBatch> =
            self.model.batches.iter().filter(|batch| batch.base >= base).collect();
        let floor: u64 =
            in_segment.iter().filter(|batch| batch.base < keep).map(|batch| batch.size as u64).sum();
        let left = len.saturating_sub(cut).max(floor).min(len);
        self.bench.crash();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(left).unwrap();
        self.bench.start().await;
        let mut size = 0;
        let kept = in_segment.iter().take_while(|batch| {
            size += batch.size as u64;
            size <= left
        });
        let kept = kept.count() + self.model.batches.len() - in_segment.len();
        self.model.batches.truncate(kept);
        self.model.end = self.bench.log().end_offset().0;
        assert!(self.model.end >= keep);
        assert!(self.model.batches.last().is_none_or(|batch| batch.last + 1 == self.model.end || left == 0));
    }

    fn check(&self) {
        let (log, model) = (self.bench.log(), &self.model);
        assert_eq!((log.start_offset().0, log.end_offset().0), (model.start, model.end));
        for batch in model.batches.iter().filter(|batch| batch.base >= model.start) {
            assert_eq!(log.epoch_for_offset(Offset(batch.base)), Some(LeaderEpoch(batch.epoch)));
        }
        let mut producers: Vec<(i64, i32)> = Vec::new();
        for producer in log.producers() {
            producers.push((producer.producer_id.0, producer.last_sequence));
        }
        for producer in 0..3 {
            // Deleted records' producers may still be known; all others must be as the records say.
            if model
                .batches
                .iter()
                .any(|b| b.base >= model.start && b.producer.is_some_and(|(p, _)| p == producer))
            {
                assert!(producers.contains(&(producer as i64, model.next_sequence(producer) - 1)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_of_batches(ops in prop::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = LogConfig { segment_bytes: 2500, index_interval_bytes: 300, ..LogConfig::default() };
            let mut run = Run { bench: Bench::new(config).await, model: Model::default() };
            for op in &ops {
                run.step(op).await;
            }
        });
    }
}
