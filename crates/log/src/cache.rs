//! Recent batches in memory, for those who read the log's end as it grows: tailing consumers, and followers.
//!
//! A batch that a reader waits for is copied once, when it is appended, and is then given to every reader without a file
//! read, a checksum or an allocation. The copies lie one behind the other in *blocks*, so that many small batches are one
//! piece to send. Only logs that somebody reads at the end are kept: a log whose readers have fallen behind by more than
//! [`FOLLOWED_BYTES`], or that has none, costs an addition per append.
//!
//! One [`Budget`] bounds the blocks of all logs together, and the oldest block goes first. A reader that is still sending
//! a block's bytes keeps that block's memory until it is done, as it would keep a read buffer.
//!
//! Why a copy, and not the slice of the network buffer that the batch came in: a slice keeps the whole buffer, which is
//! many times its size where a request has batches for many partitions, and the connection must get itself another one.
//! Measured on one thread that reads frames from a loopback socket, writes their batches to a file and keeps 16 MiB of them,
//! in CPU-s/GB on a machine with other work, best of three:
//!
//! | frame, batch (bytes) | kept nowhere | slices | copies |
//! |---|---|---|---|
//! | 1,000,000, 128,000 | 0.25 | 0.28 | 0.27 to 0.32 |
//! | 1,000,000, 16,000 | 0.34 | 0.29 | 0.33 |
//! | 16,000, 16,000 | 0.41 | 0.50 | 0.51 |
//! | 2,000, 2,000 | 0.98 | 1.02 | 1.10 |
//!
//! With 64 MiB both cost up to 0.07 more: the memory is no longer in the processor's cache when its turn comes again. What a
//! reader is spared for it is a read and a checksum of every byte.
//!
//! What is not here: which offsets may be read. The log asks below its published end only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::{Bytes, BytesMut};
use ottla_records::{AssignedBatch, BatchHeader};
use ottla_types::Offset;

use crate::sync::lock;

/// A log is kept while its quickest reader has not left more than this unread.
const FOLLOWED_BYTES: u64 = 8 << 20;

/// The first block of a log, and the largest: each is twice as large as the one before, so that a quiet log takes little.
const BLOCK_BYTES: (usize, usize) = (4 << 10, 256 << 10);

/// The memory that the recent batches of all logs share.
#[derive(Debug)]
pub(crate) struct Budget {
    limit_bytes: AtomicUsize,
    next_id: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// By id, and so by age.
    blocks: BTreeMap<u64, (usize, Weak<Recent>)>,
}

impl Budget {
    pub(crate) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes: AtomicUsize::new(limit_bytes),
            next_id: AtomicU64::new(0),
            held: Mutex::default(),
        })
    }

    /// Changes the bound. 0 keeps nothing.
    pub(crate) fn set_limit(&self, limit_bytes: usize) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
        self.shrink();
    }

    fn limit(&self) -> usize {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, id: u64, bytes: usize, owner: &Arc<Recent>) {
        {
            let mut held = lock(&self.held);
            held.bytes += bytes;
            held.blocks.insert(id, (bytes, Arc::downgrade(owner)));
        }
        self.shrink();
    }

    fn give_back(&self, ids: impl ExactSizeIterator<Item = u64>) {
        if ids.len() == 0 {
            return;
        }
        let mut held = lock(&self.held);
        for id in ids {
            if let Some((bytes, _)) = held.blocks.remove(&id) {
                held.bytes -= bytes;
            }
        }
    }

    /// Takes the oldest blocks away from their logs until the rest fits. No log's lock is held.
    fn shrink(&self) {
        loop {
            let (id, owner) = {
                let mut held = lock(&self.held);
                if held.bytes <= self.limit() {
                    return;
                }
                let Some((id, (bytes, owner))) = held.blocks.pop_first() else { return };
                held.bytes -= bytes;
                (id, owner)
            };
            if let Some(owner) = owner.upgrade() {
                owner.evict(id);
            }
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        lock(&self.held).bytes
    }
}

/// The recent batches of one log.
#[derive(Debug)]
pub(crate) struct Recent {
    budget: Arc<Budget>,
    /// Bytes appended since a reader last was at the end, or was served from here.
    unread_bytes: AtomicU64,
    /// In the order of their offsets, without a gap.
    blocks: Mutex<VecDeque<Block>>,
}

/// A batch that was just written: its header, and its bytes in two pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pushed<'a> {
    pub(crate) header: &'a BatchHeader,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> From<&'a AssignedBatch> for Pushed<'a> {
    fn from(batch: &'a AssignedBatch) -> Self {
        Self { header: &batch.header, head: &batch.head, body: &batch.body }
    }
}

/// What is asked of the cache: offsets `from` up to `upper`, in at most `max_bytes`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) from: Offset,
    pub(crate) upper: Offset,
    pub(crate) max_bytes: usize,
    pub(crate) at_least_one: bool,
}

/// Batches found.
#[derive(Debug, Default)]
pub(crate) struct Hit {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) size_bytes: usize,
    pub(crate) next_offset: Offset,
}

impl Recent {
    pub(crate) fn new(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            unread_bytes: AtomicU64::new(u64::MAX),
            blocks: Mutex::default(),
        })
    }

    /// Notes that a reader has everything there is, and will want what comes next.
    pub(crate) fn note_reader_at_end(&self) {
        self.unread_bytes.store(0, Ordering::Relaxed);
    }

    /// Keeps a batch that was just written, if the log is followed. The writer's lock is held: there is one caller at a
    /// time.
    pub(crate) fn push<'a>(self: &Arc<Self>, batch: impl Into<Pushed<'a>>) {
        let batch = &batch.into();
        let size = batch.header.size_bytes();
        let unread = self.unread_bytes.load(Ordering::Relaxed);
        if unread > FOLLOWED_BYTES {
            return;
        }
        self.unread_bytes.fetch_add(size as u64, Ordering::Relaxed);
        if unread + size as u64 > FOLLOWED_BYTES || size > self.budget.limit() / 4 {
            // Nobody reads this, or it would leave room for nothing else.
            self.clear();
            return;
        }
        let mut stale = VecDeque::new();
        let added = {
            let mut blocks = lock(&self.blocks);
            if blocks.back().is_some_and(|last| last.next_offset() != batch.header.base_offset) {
                stale = std::mem::take(&mut *blocks);
            }
            match blocks.back_mut() {
                Some(last) if last.has_room(size) => {
                    last.push(batch);
                    None
                }
                _ => Some(self.push_block(&mut blocks, batch)),
            }
        };
        self.budget.give_back(stale.iter().map(|block| block.id));
        // Only now can the block be evicted, which needs the log's lock.
        if let Some((id, capacity)) = added {
            self.budget.take(id, capacity, self);
        }
    }

    /// A new block with this batch in it: its id, and the memory that is to be accounted for.
    fn push_block(&self, blocks: &mut VecDeque<Block>, batch: &Pushed<'_>) -> (u64, usize) {
        let (first, most) = BLOCK_BYTES;
        let most = most.min(self.budget.limit() / 8);
        let usual = blocks.back().map_or(first, |last| last.capacity.saturating_mul(2).min(most));
        let capacity = usual.max(batch.header.size_bytes());
        let id = self.budget.next_id.fetch_add(1, Ordering::Relaxed);
        let mut block = Block::new(id, batch.header.base_offset, capacity);
        block.push(batch);
        blocks.push_back(block);
        (id, capacity)
    }

    /// Forgets everything: the log was cut, closed or deleted.
    pub(crate) fn clear(&self) {
        let blocks = std::mem::take(&mut *lock(&self.blocks));
        self.budget.give_back(blocks.iter().map(|block| block.id));
    }

    /// Forgets blocks that lie below the start of the log.
    pub(crate) fn forget_below(&self, start: Offset) {
        let mut gone = Vec::new();
        {
            let mut blocks = lock(&self.blocks);
            while blocks.front().is_some_and(|block| block.next_offset() <= start) {
                gone.extend(blocks.pop_front().map(|block| block.id));
            }
        }
        self.budget.give_back(gone.into_iter());
    }

    /// Forgets the blocks up to `id`, which the budget has written off.
    fn evict(&self, id: u64) {
        let mut blocks = lock(&self.blocks);
        while blocks.front().is_some_and(|block| block.id <= id) {
            blocks.pop_front();
        }
    }

    /// The batches from the one that contains `wanted.from` on; `None` if that one is not here.
    pub(crate) fn read(&self, wanted: &Wanted) -> Option<Hit> {
        let mut blocks = lock(&self.blocks);
        if blocks.front()?.base > wanted.from {
            return None;
        }
        let first = blocks.partition_point(|block| block.next_offset() <= wanted.from);
        if first == blocks.len() {
            return None;
        }
        let mut hit = Hit { next_offset: wanted.from, ..Hit::default() };
        for block in blocks.range_mut(first..) {
            if !block.read(wanted, &mut hit) {
                break;
            }
        }
        if hit.size_bytes > 0 {
            self.note_reader_at_end();
        }
        Some(hit)
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        lock(&self.blocks).is_empty()
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Batches one behind the other in one allocation.
#[derive(Debug)]
struct Block {
    id: u64,
    base: Offset,
    capacity: usize,
    /// Where each batch ends, in the order of the batches.
    marks: Vec<Mark>,
    /// What was read before, and so was cut off from `open`.
    pieces: Vec<Bytes>,
    open: BytesMut,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    last_offset: Offset,
    end: usize,
}

impl Block {
    fn new(id: u64, base: Offset, capacity: usize) -> Self {
        let open = BytesMut::with_capacity(capacity);
        Self { id, base, capacity, marks: Vec::new(), pieces: Vec::new(), open }
    }

    fn len(&self) -> usize {
        self.marks.last().map_or(0, |mark| mark.end)
    }

    fn next_offset(&self) -> Offset {
        self.marks.last().map_or(self.base, |mark| Offset(mark.last_offset.0.saturating_add(1)))
    }

    fn has_room(&self, size: usize) -> bool {
        self.len() + size <= self.capacity
    }

    fn push(&mut self, batch: &Pushed<'_>) {
        self.open.extend_from_slice(batch.head);
        self.open.extend_from_slice(batch.body);
        let end = self.len() + batch.head.len() + batch.body.len();
        self.marks.push(Mark { last_offset: batch.header.last_offset(), end });
    }

    /// Adds to `hit` what is wanted of this block. Returns whether the next block may have more.
    fn read(&mut self, wanted: &Wanted, hit: &mut Hit) -> bool {
        let first = self.marks.partition_point(|mark| mark.last_offset < hit.next_offset);
        let start = first.checked_sub(1).and_then(|i| self.marks.get(i)).map_or(0, |mark| mark.end);
        let room = wanted.max_bytes.saturating_sub(hit.size_bytes);
        let mut behind = self.marks.partition_point(|mark| {
            mark.last_offset < wanted.upper && mark.end.saturating_sub(start) <= room
        });
        if behind <= first && wanted.at_least_one && hit.size_bytes == 0 {
            let fits = self.marks.get(first).is_some_and(|mark| mark.last_offset < wanted.upper);
            behind = first + usize::from(fits);
        }
        let Some(last) = behind.checked_sub(1).filter(|&last| last >= first) else { return false };
        let Some(&Mark { last_offset, end }) = self.marks.get(last) else { return false };
        self.slices(start, end, &mut hit.chunks);
        hit.size_bytes += end - start;
        hit.next_offset = Offset(last_offset.0.saturating_add(1));
        behind == self.marks.len()
    }

    fn slices(&mut self, start: usize, end: usize, chunks: &mut Vec<Bytes>) {
        if end > self.len() - self.open.len() {
            self.pieces.push(self.open.split().freeze());
        }
        let mut at = 0;
        for piece in &self.pieces {
            let (from, to) = (start.max(at), end.min(at + piece.len()));
            if from < to {
                chunks.push(piece.slice(from - at..to - at));
            }
            at += piece.len();
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
