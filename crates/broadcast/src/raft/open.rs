//! Opening a node of a quorum: its storage, openraft, and the tasks around them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use ottla_env::disk::create_dir_durably;
use ottla_env::{Disk, Rng, process};
use tokio::sync::{mpsc, watch};

use super::appends::Appends;
use super::journal::Journal;
use super::keeper::Keeper;
use super::leadership::{Deliverer, Leadership};
use super::machine::Machine;
use super::network::{Network, Peers};
use super::observed::Observed;
use super::progress::Progress;
use super::runtime::with_rng;
use super::server::Server;
use super::{OpenRaft, Raft};
use crate::quorum::VoterKey;
use crate::recovery::OpenError;

/// How many deliveries may wait to be taken.
const WAITING_DELIVERIES: usize = 64;
/// How many entries are kept that a snapshot stands for, so that a follower that is a little late needs none. They are in
/// memory.
const KEPT_ENTRIES: u64 = 100;

/// What a node of a quorum is told.
#[derive(Debug, Clone, Copy)]
pub struct RaftConfig {
    /// Who it is.
    pub me: VoterKey,
    /// `controller.quorum.election.timeout.ms`: no node stands for election that has heard from the leader this recently.
    pub election_timeout: Duration,
    /// `controller.quorum.fetch.timeout.ms`: a node that has heard from no leader this long stands for election, and a
    /// leader that has heard from no majority this long resigns.
    pub fetch_timeout: Duration,
}

/// A node of a quorum, opened.
pub struct OpenedRaft {
    /// The node.
    pub raft: Arc<Raft>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl RaftConfig {
    /// Openraft's follower waits for the leader's lease, which is the longest election timeout, and then for an election
    /// timeout of its own, between the shortest and the longest. Two thirds and one third of the lower bound make that
    /// one to one and a third times the lower bound: 300 to 400 ms by default.
    fn openraft(&self) -> Result<Config, OpenError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (election, fetch) = (millis(self.election_timeout), millis(self.fetch_timeout));
        let longest = (election * 2 / 3).min(fetch / 2).max(8);
        let shortest = election.saturating_sub(longest).clamp(4, longest - 1);
        let config = Config {
            cluster_name: "ottla".to_owned(),
            election_timeout_min: shortest,
            election_timeout_max: longest,
            // Openraft looks at its timers five times as often, which is most of what an idle node costs. One sign of life may
            // be lost before a lease is over, and two before anybody stands for election.
            heartbeat_interval: (shortest * 4 / 5).max(1),
            // Between two answers of a peer, whose own time limits these are not.
            install_snapshot_timeout: 24 * 60 * 60 * 1000,
            max_payload_entries: 512,
            // Whatever the log still holds is sent from it.
            replication_lag_threshold: u64::MAX,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: KEPT_ENTRIES,
            enable_pre_vote: Some(true),
            // A node that was restarted has forgotten what was committed, so it does not lead without an election.
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            ..Config::default()
        };
        config.validate().map_err(|error| OpenError::Io(std::io::Error::other(error.to_string())))
    }
}

impl Raft {
    /// Opens the node whose log and vote are in `dir`, or makes it an empty one, which votes only once it has been
    /// initialised or was asked for its vote as a member. It stands for election at once if it is the only voter.
    ///
    /// # Errors
    /// The disk fails, another process has the directory, or something in it is damaged. Errors name the file, and the
    /// position where there is one.
    pub async fn open(
        disk: Arc<dyn Disk>,
        rng: Arc<dyn Rng>,
        dir: &Path,
        config: RaftConfig,
        peers: Arc<dyn Peers>,
    ) -> Result<OpenedRaft, OpenError> {
        let me = config.me;
        create_dir_durably(&*disk, dir).await?;
        let lock = disk.lock(&dir.join("lock")).await?;
        let (journal, warnings) = Journal::open(Arc::clone(&disk), dir).await?;
        process::observe(|| Observed::Opened { me, epoch: journal.known_epoch() });
        let leadership = Arc::new(Leadership::new(me, journal.vote()));
        let (sender, receiver) = mpsc::channel(WAITING_DELIVERIES);
        let (closing, is_closing) = watch::channel(false);
        let deliverer = Deliverer::new(Arc::clone(&leadership), sender, is_closing.clone());
        let deliverer = Arc::new(tokio::sync::Mutex::new(deliverer));
        let machine =
            Machine::open(Arc::clone(&disk), dir.to_owned(), journal.clone(), Arc::clone(&deliverer)).await?;
        let patience = config.fetch_timeout;
        let network = Network { me, peers, patience, journal: journal.clone() };
        let settings = Arc::new(config.openraft()?);
        let built = OpenRaft::new(me, settings, network.clone(), journal.clone(), machine.clone());
        let raft = with_rng(rng, built).await.map_err(|error| OpenError::Io(std::io::Error::other(error)))?;
        let progress = Arc::new(Progress::default());
        let keeper = Keeper {
            me,
            raft: raft.clone(),
            journal: journal.clone(),
            leadership: Arc::clone(&leadership),
            deliverer: Arc::clone(&deliverer),
            progress: Arc::clone(&progress),
            is_closing: is_closing.clone(),
            patience,
            handover: config.election_timeout,
            led_since: None,
            forgetting: None,
        };
        // Who votes is known once openraft has answered anything.
        let has_begun = raft.is_initialized().await;
        if has_begun.is_ok() && keeper.is_only_voter() {
            // Without an answer its storage has failed, which the keeper finds out.
            let _ = raft.trigger().elect(false).await;
        }
        process::spawn(keeper.run());
        let server = Server {
            me,
            raft: raft.clone(),
            journal: journal.clone(),
            machine: machine.clone(),
            working_after: patience / 4,
            disk,
            dir: dir.to_owned(),
            incoming: tokio::sync::Mutex::new(None),
            is_closing: is_closing.clone(),
        };
        let raft = Arc::new(Self {
            me,
            appends: Appends::new(raft.clone(), Arc::clone(&leadership), is_closing),
            raft,
            journal,
            machine,
            leadership,
            deliverer,
            progress,
            network,
            server,
            deliveries: Mutex::new(Some(receiver)),
            closing,
            patience,
            open: tokio::sync::Mutex::new(Some(lock)),
        });
        Ok(OpenedRaft { raft, warnings })
    }
}
