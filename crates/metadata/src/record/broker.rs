//! Records about brokers: registration, fencing, controlled shutdown, directories (KIP-631, KIP-858, KIP-966).

use std::sync::Arc;

use ottla_types::config::listeners::SecurityProtocol;
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId};

/// In an assignment: the broker has not said yet where the replica lies (KIP-858). [`DirectoryId::ZERO`] says the same
/// of replicas that are older than directories' ids.
pub const UNASSIGNED_DIRECTORY: DirectoryId = reserved(1);

/// In an assignment: the replica lies in a directory that has failed, whichever it is (KIP-858).
pub const LOST_DIRECTORY: DirectoryId = reserved(2);

const fn reserved(number: u8) -> DirectoryId {
    DirectoryId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number])
}

/// Whether an id is one of the hundred that no directory has (KIP-858).
#[must_use]
pub fn is_reserved_directory(id: DirectoryId) -> bool {
    u128::from_be_bytes(id.0) < 100
}

/// A broker registers (KIP-631).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Its `node.id`.
    pub id: BrokerId,
    /// The number of this registration, above that of every earlier one of any broker.
    pub epoch: BrokerEpoch,
    /// Drawn by the broker at each start.
    pub incarnation: IncarnationId,
    /// Where it can be reached, one for each listener.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// Its log directories that work (KIP-858).
    pub directories: Vec<DirectoryId>,
    /// The features that it knows, with the levels that it can work at (KIP-584). Since version 1.
    pub features: Vec<SupportedFeature>,
    /// What it knows of its run before this one. Since version 1.
    pub last_run: LastRun,
}

/// How a broker's run before a registration ended, as far as its logs are concerned.
///
/// Followers of a partition count on what an in-sync replica has acknowledged, so a replica that may have lost the end
/// of its log must come back as a stranger (KIP-966). The epochs are those of the registration of the run that ended:
/// a marker of an older run says nothing about the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LastRun {
    /// There was none, or nothing is known of it: records of version 0 say nothing.
    #[default]
    Unknown,
    /// It was shut down, and everything was flushed: the directories hold a marker with that run's epoch.
    Clean(BrokerEpoch),
    /// The process died, and the operating system lived on: the same boot, the same mounts and no failed directory, so
    /// that what was written is there, flushed or not.
    ProcessCrash(BrokerEpoch),
    /// Neither can be shown: the ends of the logs may be missing.
    Unclean,
}

impl LastRun {
    /// The registration whose run left its logs whole; `None` if no run is known to.
    #[must_use]
    pub fn whole(self) -> Option<BrokerEpoch> {
        match self {
            Self::Clean(epoch) | Self::ProcessCrash(epoch) => Some(epoch),
            Self::Unknown | Self::Unclean => None,
        }
    }
}

/// A feature that a broker knows, and the levels that it can work at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportedFeature {
    /// The feature, as Kafka names it.
    pub name: Arc<str>,
    /// The lowest level.
    pub min_level: i16,
    /// The highest level.
    pub max_level: i16,
}

/// Names one run of a broker process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncarnationId(pub [u8; 16]);

/// An address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: Arc<str>,
    /// What to connect to.
    pub host: Arc<str>,
    /// What to connect to.
    pub port: u16,
    /// How to speak there.
    pub security_protocol: SecurityProtocol,
}

/// A broker stops or starts being eligible for leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFencing {
    /// The broker.
    pub id: BrokerId,
    /// The registration that this is about; a broker that has registered again is not touched.
    pub epoch: BrokerEpoch,
    /// Whether it is fenced from now on.
    pub fenced: bool,
}

/// A broker begins to shut down, or has other directories online. What is false or `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerChange {
    /// The broker.
    pub id: BrokerId,
    /// The registration that this is about.
    pub epoch: BrokerEpoch,
    /// Whether it shuts down from now on: it leads nothing and joins no ISR until it registers again (KIP-841).
    pub in_controlled_shutdown: bool,
    /// The log directories that work from now on (KIP-858).
    pub directories: Option<Vec<DirectoryId>>,
}

/// A broker is no part of the cluster any more, until it registers again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisterBroker {
    /// The broker.
    pub id: BrokerId,
    /// The registration that ends.
    pub epoch: BrokerEpoch,
}

/// The first broker epoch that no registration had. Only in snapshots, where the registration that had the highest one
/// has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerEpochs {
    /// The first epoch that was not given.
    pub next: BrokerEpoch,
}
