//! Hosts the failure detector while this node leads: tells it what happens, dials for it, and has those fenced whom it does
//! not trust any more.
//!
//! This node itself is not watched: when it does not run, nobody here does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use ottla_env::{Env, process};
use ottla_metadata::liveness::{Detector, DialOutcome, Effect, Input, Registered, Timing};
use ottla_metadata::{Image, Record};
use ottla_types::config::Settings;
use ottla_types::config::broker::node::{BROKER_HEARTBEAT_INTERVAL_MS, BROKER_SESSION_TIMEOUT_MS};
use ottla_types::{BrokerEpoch, BrokerId, LeadershipEpoch};

use super::ControllerHost;

/// How long a dial may take before it counts as unanswered.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Tells the detector what happens, and asks it what it knows.
pub(crate) struct Liveness {
    node_id: BrokerId,
    inputs: mpsc::UnboundedSender<Input>,
    /// Whether somebody takes the inputs: without a leadership they would pile up.
    is_listening: AtomicBool,
    /// The detector of this leadership.
    detector: Mutex<Option<Detector>>,
    env: Env,
    timing: Timing,
    /// The name of the listener that brokers reach each other by.
    inter_broker: String,
}

impl Liveness {
    pub(crate) fn new(
        env: &Env,
        settings: &Settings,
        inter_broker: String,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Input>) {
        let (inputs, inbox) = mpsc::unbounded_channel();
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let timing = Timing::new(
            millis(settings.get(&BROKER_HEARTBEAT_INTERVAL_MS)),
            millis(settings.get(&BROKER_SESSION_TIMEOUT_MS)),
        );
        let node_id = settings.node_id();
        let liveness = Self {
            node_id,
            inputs,
            is_listening: AtomicBool::new(false),
            detector: Mutex::default(),
            env: env.clone(),
            timing,
            inter_broker,
        };
        (Arc::new(liveness), inbox)
    }

    /// A broker spoke.
    pub(crate) fn heartbeat(&self, broker: BrokerId, epoch: BrokerEpoch) {
        self.tell(Input::Heartbeat(broker, epoch));
    }

    /// A connection on which a broker spoke has ended.
    pub(crate) fn connection_lost(&self, broker: BrokerId, epoch: BrokerEpoch) {
        self.tell(Input::ConnectionLost(broker, epoch));
    }

    /// Whether a broker is held for alive.
    pub(crate) fn has_session(&self, broker: BrokerId) -> bool {
        let detector = self.detector.lock().unwrap_or_else(PoisonError::into_inner);
        let health =
            detector.as_ref().and_then(|detector| detector.health(self.env.clock.monotonic(), broker));
        health.is_some_and(|health| health.is_watched && health.silent_for < health.tolerance)
    }

    /// Takes note of what is committed.
    pub(crate) fn replayed(&self, record: &Record) {
        match record {
            Record::RegisterBroker(r) => self.tell(Input::Registered(Registered {
                broker: r.id,
                epoch: r.epoch,
                incarnation: r.incarnation,
            })),
            Record::BrokerFencing(r) if r.fenced => self.tell(Input::Fenced(r.id, r.epoch)),
            Record::BrokerFencing(r) => self.tell(Input::Unfenced(r.id, r.epoch)),
            Record::UnregisterBroker(r) => self.tell(Input::Unregistered(r.id)),
            _ => {}
        }
    }

    fn tell(&self, input: Input) {
        if self.is_listening.load(Ordering::SeqCst) {
            // The other end goes when the broker stops.
            let _ = self.inputs.send(input);
        }
    }

    fn concerns_me(&self, input: &Input) -> bool {
        let broker = match input {
            Input::Registered(registered) => registered.broker,
            Input::Unregistered(broker)
            | Input::Unfenced(broker, _)
            | Input::Fenced(broker, _)
            | Input::Heartbeat(broker, _)
            | Input::ConnectionLost(broker, _)
            | Input::Dialed(broker, ..) => *broker,
            Input::Tick => return false,
        };
        broker == self.node_id
    }

    fn begin(&self, image: &Image) {
        let registered = |fenced: bool| {
            image.brokers().filter(move |broker| broker.fenced == fenced).map(|broker| Registered {
                broker: broker.registration.id,
                epoch: broker.registration.epoch,
                incarnation: broker.registration.incarnation,
            })
        };
        let others = |registered: &Registered| registered.broker != self.node_id;
        let detector = Detector::new(
            self.env.clock.monotonic(),
            self.timing,
            registered(false).filter(others),
            registered(true).filter(others),
        );
        *self.detector.lock().unwrap_or_else(PoisonError::into_inner) = Some(detector);
    }

    fn end(&self) {
        self.is_listening.store(false, Ordering::SeqCst);
        *self.detector.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Hands an input to the detector; what it wants done, and when it wants to be asked again.
    fn handle(&self, input: Input) -> (Vec<Effect>, Option<Duration>) {
        let mut detector = self.detector.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(detector) = detector.as_mut() else { return (Vec::new(), None) };
        let effects = detector.handle(self.env.clock.monotonic(), input);
        (effects, detector.next_tick())
    }
}

/// Watches brokers while this node leads, until it stops.
pub(crate) async fn run(
    liveness: Arc<Liveness>,
    host: Arc<ControllerHost>,
    mut inbox: mpsc::UnboundedReceiver<Input>,
) {
    let mut epoch = host.epoch();
    loop {
        let leading = match epoch.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(leading)) => *leading,
            Ok(None) | Err(_) => return,
        };
        // What was told before is in the image, and would pass for signs of life that come only now.
        while inbox.try_recv().is_ok() {}
        // Before the image is taken: whatever is not in it is replayed, and told, later.
        liveness.is_listening.store(true, Ordering::SeqCst);
        liveness.begin(&host.image());
        watch_brokers(&liveness, &host, leading, &mut epoch, &mut inbox).await;
        liveness.end();
    }
}

async fn watch_brokers(
    liveness: &Arc<Liveness>,
    host: &Arc<ControllerHost>,
    leading: LeadershipEpoch,
    epoch: &mut watch::Receiver<Option<LeadershipEpoch>>,
    inbox: &mut mpsc::UnboundedReceiver<Input>,
) {
    let mut dials = JoinSet::new();
    let mut input = Input::Tick;
    loop {
        let (effects, next_tick) = liveness.handle(input);
        for effect in effects {
            match effect {
                Effect::Dial(broker, registration) => {
                    process::spawn_in(
                        &mut dials,
                        dial(Arc::clone(liveness), host.image(), broker, registration),
                    );
                }
                Effect::Fence(broker, registration, reason) => {
                    info!(%broker, "fencing a broker: {reason}");
                    let fenced = host.decide(|controller| controller.set_fenced(broker, registration, true));
                    if let Err(refused) | Ok(super::Decided { answer: Err(refused), .. }) = fenced {
                        warn!(%broker, "cannot fence a broker: {}", refused.message);
                    }
                }
            }
        }
        let now = liveness.env.clock.monotonic();
        let pause = next_tick.map(|at| at.saturating_sub(now));
        input = tokio::select! {
            biased;
            _ = epoch.wait_for(|now| *now != Some(leading)) => return,
            Some(heard) = inbox.recv() => heard,
            Some(_) = dials.join_next(), if !dials.is_empty() => Input::Tick,
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => Input::Tick,
        };
        if liveness.concerns_me(&input) {
            input = Input::Tick;
        }
    }
}

async fn dial(liveness: Arc<Liveness>, image: Image, broker: BrokerId, registration: BrokerEpoch) {
    let endpoint = image.broker(broker).and_then(|broker| {
        let endpoints = &broker.registration.endpoints;
        let named = endpoints.iter().find(|endpoint| *endpoint.listener == *liveness.inter_broker);
        // A controller alone may not have been told how the brokers call that listener.
        named.or(endpoints.first()).cloned()
    });
    let outcome = match endpoint {
        None => DialOutcome::Unanswered,
        Some(endpoint) => {
            let connecting = liveness.env.net.connect(&endpoint.host, endpoint.port);
            match tokio::time::timeout(DIAL_TIMEOUT, connecting).await {
                Ok(Ok(_)) => DialOutcome::Connected,
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => DialOutcome::Refused,
                Ok(Err(_)) | Err(_) => DialOutcome::Unanswered,
            }
        }
    };
    liveness.tell(Input::Dialed(broker, registration, outcome));
}
