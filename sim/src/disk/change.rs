//! Changes that are not on the device yet: of a file's bytes, and of a directory's names.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

/// Tells files and directories apart, whatever their names are.
pub(super) type Ino = u64;

/// A change of a file.
#[derive(Debug, Clone)]
pub(super) enum FileChange {
    Write { offset: u64, data: Bytes },
    SetLen(u64),
}

impl FileChange {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let (from, to) = (*offset as usize, *offset as usize + data.len());
                if content.len() < to {
                    content.resize(to, 0);
                }
                content[from..to].copy_from_slice(data);
            }
            Self::SetLen(len) => content.resize(*len as usize, 0),
        }
    }
}

/// The names in a directory.
pub(super) type Names = BTreeMap<Arc<str>, Ino>;

/// A change of a directory: done or not done.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link(Arc<str>, Ino),
    Unlink(Arc<str>),
    Rename { from: Arc<str>, to: Arc<str>, ino: Ino },
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(name, ino) => {
                names.insert(Arc::clone(name), *ino);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename { from, to, ino } => {
                // An earlier change may be lost that this one built on: then the name is another file's by now.
                if names.get(from) == Some(ino) {
                    names.remove(from);
                }
                names.insert(Arc::clone(to), *ino);
            }
        }
    }
}

/// Something with a state in the page cache, one on the device, and the changes between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Cached<S, C> {
    /// What running processes see.
    pub(super) seen: S,
    /// What is on the device.
    pub(super) durable: Arc<S>,
    /// What may or may not be on the device, in order.
    pub(super) pending: Vec<C>,
    /// A sync failed: not all that is seen is durable or pending.
    pub(super) dropped: bool,
}

/// A change that can be applied to a state.
pub(super) trait Change<S>: Clone {
    /// Applies it.
    fn apply_to(&self, state: &mut S);
}

impl Change<Vec<u8>> for FileChange {
    fn apply_to(&self, state: &mut Vec<u8>) {
        self.apply(state);
    }
}

impl Change<Names> for NameChange {
    fn apply_to(&self, state: &mut Names) {
        self.apply(state);
    }
}

impl<S: Clone, C: Change<S>> Cached<S, C> {
    pub(super) fn of(state: S) -> Self {
        Self { seen: state.clone(), durable: Arc::new(state), pending: Vec::new(), dropped: false }
    }

    pub(super) fn change(&mut self, change: C) {
        change.apply_to(&mut self.seen);
        self.pending.push(change);
    }

    /// All that is pending becomes durable.
    pub(super) fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        // Not a copy of all that is seen: a log is synced over and over while it grows.
        let durable = Arc::make_mut(&mut self.durable);
        self.pending.drain(..).for_each(|change| change.apply_to(durable));
    }

    /// A sync that fails: `survives` says what is on the device. Nothing is dirty afterwards.
    pub(super) fn fail_sync(&mut self, survives: S) {
        self.dropped |= !self.pending.is_empty();
        self.durable = Arc::new(survives);
        self.pending.clear();
    }

    /// The page cache lets go of what it thinks is clean: what a failed sync did not write is gone.
    pub(super) fn evict(&mut self) {
        if self.dropped {
            self.seen = (*self.durable).clone();
            self.pending.iter().for_each(|change| change.apply_to(&mut self.seen));
            self.dropped = false;
        }
    }
}
