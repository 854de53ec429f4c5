//! A leader of the quorum whose process has died is not waited for: when the connection by which it spoke ends, and nobody
//! listens where it did, this node stands for election as soon as the other voters may grant it.
//!
//! A wrong suspicion does no harm: each voter that hears from the leader, or has heard from it within its lease, refuses
//! (pre-vote), and nothing has changed then. Where nothing of this is seen, as of a machine that lost its power, the
//! quorum's own timers see to it. So that two followers do not stand against each other, each waits for those before it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use ottla_broadcast::QuorumAdmin as _;
use ottla_broadcast::{AtomicBroadcast as _, Raft};
use ottla_env::process;
use ottla_types::BrokerId;

use crate::cluster::Links;

/// How long the leader's machine may take to answer: what is refused is refused at once.
const DIAL_TIMEOUT: Duration = Duration::from_millis(100);

/// Between two dials: a process that dies closes its sockets one after another.
const DIAL_PAUSE: Duration = Duration::from_millis(10);

/// How often nobody has to listen, of how many dials.
const REFUSALS: u32 = 2;
const DIALS: u32 = 10;

/// How much later each follower begins than the one before it: longer than an election takes where nothing is slow.
const STAGGER: Duration = Duration::from_millis(50);

/// Between two attempts: the others refuse until they have not heard from the leader for so long themselves.
const AGAIN: Duration = Duration::from_millis(20);

/// How long to go on. By then the quorum's own timers have run out.
const GIVE_UP: Duration = Duration::from_millis(500);

/// Watches the connections by which voters speak to this node.
pub(crate) struct Suspicion {
    raft: Arc<Raft>,
    links: Arc<Links>,
    speaking: Mutex<BTreeMap<SocketAddr, BrokerId>>,
    /// Whether a leader is being looked into.
    is_busy: AtomicBool,
}

impl Suspicion {
    pub(crate) fn new(raft: &Arc<Raft>, links: &Arc<Links>) -> Arc<Self> {
        Arc::new(Self {
            raft: Arc::clone(raft),
            links: Arc::clone(links),
            speaking: Mutex::default(),
            is_busy: AtomicBool::new(false),
        })
    }

    /// Notes that a voter speaks by a connection.
    pub(crate) fn heard(&self, at: SocketAddr, voter: BrokerId) {
        self.speaking.lock().unwrap_or_else(PoisonError::into_inner).insert(at, voter);
    }

    /// Looks into the leader if it was the one that spoke by a connection that has ended.
    pub(crate) fn ended(self: &Arc<Self>, at: SocketAddr) {
        let voter = self.speaking.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
        let Some(voter) = voter.filter(|voter| self.leads(*voter)) else { return };
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let suspicion = Arc::clone(self);
        process::spawn(async move {
            if suspicion.is_gone(voter).await {
                info!("nobody listens any more where node {voter} led the metadata quorum");
                suspicion.stand(voter).await;
            }
            suspicion.is_busy.store(false, Ordering::Release);
        });
    }

    fn leads(&self, voter: BrokerId) -> bool {
        self.raft.leader().borrow().leader == Some(voter)
    }

    async fn is_gone(&self, voter: BrokerId) -> bool {
        let mut refusals = 0;
        for _ in 0..DIALS {
            match self.links.reach(voter, DIAL_TIMEOUT).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    refusals += 1;
                    if refusals == REFUSALS {
                        return true;
                    }
                }
                // The listening socket may be the last one to go.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                _ => return false,
            }
            sleep(DIAL_PAUSE).await;
        }
        false
    }

    /// Stands for election, again and again until somebody else leads or the time is over.
    async fn stand(&self, gone: BrokerId) {
        let me = self.raft.key().id;
        let before =
            self.raft.members().into_iter().filter(|voter| voter.key.id != gone && voter.key.id < me).count();
        let begun = Instant::now();
        sleep(STAGGER * u32::try_from(before).unwrap_or(u32::MAX)).await;
        while self.leads(gone) && begun.elapsed() < GIVE_UP {
            self.raft.suspect_leader().await;
            sleep(AGAIN).await;
        }
    }
}
