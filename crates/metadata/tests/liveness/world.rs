//! A simulated cluster: brokers whose heartbeats follow a trace, and a controller that does not always run.

use std::time::Duration;

use ottla_metadata::liveness::{Detector, DialOutcome, Effect, Input};
use ottla_types::{BrokerEpoch, BrokerId};

use crate::script::{registered, timing};

pub(crate) const MS: u64 = 1000;
pub(crate) const SECOND: u64 = 1000 * MS;
const BROKERS: i32 = 3;

/// How long a fenced broker takes to be registered and unfenced again once it speaks.
const RETURN: u64 = 20 * MS;

/// How long a paused broker stays away after it was fenced: longer than its session, or the suspicion was wrong.
const ABSENCE: u64 = 10 * SECOND;

/// Numbers that look random and are the same every time (xorshift64*).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly from this range.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// Between 0 and 1, and not 0.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() <= probability
    }

    /// From a Pareto distribution: a tail as heavy as they come.
    pub(crate) fn pareto(&mut self, least: u64, exponent: f64, most: u64) -> u64 {
        (least as f64 / self.unit().powf(1.0 / exponent)).min(most as f64) as u64
    }
}

/// How a machine behaves. Times are microseconds.
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    /// The time from a broker's heartbeat at this time to its next one.
    pub(crate) interval: fn(&mut Rng, u64) -> u64,
    /// How late a tick of the controller is.
    pub(crate) tick_delay: fn(&mut Rng, u64) -> u64,
    /// When nothing at all ran until: neither the controller nor, if they share its machine, the brokers.
    pub(crate) stalled_until: fn(u64) -> Option<u64>,
    pub(crate) is_stall_shared: bool,
}

/// What happened on a trace.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) heartbeats: u64,
    /// How many intervals were longer than half a second, which a fixed timeout of that length would have fenced for.
    pub(crate) above_half_a_second: u64,
    pub(crate) false_suspicions: u64,
    /// From each pause to the fencing, sorted.
    pub(crate) detections: Vec<u64>,
}

struct Broker {
    id: i32,
    epoch: i64,
    next_beat: u64,
    last_beat: u64,
    unfenced_at: Option<u64>,
    paused_at: Option<u64>,
    is_fenced: bool,
}

pub(crate) struct World<'a> {
    trace: &'a Trace,
    rng: Rng,
    detector: Detector,
    now: u64,
    brokers: Vec<Broker>,
    tick_delay: u64,
    figures: Figures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// First: what waits in a buffer is read after the timer that is due.
    Tick,
    Unfence(usize),
    Beat(usize),
}

impl<'a> World<'a> {
    pub(crate) fn new(trace: &'a Trace, seed: u64) -> Self {
        let live = (1..=BROKERS).map(|broker| registered(broker, 1));
        let mut rng = Rng::new(seed);
        let broker = |id| Broker {
            id,
            epoch: 1,
            next_beat: rng.between(0, 100 * MS),
            last_beat: 0,
            unfenced_at: None,
            paused_at: None,
            is_fenced: false,
        };
        let brokers = (1..=BROKERS).map(broker).collect();
        let detector = Detector::new(Duration::ZERO, timing(), live, []);
        Self { trace, rng, detector, now: 0, brokers, tick_delay: 0, figures: Figures::default() }
    }

    /// Runs without a fault: every suspicion is wrong.
    pub(crate) fn run(mut self, seconds: u64) -> Figures {
        while self.now < seconds * SECOND {
            self.step();
        }
        self.figures
    }

    /// Runs two minutes, and then pauses one broker after the other, at a random moment of each half minute.
    pub(crate) fn pause(mut self, times: usize) -> Figures {
        let mut at = 120 * SECOND;
        while self.figures.detections.len() < times {
            while self.now < at {
                self.step();
            }
            let victim = self.rng.between(0, BROKERS as u64 - 1) as usize;
            if !self.brokers[victim].is_fenced {
                // What it sent before this moment is on its way.
                self.brokers[victim].paused_at = Some(self.now);
                self.brokers[victim].next_beat = u64::MAX;
            }
            at += 30 * SECOND + self.rng.between(0, 10 * SECOND);
        }
        self.figures.detections.sort_unstable();
        self.figures
    }

    /// When something that is due at a time is handled by the controller.
    fn handled(&self, due: u64) -> u64 {
        (self.trace.stalled_until)(due).unwrap_or(due).max(self.now)
    }

    fn step(&mut self) {
        let tick = self.detector.next_tick().map(|at| {
            let due = u64::try_from(at.as_micros()).unwrap();
            (self.handled(due + self.tick_delay), Event::Tick)
        });
        let of_brokers = self.brokers.iter().enumerate().flat_map(|(index, broker)| {
            let beat = (broker.next_beat < u64::MAX).then_some((broker.next_beat, Event::Beat(index)));
            let unfence = broker.unfenced_at.map(|at| (at, Event::Unfence(index)));
            beat.into_iter().chain(unfence).map(|(at, event)| (self.handled(at), event))
        });
        let (at, event) = of_brokers.chain(tick).min().unwrap();
        self.now = at;
        match event {
            Event::Tick => {
                self.tick_delay = (self.trace.tick_delay)(&mut self.rng, self.now);
                self.input(Input::Tick);
            }
            Event::Unfence(index) => {
                let broker = &mut self.brokers[index];
                broker.unfenced_at = None;
                broker.is_fenced = false;
                let input = Input::Unfenced(BrokerId(broker.id), BrokerEpoch(broker.epoch));
                self.input(input);
            }
            Event::Beat(index) => self.beat(index),
        }
    }

    fn beat(&mut self, index: usize) {
        let broker = &mut self.brokers[index];
        self.figures.heartbeats += 1;
        self.figures.above_half_a_second += u64::from(broker.next_beat - broker.last_beat > 500 * MS);
        broker.last_beat = broker.next_beat;
        let mut next = broker.next_beat + (self.trace.interval)(&mut self.rng, broker.next_beat);
        if self.trace.is_stall_shared
            && let Some(end) = (self.trace.stalled_until)(next)
        {
            // They wake up one after the other.
            next = end + self.rng.between(0, 50 * MS);
        }
        broker.next_beat = next;
        let (id, epoch, returns) =
            (broker.id, broker.epoch, broker.is_fenced && broker.unfenced_at.is_none());
        if returns {
            broker.epoch += 1;
            broker.unfenced_at = Some(self.now + RETURN);
        }
        self.input(Input::Heartbeat(BrokerId(id), BrokerEpoch(epoch)));
        if returns {
            self.input(Input::Registered(registered(id, epoch + 1)));
        }
    }

    fn input(&mut self, input: Input) {
        let effects = self.detector.handle(Duration::from_micros(self.now), input);
        for effect in effects {
            match effect {
                // Paused or running, the kernel accepts.
                Effect::Dial(broker, epoch) => {
                    self.input(Input::Dialed(broker, epoch, DialOutcome::Connected));
                }
                Effect::Fence(broker, ..) => self.fenced(broker),
            }
        }
    }

    fn fenced(&mut self, id: BrokerId) {
        let now = self.now;
        let broker = self.brokers.iter_mut().find(|broker| broker.id == id.0).unwrap();
        broker.is_fenced = true;
        match broker.paused_at.take() {
            Some(at) => {
                self.figures.detections.push(now - at);
                broker.next_beat = now + ABSENCE;
                broker.last_beat = broker.next_beat;
            }
            None => self.figures.false_suspicions += 1,
        }
    }
}
