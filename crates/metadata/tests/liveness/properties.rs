//! What holds whatever happens.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_metadata::liveness::{Detector, DialOutcome, Effect, Input};
use ottla_types::{BrokerEpoch, BrokerId};
use proptest::prelude::*;

use crate::script::{INTERVAL_MS, SESSION_MS, ms, registered, timing};

const BROKERS: i32 = 5;

#[derive(Debug, Clone)]
enum Step {
    /// Time passes, and only then something happens.
    Wait(u64),
    Heartbeat(i32),
    ConnectionLost(i32),
    Dialed(i32, DialOutcome),
    Register(i32),
    Unregister(i32),
    Unfence(i32),
    Fence(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let broker = 1..=BROKERS;
    let outcome =
        prop_oneof![Just(DialOutcome::Refused), Just(DialOutcome::Connected), Just(DialOutcome::Unanswered)];
    prop_oneof![
        6 => prop_oneof![8 => 0..120u64, 2 => 0..1000u64, 1 => 0..9000u64].prop_map(Step::Wait),
        8 => broker.clone().prop_map(Step::Heartbeat),
        2 => broker.clone().prop_map(Step::ConnectionLost),
        4 => (broker.clone(), outcome).prop_map(|(broker, outcome)| Step::Dialed(broker, outcome)),
        1 => broker.clone().prop_map(Step::Register),
        1 => broker.clone().prop_map(Step::Unregister),
        3 => broker.clone().prop_map(Step::Unfence),
        1 => broker.prop_map(Step::Fence),
    ]
}

/// What a broker's registration is, as the host knows it.
#[derive(Debug, Clone, Copy)]
struct Known {
    epoch: i64,
    /// When a live broker was last heard of.
    live_since: Option<Duration>,
}

/// The host: it ticks when asked to, if it is punctual.
struct Host {
    detector: Detector,
    now: Duration,
    known: BTreeMap<i32, Known>,
    next_epoch: i64,
    is_punctual: bool,
}

impl Host {
    fn new(is_punctual: bool) -> Self {
        let live = (1..=BROKERS).map(|broker| registered(broker, 1));
        let detector = Detector::new(Duration::ZERO, timing(), live, []);
        let known = Known { epoch: 1, live_since: Some(Duration::ZERO) };
        let known = (1..=BROKERS).map(|broker| (broker, known)).collect();
        Self { detector, now: Duration::ZERO, known, next_epoch: 2, is_punctual }
    }

    fn wait(&mut self, for_ms: u64) -> Result<(), TestCaseError> {
        let end = self.now + ms(for_ms);
        while self.is_punctual
            && let Some(at) = self.detector.next_tick().filter(|at| *at <= end)
        {
            self.now = at.max(self.now);
            self.input(Input::Tick)?;
        }
        self.now = end;
        Ok(())
    }

    fn input(&mut self, input: Input) -> Result<(), TestCaseError> {
        let wanted = self.detector.next_tick();
        let lateness = wanted.map_or(Duration::ZERO, |wanted| self.now.saturating_sub(wanted));
        let effects = self.detector.handle(self.now, input);
        for effect in &effects {
            let Effect::Fence(broker, epoch, reason) = effect else { continue };
            prop_assert!(
                lateness <= ms(INTERVAL_MS),
                "fenced {broker} at a tick late by {lateness:?}: {reason}"
            );
            let known = self.known.get_mut(&broker.0).expect("a registered broker");
            prop_assert_eq!(known.epoch, epoch.0);
            let since = known.live_since.take();
            prop_assert_eq!(
                since,
                Some(reason.since),
                "only a live broker is fenced, since it was last heard of"
            );
        }
        if let Some(next) = self.detector.next_tick() {
            prop_assert!(next > self.now, "{next:?} is not after {:?}", self.now);
        }
        for known in self.known.values().filter(|_| self.is_punctual) {
            let silence = known.live_since.map_or(Duration::ZERO, |since| self.now - since);
            prop_assert!(silence < ms(SESSION_MS), "silent for {silence:?} and not fenced");
        }
        let is_anybody_live = self.known.values().any(|known| known.live_since.is_some());
        prop_assert!(!is_anybody_live || self.detector.next_tick().is_some());
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let epoch =
            |host: &Self, broker: i32| BrokerEpoch(host.known.get(&broker).map_or(0, |known| known.epoch));
        let hear = |host: &mut Self, broker: i32, is_new: bool| {
            let now = host.now;
            if let Some(known) = host.known.get_mut(&broker)
                && (known.live_since.is_some() || is_new)
            {
                known.live_since = Some(now);
            }
        };
        match *step {
            Step::Wait(for_ms) => self.wait(for_ms),
            Step::Heartbeat(broker) => {
                hear(self, broker, false);
                self.input(Input::Heartbeat(BrokerId(broker), epoch(self, broker)))
            }
            Step::ConnectionLost(broker) => {
                self.input(Input::ConnectionLost(BrokerId(broker), epoch(self, broker)))
            }
            Step::Dialed(broker, outcome) => {
                self.input(Input::Dialed(BrokerId(broker), epoch(self, broker), outcome))
            }
            Step::Register(broker) => {
                let epoch = self.next_epoch;
                self.next_epoch += 1;
                self.known.insert(broker, Known { epoch, live_since: None });
                self.input(Input::Registered(registered(broker, epoch)))
            }
            Step::Unregister(broker) => {
                self.known.remove(&broker);
                self.input(Input::Unregistered(BrokerId(broker)))
            }
            Step::Unfence(broker) => {
                hear(self, broker, true);
                self.input(Input::Unfenced(BrokerId(broker), epoch(self, broker)))
            }
            Step::Fence(broker) => {
                if let Some(known) = self.known.get_mut(&broker) {
                    known.live_since = None;
                }
                self.input(Input::Fenced(BrokerId(broker), epoch(self, broker)))
            }
        }
    }
}

proptest! {
    #[test]
    fn a_punctual_controller_fences_every_silent_broker_within_the_session_timeout(
        steps in proptest::collection::vec(step(), 1..400)
    ) {
        let mut host = Host::new(true);
        for step in &steps {
            host.step(step)?;
        }
        host.wait(SESSION_MS + 1)?;
        prop_assert!(host.known.values().all(|known| known.live_since.is_none()));
    }

    #[test]
    fn a_controller_that_is_not_punctual_fences_nobody_when_it_is_late(
        steps in proptest::collection::vec(step(), 1..400)
    ) {
        let mut host = Host::new(false);
        for step in &steps {
            host.step(step)?;
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_harms_nobody(
        times in proptest::collection::vec((0..20_000u64, 1..=BROKERS), 1..200)
    ) {
        let live = (1..=BROKERS).map(|broker| registered(broker, 1));
        let mut detector = Detector::new(ms(10_000), timing(), live, []);
        let mut latest = ms(10_000);
        for (at, broker) in times {
            latest = latest.max(ms(at));
            detector.handle(ms(at), Input::Heartbeat(BrokerId(broker), BrokerEpoch(1)));
            prop_assert!(detector.next_tick() > Some(latest));
            let health = detector.health(ms(at), BrokerId(broker)).unwrap();
            prop_assert_eq!((health.last_heard, health.is_watched), (latest, true));
        }
    }
}
