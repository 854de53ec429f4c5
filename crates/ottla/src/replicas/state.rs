//! A partition and its replicas, as they are shown. What is not known is null in JSON, and never a number.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{EligibleReplicas, IsrWish, LedPartition, Partition, ReplicaDescription, ReplicaStanding};
use ottla_types::{BrokerId, TopicName};
use serde::Serialize;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PartitionState {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) health: Health,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) partition_epoch: Option<i32>,
    pub(crate) log_start_offset: Option<i64>,
    pub(crate) high_watermark: Option<i64>,
    /// Where the leader's log ends.
    pub(crate) log_end_offset: Option<i64>,
    pub(crate) min_insync_replicas: Option<usize>,
    pub(crate) isr: Vec<i32>,
    /// Who may be elected without being in sync; null where the cluster does not tell.
    pub(crate) elr: Option<Vec<i32>>,
    pub(crate) replicas: Vec<ReplicaState>,
}

/// How a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// All replicas are in sync.
    Whole,
    /// Some are not.
    UnderReplicated,
    /// Some are not, and if one more goes no write with `acks=all` is taken.
    AtMinIsr,
    /// So many are not that no write with `acks=all` is taken.
    UnderMinIsr,
    /// Nobody leads.
    Offline,
}

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ReplicaState {
    pub(crate) broker: i32,
    pub(crate) in_sync: bool,
    pub(crate) state: Standing,
    /// `enter` or `leave`: the ISR that the leader has asked for, which is not decided.
    pub(crate) asked: Option<&'static str>,
    pub(crate) log_end_offset: Option<i64>,
    pub(crate) lag_records: Option<i64>,
    pub(crate) size_bytes: Option<i64>,
    pub(crate) last_fetch_ms_ago: Option<u64>,
    pub(crate) last_caught_up_ms_ago: Option<u64>,
    pub(crate) out_of_sync_ms: Option<u64>,
    /// Why it lags, by a detector that tells.
    pub(crate) explanation: Option<String>,
}

/// How a replica stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Leads,
    InSync,
    CatchesUp,
    NotSeen,
    Fenced,
    Stopping,
    DirectoryOffline,
    Unregistered,
    /// It is not in the ISR, and nobody tells more.
    OutOfSync,
    /// The broker says something that this program does not know.
    Unknown,
}

impl Standing {
    /// In words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::InSync => "in sync",
            Self::CatchesUp => "catches up",
            Self::NotSeen => "has not fetched",
            Self::Fenced => "broker fenced",
            Self::Stopping => "broker stopping",
            Self::DirectoryOffline => "directory offline",
            Self::Unregistered => "broker unknown",
            Self::OutOfSync => "out of sync",
            Self::Unknown => "unknown",
        }
    }

    /// Why a replica that stands so is not in sync.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Fenced => "its broker is fenced",
            Self::Stopping => "its broker is stopping",
            Self::DirectoryOffline => "its directory is offline",
            Self::Unregistered => "its broker is not registered",
            Self::NotSeen => "it has not fetched since its leader leads",
            Self::CatchesUp | Self::Leads | Self::InSync => "it is behind, and catches up",
            Self::OutOfSync | Self::Unknown => "nobody tells why",
        }
    }
}

impl From<ReplicaStanding> for Standing {
    fn from(standing: ReplicaStanding) -> Self {
        match standing {
            ReplicaStanding::Leads => Self::Leads,
            ReplicaStanding::InSync => Self::InSync,
            ReplicaStanding::CatchesUp => Self::CatchesUp,
            ReplicaStanding::NotSeen => Self::NotSeen,
            ReplicaStanding::Fenced => Self::Fenced,
            ReplicaStanding::Stopping => Self::Stopping,
            ReplicaStanding::DirectoryOffline => Self::DirectoryOffline,
            ReplicaStanding::Unregistered => Self::Unregistered,
            ReplicaStanding::Unknown => Self::Unknown,
        }
    }
}

/// What is known beside what leaders and metadata tell.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The brokers that are fenced, and whether they are not known at all.
    pub(crate) fenced: BTreeMap<BrokerId, bool>,
    pub(crate) eligible: Option<EligibleReplicas>,
    pub(crate) min_insync: Option<usize>,
    /// By broker: size in bytes, and how far it takes itself for behind.
    pub(crate) logs: BTreeMap<BrokerId, (i64, Option<i64>)>,
}

impl PartitionState {
    /// What a leader tells.
    pub(crate) fn of_leader(led: &LedPartition, beside: &Beside) -> Self {
        let isr: Vec<i32> = led
            .replicas
            .iter()
            .filter(|replica| replica.is_in_sync)
            .map(|replica| replica.broker.0)
            .collect();
        Self {
            topic: led.partition.topic.to_string(),
            partition: led.partition.partition,
            health: Health::of(true, isr.len(), led.replicas.len(), Some(led.min_insync)),
            leader: Some(led.leader.0),
            leader_epoch: led.leader_epoch.0,
            partition_epoch: Some(led.partition_epoch.0),
            log_start_offset: Some(led.log_start.0),
            high_watermark: Some(led.high_watermark.0),
            log_end_offset: Some(led.log_end.0),
            min_insync_replicas: Some(led.min_insync),
            isr,
            elr: beside.elr(),
            replicas: led.replicas.iter().map(|replica| ReplicaState::of_leader(replica, led)).collect(),
        }
    }

    /// What the metadata tell.
    pub(crate) fn of_metadata(topic: &TopicName, partition: &Partition, beside: &Beside) -> Self {
        let (in_sync, replicas) = (partition.isr.len(), partition.replicas.len());
        // More than it has replicas cannot be asked for.
        let min_insync = beside.min_insync.map(|least| least.min(replicas));
        Self {
            topic: topic.to_string(),
            partition: partition.index,
            health: Health::of(partition.leader.is_some(), in_sync, replicas, min_insync),
            leader: partition.leader.map(|id| id.0),
            leader_epoch: partition.leader_epoch.0,
            partition_epoch: None,
            log_start_offset: None,
            high_watermark: None,
            log_end_offset: None,
            min_insync_replicas: min_insync,
            isr: partition.isr.iter().map(|id| id.0).collect(),
            elr: beside.elr(),
            replicas: partition
                .replicas
                .iter()
                .map(|broker| ReplicaState::of_metadata(*broker, partition, beside))
                .collect(),
        }
    }

    /// Whether all replicas are in sync.
    pub(crate) fn is_whole(&self) -> bool {
        self.health == Health::Whole
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }
}

impl Beside {
    fn elr(&self) -> Option<Vec<i32>> {
        let elr = self.eligible.as_ref()?.elr.as_ref()?;
        Some(elr.iter().map(|id| id.0).collect())
    }
}

impl Health {
    /// How a partition is with so many replicas in sync, of how many. Who does not know how many are needed takes it for less
    /// grave.
    pub(crate) fn of(is_led: bool, in_sync: usize, replicas: usize, min_insync: Option<usize>) -> Self {
        if !is_led {
            return Self::Offline;
        }
        match min_insync {
            Some(least) if in_sync < least => Self::UnderMinIsr,
            _ if in_sync >= replicas => Self::Whole,
            Some(least) if in_sync == least => Self::AtMinIsr,
            _ => Self::UnderReplicated,
        }
    }
}

impl ReplicaState {
    fn of_leader(replica: &ReplicaDescription, led: &LedPartition) -> Self {
        let ms = |age: Option<Duration>| age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let leads = replica.broker == led.leader;
        Self {
            broker: replica.broker.0,
            in_sync: replica.is_in_sync,
            state: replica.standing.into(),
            asked: replica.asked.map(|asked| match asked {
                IsrWish::Enter => "enter",
                IsrWish::Leave => "leave",
            }),
            log_end_offset: if leads { Some(led.log_end.0) } else { replica.log_end.map(|end| end.0) },
            lag_records: if leads { Some(0) } else { replica.lag_records },
            size_bytes: leads.then_some(led.size_bytes),
            last_fetch_ms_ago: ms(replica.last_fetch),
            last_caught_up_ms_ago: ms(replica.last_caught_up),
            out_of_sync_ms: ms(replica.out_of_sync),
            explanation: replica.explanation.clone(),
        }
    }

    fn of_metadata(broker: BrokerId, partition: &Partition, beside: &Beside) -> Self {
        let in_sync = partition.isr.contains(&broker);
        let state = match beside.fenced.get(&broker) {
            _ if partition.leader == Some(broker) => Standing::Leads,
            Some(true) => Standing::Unregistered,
            Some(false) => Standing::Fenced,
            None if in_sync => Standing::InSync,
            None if partition.offline.contains(&broker) => Standing::DirectoryOffline,
            None => Standing::OutOfSync,
        };
        let log = beside.logs.get(&broker);
        Self {
            broker: broker.0,
            in_sync,
            state,
            asked: None,
            log_end_offset: None,
            lag_records: log.and_then(|(_, lag)| *lag),
            size_bytes: log.map(|(size, _)| *size),
            last_fetch_ms_ago: None,
            last_caught_up_ms_ago: None,
            out_of_sync_ms: None,
            explanation: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ottla_types::{ErrorCode, LeaderEpoch};

    use super::*;

    /// A partition of three replicas, led by broker 1, as metadata tell it.
    pub(crate) fn of(partition: i32, isr: &[i32], fenced: &[i32]) -> PartitionState {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let partition = Partition {
            index: partition,
            error: ErrorCode::None,
            leader: isr.first().copied().map(BrokerId),
            leader_epoch: LeaderEpoch(4),
            replicas: ids(&[1, 2, 3]),
            isr: ids(isr),
            offline: Vec::new(),
        };
        let beside = Beside {
            fenced: fenced.iter().map(|id| (BrokerId(*id), false)).collect(),
            min_insync: Some(2),
            ..Beside::default()
        };
        PartitionState::of_metadata(&TopicName::new("orders").unwrap(), &partition, &beside)
    }

    #[test]
    fn a_partition_is_as_healthy_as_its_isr_is_large() {
        assert_eq!(Health::of(true, 3, 3, Some(2)), Health::Whole);
        assert_eq!(Health::of(true, 3, 4, Some(2)), Health::UnderReplicated);
        assert_eq!(Health::of(true, 2, 3, Some(2)), Health::AtMinIsr);
        assert_eq!(Health::of(true, 1, 3, Some(2)), Health::UnderMinIsr);
        assert_eq!(Health::of(false, 1, 3, Some(2)), Health::Offline);
        assert_eq!(Health::of(true, 1, 1, Some(1)), Health::Whole, "it has what it asks for");
        assert_eq!(Health::of(true, 2, 3, None), Health::UnderReplicated);
    }

    #[test]
    fn without_a_leaders_word_a_replica_is_what_metadata_say() {
        let state = of(0, &[1, 2], &[3]);
        let states: Vec<_> = state.replicas.iter().map(|replica| replica.state).collect();
        assert_eq!(states, [Standing::Leads, Standing::InSync, Standing::Fenced]);
        assert_eq!((state.health, state.high_watermark), (Health::AtMinIsr, None));
        assert_eq!(of(0, &[1, 2], &[]).replicas[2].state, Standing::OutOfSync);
    }
}
