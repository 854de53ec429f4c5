//! Accepts connections on one address and gives each a task.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use ottla_env::{Listener, Stream, process};

use super::connection::{ConnectionSettings, Ended, Peer, Service, serve, stopped};
use super::limits::{Admission, RequestMemory};
use super::log_limit::LogLimit;
use super::principal::Principal;
use super::responses::ResponseMemory;
use super::traffic::Traffic;

/// How long to wait after a failed accept: the usual cause is that descriptors have run out, and asking again at once
/// would only burn CPU until some are closed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// How long a stopping listener waits for its connections to end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What the connections of a listener share, and most of it those of all listeners of a broker.
pub(crate) struct Shared<S> {
    pub(crate) service: Arc<S>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) memory: RequestMemory,
    pub(crate) responses: ResponseMemory,
    pub(crate) settings: Arc<ConnectionSettings>,
    /// The listener's own.
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            admission: Arc::clone(&self.admission),
            memory: self.memory.clone(),
            responses: self.responses.clone(),
            settings: Arc::clone(&self.settings),
            traffic: Arc::clone(&self.traffic),
            stop: self.stop.clone(),
        }
    }
}

/// Lines about connections: any peer can cause as many as it likes.
#[derive(Default)]
struct Lines {
    refused: LogLimit,
    closed: LogLimit,
}

/// A listener with its name.
pub(crate) struct Acceptor<S> {
    pub(crate) name: Arc<str>,
    pub(crate) listener: Box<dyn Listener>,
    pub(crate) shared: Shared<S>,
}

impl<S: Service> Acceptor<S> {
    /// Accepts until the broker stops; then waits for the connections to end.
    pub(crate) async fn run(self) {
        let mut connections = JoinSet::new();
        let lines = Arc::new(Mutex::new(Lines::default()));
        let mut stop = self.shared.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => self.start(stream, &lines, &mut connections),
                Err(error) => {
                    warn!(listener = %self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        // Connections see the same signal; one that is stuck in a slow disk must not hold up the stop for ever.
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_GRACE, all).await.is_err() {
            warn!(listener = %self.name, "connections did not end in {STOP_GRACE:?} and are left behind");
            // Not aborted: a change of the metadata must not be dropped between its append and its replay.
            connections.detach_all();
        }
    }

    fn start(&self, stream: Box<dyn Stream>, lines: &Arc<Mutex<Lines>>, connections: &mut JoinSet<()>) {
        let address = stream.peer();
        let admitted = match self.shared.admission.admit(address.ip()) {
            Ok(admitted) => admitted,
            Err(refused) => {
                self.shared.traffic.note_refused(&refused);
                if let Some(suppressed) = admit(lines, |lines| &mut lines.refused) {
                    info!(listener = %self.name, %address, suppressed, "connection refused: {refused}");
                }
                return;
            }
        };
        let shared = self.shared.clone();
        let traffic = Arc::clone(&shared.traffic);
        traffic.note_created();
        let peer = Peer { address, listener: Arc::clone(&self.name), principal: Principal::anonymous() };
        let lines = Arc::clone(lines);
        process::spawn_in(connections, async move {
            let listener = Arc::clone(&peer.listener);
            let service = Arc::clone(&shared.service);
            let ended = serve(stream, peer.clone(), shared).await;
            service.ended(&peer);
            match ended {
                Ended::Frame(_) | Ended::Protocol(_) => {
                    traffic.note_broken();
                    if let Some(suppressed) = admit(&lines, |lines| &mut lines.closed) {
                        warn!(%listener, %address, suppressed, "connection closed: {ended}");
                    }
                }
                _ => debug!(%listener, %address, "connection ended: {ended}"),
            }
            traffic.note_closed();
            drop(admitted);
        });
    }
}

/// Whether a line may be written, and how many like it were not before.
fn admit(lines: &Mutex<Lines>, kind: impl FnOnce(&mut Lines) -> &mut LogLimit) -> Option<u64> {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    kind(&mut lines).admit(Instant::now())
}
