//! Mistakes that a log could make, to be made on purpose: the crash tests must find each of them.
//!
//! They are there with the feature `sabotage` alone, which nothing but those tests asks for. Without it [`is`] is the
//! constant `false`, and nothing of this is left in the code.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "sabotage"), allow(unreachable_pub))]
pub enum Sabotage {
    /// Directories are not fsynced after creations and renames.
    NoDirectoryFsync,
    /// A flush says that records are durable, and fsyncs nothing.
    AckBeforeFsync,
    /// A failed fsync leaves the directory online, and the next one is believed.
    FsyncRetried,
    /// Recovery takes what the page cache shows for what the device has, also where an fsync had failed.
    CacheTrusted,
    /// The marker of a clean stop is written before the logs are flushed.
    MarkerBeforeFlush,
    /// Recovery takes a segment as its indexes are, and does not look at the records.
    IndexTrusted,
    /// The leader epochs' checkpoint is renamed into place, and not fsynced (KAFKA-16541).
    EpochsNotSynced,
    /// A truncation leaves what is known of producers.
    ProducersNotTruncated,
    /// A log that begins anew keeps the leader epochs of what was there.
    EpochsNotCleared,
    /// A truncation leaves the high watermark where it was.
    WatermarkNotLowered,
    /// A follower takes what it is sent for what its leader has written.
    ReplicatedUnverified,
    /// A follower does not note the leader epochs of what it appends.
    ReplicatedEpochsNotNoted,
}

#[cfg(feature = "sabotage")]
mod switch {
    use std::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static MADE: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    impl Sabotage {
        /// All mistakes.
        pub const ALL: [Self; 12] = [
            Self::NoDirectoryFsync,
            Self::AckBeforeFsync,
            Self::FsyncRetried,
            Self::CacheTrusted,
            Self::MarkerBeforeFlush,
            Self::IndexTrusted,
            Self::EpochsNotSynced,
            Self::ProducersNotTruncated,
            Self::EpochsNotCleared,
            Self::WatermarkNotLowered,
            Self::ReplicatedUnverified,
            Self::ReplicatedEpochsNotNoted,
        ];

        /// Has the logs that run on this thread make a mistake, or none, from now on.
        pub fn set(mistake: Option<Self>) {
            MADE.set(mistake);
        }
    }

    pub(crate) fn is(mistake: Sabotage) -> bool {
        MADE.get() == Some(mistake)
    }
}

#[cfg(feature = "sabotage")]
pub(crate) use switch::is;

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is(_: Sabotage) -> bool {
    false
}
