//! What is left after a crash.

use super::change::{Cached, Change, FileChange, NameChange, Names};
use super::handle::SimDisk;
use super::state::{Inode, State};
use crate::rng::SimRng;

/// How a machine or a process ends without notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process dies, the kernel lives: the page cache stays.
    Kill,
    /// The power fails: what was not synced is kept, lost or torn.
    PowerLoss,
}

/// A moment at which a crash is possible: right after a change of the disk, or in the middle of a write.
#[derive(Debug, Clone)]
pub struct CrashPoint {
    pub(super) state: State,
    /// The number of the change.
    pub mutation: u64,
    /// A part of the write is done. Of interest to a kill; for a power loss the point after it covers this one.
    pub mid_write: bool,
}

impl CrashPoint {
    /// The disk as the next process finds it.
    #[must_use]
    pub fn restart(&self, crash: Crash, seed: u64) -> SimDisk {
        SimDisk::of(self.state.after(crash, &mut SimRng::new(seed)))
    }

    /// Whether a sync failed within the last so many changes.
    #[must_use]
    pub fn is_behind_failed_sync(&self, changes: u64) -> bool {
        self.state.failed_sync.is_some_and(|failed| self.mutation.saturating_sub(failed) <= changes)
    }

    /// The events before it, in words, if they were kept.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.state.trace.words()
    }
}

/// Sizes of what a device writes whole. Small ones make torn writes likely where files are small.
const SECTORS: [usize; 4] = [16, 64, 512, 4096];

/// What becomes of the unsynced changes of one thing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    AllLost,
    AllKept,
    /// The first ones are kept, as by a journal that is written in order.
    Prefix,
    /// Each piece for itself.
    Scattered,
}

impl Fate {
    fn draw(rng: &mut SimRng) -> Self {
        [Self::AllLost, Self::AllKept, Self::Prefix, Self::Scattered][rng.weighted(&[3, 3, 2, 3])]
    }
}

impl State {
    /// What the next process finds.
    pub(super) fn after(&self, crash: Crash, rng: &mut SimRng) -> State {
        let mut next = self.restarted(rng.next_u64());
        match crash {
            Crash::Kill => {
                // What a failed sync marked clean is seen as long as the page cache keeps it. Names are not: a file system
                // that cannot write a directory stops, and shows what the device has when it is mounted again.
                let common = [None, Some(true), Some(false)][rng.index(3)];
                for inode in next.inodes_mut() {
                    let is_dir = matches!(inode, Inode::Dir(_));
                    if is_dir || common.unwrap_or_else(|| rng.one_in(2)) {
                        inode.evict();
                    }
                }
            }
            Crash::PowerLoss => {
                next.boot = rng.next_u64();
                // Now and then all share one fate: everything is lost but what was synced, or nothing is.
                let common = match rng.below(8) {
                    0 => Some(Fate::AllLost),
                    1 => Some(Fate::AllKept),
                    _ => None,
                };
                next.inodes_mut().for_each(|inode| match inode {
                    Inode::File(file) => *file = Cached::of(file_after(file, common, rng)),
                    Inode::Dir(dir) => *dir = Cached::of(names_after(dir, common, rng)),
                });
                next.forget_unreachable();
            }
        }
        next
    }
}

/// A file's bytes after a power loss, or after a sync that failed.
pub(super) fn file_after(
    file: &Cached<Vec<u8>, FileChange>,
    fate: Option<Fate>,
    rng: &mut SimRng,
) -> Vec<u8> {
    if file.pending.is_empty() {
        return (*file.durable).clone();
    }
    match fate.unwrap_or_else(|| Fate::draw(rng)) {
        Fate::Scattered => scatter(file, rng),
        fate => in_order(file, fate, rng),
    }
}

/// A directory's names after a power loss, or after a sync that failed.
pub(super) fn names_after(dir: &Cached<Names, NameChange>, fate: Option<Fate>, rng: &mut SimRng) -> Names {
    if dir.pending.is_empty() {
        return (*dir.durable).clone();
    }
    match fate.unwrap_or_else(|| Fate::draw(rng)) {
        Fate::Scattered => {
            let mut names = (*dir.durable).clone();
            dir.pending.iter().filter(|_| rng.one_in(2)).for_each(|change| change.apply(&mut names));
            names
        }
        fate => in_order(dir, fate, rng),
    }
}

fn in_order<S: Clone, C: Change<S>>(cached: &Cached<S, C>, fate: Fate, rng: &mut SimRng) -> S {
    let kept = match fate {
        Fate::AllLost => 0,
        Fate::AllKept => cached.pending.len(),
        Fate::Prefix | Fate::Scattered => rng.index(cached.pending.len() + 1),
    };
    let mut state = (*cached.durable).clone();
    cached.pending.iter().take(kept).for_each(|change| change.apply_to(&mut state));
    state
}

/// Each sector, and the length, is what it was at some moment since the last sync.
fn scatter(file: &Cached<Vec<u8>, FileChange>, rng: &mut SimRng) -> Vec<u8> {
    let mut versions = vec![(*file.durable).clone()];
    for change in &file.pending {
        let mut next = versions[versions.len() - 1].clone();
        change.apply(&mut next);
        versions.push(next);
    }
    // The oldest and the newest are the likely ones.
    let draw = |rng: &mut SimRng| match rng.below(4) {
        0 => 0,
        1 => rng.index(versions.len()),
        _ => versions.len() - 1,
    };
    let len = versions[draw(rng)].len();
    let sector = SECTORS[rng.index(SECTORS.len())];
    let mut content = vec![0; len];
    for from in (0..len).step_by(sector) {
        let version = &versions[draw(rng)];
        let to = (from + sector).min(len).min(version.len());
        if from < to {
            content[from..to].copy_from_slice(&version[from..to]);
        }
    }
    content
}
