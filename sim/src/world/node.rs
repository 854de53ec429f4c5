//! One machine with the process that it runs.

use std::sync::Arc;

use ottla_env::Env;
use ottla_env::process::Task;
use tokio::sync::watch;

use super::clock::NodeClock;
use crate::disk::SimDisk;
use crate::engine::SimProcess;

/// What a process is started with.
pub struct Started {
    /// Its machine's doors.
    pub env: Env,
    /// `true`, when it is to stop in order.
    pub stop: watch::Receiver<bool>,
}

impl Started {
    /// Waits until the process is to stop in order.
    pub async fn stopped(&mut self) {
        // Who started it outlives it.
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a machine runs: the main task of a process, made anew with each start. The process ends with it.
pub type Program = Arc<dyn Fn(Started) -> Task + Send + Sync>;

/// A process that has been started.
pub(super) struct Running {
    pub(super) process: Arc<SimProcess>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) ended: watch::Receiver<bool>,
}

/// A machine.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) program: Program,
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<NodeClock>,
    /// `None`: it was killed, or has never been started.
    pub(super) running: Option<Running>,
    pub(super) has_power: bool,
    /// How often a process was started.
    pub(super) starts: u64,
}
