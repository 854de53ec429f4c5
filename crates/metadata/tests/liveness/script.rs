//! A scripted cluster: brokers with a heartbeat every 100 ms and a controller that is punctual, until told otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_metadata::liveness::{Detector, DialOutcome, Effect, Evidence, Input, Reason, Registered, Timing};
use ottla_metadata::record::IncarnationId;
use ottla_types::{BrokerEpoch, BrokerId};

pub(crate) const INTERVAL_MS: u64 = 100;
pub(crate) const SESSION_MS: u64 = 6000;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn timing() -> Timing {
    Timing::new(ms(INTERVAL_MS), ms(SESSION_MS))
}

pub(crate) fn registered(broker: i32, epoch: i64) -> Registered {
    Registered {
        broker: BrokerId(broker),
        epoch: BrokerEpoch(epoch),
        incarnation: IncarnationId([u8::try_from(broker).unwrap(); 16]),
    }
}

/// A cluster of brokers 1 to n, registered with epoch 1.
pub(crate) struct Script {
    pub(crate) detector: Detector,
    pub(crate) now_ms: u64,
    beating: BTreeSet<i32>,
    next_beat_ms: BTreeMap<i32, u64>,
    listening: BTreeMap<i32, DialOutcome>,
    /// What the detector wanted, since this was last taken.
    effects: Vec<(u64, Effect)>,
}

impl Script {
    /// All of them live, and the controller elected at this moment.
    pub(crate) fn new(brokers: i32) -> Self {
        let live = (1..=brokers).map(|broker| registered(broker, 1));
        Self::with(Detector::new(Duration::ZERO, timing(), live, []), brokers)
    }

    fn with(detector: Detector, brokers: i32) -> Self {
        Self {
            detector,
            now_ms: 0,
            beating: (1..=brokers).collect(),
            next_beat_ms: (1..=brokers).map(|broker| (broker, 0)).collect(),
            listening: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    /// The same after ten seconds of quiet.
    pub(crate) fn calm(brokers: i32) -> Self {
        let mut script = Self::new(brokers);
        script.run(10_000);
        assert_eq!(script.fences(), []);
        script
    }

    /// From now on a broker sends nothing.
    pub(crate) fn silence(&mut self, brokers: &[i32]) {
        self.beating.retain(|broker| !brokers.contains(broker));
    }

    /// A broker sends heartbeats again, the first one now.
    pub(crate) fn speak(&mut self, broker: i32) {
        self.beating.insert(broker);
        self.next_beat_ms.insert(broker, self.now_ms);
    }

    /// What dials of a broker will give; without this it accepts them.
    pub(crate) fn listener(&mut self, broker: i32, outcome: DialOutcome) {
        self.listening.insert(broker, outcome);
    }

    /// Lets time pass: heartbeats and ticks come when they are due.
    pub(crate) fn run(&mut self, for_ms: u64) {
        let end = self.now_ms + for_ms;
        loop {
            let beat = self.beating.iter().map(|broker| (self.next_beat_ms[broker], *broker)).min();
            let tick =
                self.detector.next_tick().map(|at| u64::try_from(at.as_micros().div_ceil(1000)).unwrap());
            let tick = tick.map(|at| at.max(self.now_ms));
            match (beat, tick) {
                (Some((at, broker)), tick) if at < end && tick.is_none_or(|tick| at <= tick) => {
                    self.now_ms = at.max(self.now_ms);
                    self.next_beat_ms.insert(broker, at + INTERVAL_MS);
                    self.input(Input::Heartbeat(BrokerId(broker), BrokerEpoch(1)));
                }
                (_, Some(at)) if at < end => {
                    self.now_ms = at;
                    self.input(Input::Tick);
                }
                _ => break,
            }
        }
        self.now_ms = end;
    }

    /// The controller's process stands still: nothing is read, and then all heartbeats at once, after the tick.
    pub(crate) fn stall(&mut self, for_ms: u64) {
        self.now_ms += for_ms;
        self.input(Input::Tick);
    }

    /// Hands something in now, and answers its dials.
    pub(crate) fn input(&mut self, input: Input) {
        let effects = self.detector.handle(ms(self.now_ms), input);
        for effect in effects {
            self.effects.push((self.now_ms, effect));
            if let Effect::Dial(broker, epoch) = effect {
                let outcome = self.listening.get(&broker.0).copied().unwrap_or(DialOutcome::Connected);
                self.input(Input::Dialed(broker, epoch, outcome));
            }
        }
    }

    pub(crate) fn lose_connection(&mut self, broker: i32) {
        self.input(Input::ConnectionLost(BrokerId(broker), BrokerEpoch(1)));
    }

    /// Who was fenced when, since this was last asked.
    pub(crate) fn fences(&mut self) -> Vec<(u64, i32)> {
        self.reasons().into_iter().map(|(at, broker, _)| (at, broker)).collect()
    }

    pub(crate) fn reasons(&mut self) -> Vec<(u64, i32, Reason)> {
        let effects = std::mem::take(&mut self.effects);
        let fences = effects.into_iter().filter_map(|(at, effect)| match effect {
            Effect::Fence(broker, _, reason) => Some((at, broker.0, reason)),
            Effect::Dial(..) => None,
        });
        fences.collect()
    }

    /// Whom it dialed when, since effects were last taken.
    pub(crate) fn dials(&mut self) -> Vec<(u64, i32)> {
        let effects = std::mem::take(&mut self.effects);
        let dials = effects.into_iter().filter_map(|(at, effect)| match effect {
            Effect::Dial(broker, _) => Some((at, broker.0)),
            Effect::Fence(..) => None,
        });
        dials.collect()
    }

    /// The controller unfences a broker.
    pub(crate) fn unfence(&mut self, broker: i32) {
        self.input(Input::Unfenced(BrokerId(broker), BrokerEpoch(1)));
    }

    pub(crate) fn tolerance_ms(&self, broker: i32) -> u64 {
        let health = self.detector.health(ms(self.now_ms), BrokerId(broker)).unwrap();
        u64::try_from(health.tolerance.as_millis()).unwrap()
    }
}

/// Whether it was for silence.
pub(crate) fn is_silence(reason: &Reason) -> bool {
    matches!(reason.evidence, Evidence::Silence { .. })
}
