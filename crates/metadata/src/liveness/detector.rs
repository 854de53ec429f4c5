//! The machine: what comes in changes what is known of a broker; when a look is due, everybody is judged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use ottla_types::{BrokerEpoch, BrokerId};

use super::attention::{Attention, Moment};
use super::dialing::Verdict;
use super::watched::{Company, Health, Standing, Suspicion, Watched};
use super::{DialOutcome, Effect, Evidence, Input, Reason, Registered, Timing};

/// The failure detector of one leadership of the controller.
#[derive(Debug, Clone)]
pub struct Detector {
    timing: Timing,
    attention: Attention,
    brokers: BTreeMap<BrokerId, Watched>,
    elected: Moment,
    slowest_to_speak: Option<Duration>,
    /// How many brokers count as live that are not watched: the controller's own node, if it is one.
    unwatched: usize,
    /// Until then, on the attentive clock, silence convicts nobody: what came in while this controller did not run is
    /// still being read.
    catching_up_until: Duration,
}

impl Detector {
    /// A detector that begins with a leadership. `live` are the brokers that are registered and not fenced, `fenced` those
    /// that are fenced.
    #[must_use]
    pub fn new(
        now: Duration,
        timing: Timing,
        live: impl IntoIterator<Item = Registered>,
        fenced: impl IntoIterator<Item = Registered>,
    ) -> Self {
        let attention = Attention::new(now, timing.heartbeat_interval());
        let elected = attention.moment();
        let mut brokers = BTreeMap::new();
        for registered in fenced {
            let standing = Standing::Fenced(None);
            brokers.insert(registered.broker, Watched::new(&registered, elected, standing));
        }
        for registered in live {
            let mut watched = Watched::new(&registered, elected, Standing::Live);
            watched.dialing.ask(elected.attentive);
            brokers.insert(registered.broker, watched);
        }
        let catching_up_until = elected.attentive;
        let mut detector = Self {
            timing,
            attention,
            brokers,
            elected,
            slowest_to_speak: None,
            unwatched: 0,
            catching_up_until,
        };
        detector.plan(elected);
        detector
    }

    /// The same, where the controller's own node is a live broker that nobody needs to watch: it is one of those among whom
    /// the silent may be the majority, and is never silent itself.
    #[must_use]
    pub fn beside_own_broker(mut self) -> Self {
        self.unwatched = 1;
        self
    }

    /// Takes in what happened. Any input does what is due, so that a tick matters only when nothing else comes. The time
    /// is that of a monotonic clock.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let (now, is_late) = self.attention.arrive(now);
        if is_late {
            self.doubt(now);
        }
        let mut effects = Vec::new();
        self.apply(now, input, &mut effects);
        if self.attention.is_due() {
            self.judge(now, &mut effects);
            self.plan(now);
        }
        effects
    }

    /// When it wants to be asked again, at the latest: by [`Input::Tick`] if nothing else happens. `None` while nobody
    /// is watched. Changes with every input.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        self.attention.next_tick()
    }

    /// What is known of a broker at this time.
    #[must_use]
    pub fn health(&self, now: Duration, broker: BrokerId) -> Option<Health> {
        let (now, _) = self.attention.clone().arrive(now);
        self.brokers.get(&broker).map(|watched| watched.health(now, self.company()))
    }

    fn company(&self) -> Company {
        Company { timing: self.timing, slowest_to_speak: self.slowest_to_speak }
    }

    /// This controller did not run for a while: what it believes to know of the others is older than it seems.
    fn doubt(&mut self, now: Moment) {
        self.catching_up_until = now.attentive + self.timing.heartbeat_interval();
        for watched in self.brokers.values_mut() {
            watched.dialing.doubt();
        }
    }

    fn apply(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Registered(registered) => self.register(now, &registered),
            Input::Unregistered(broker) => {
                self.brokers.remove(&broker);
            }
            Input::Unfenced(broker, epoch) => {
                self.with(now, broker, epoch, |watched, _| watched.unfenced(now))
            }
            Input::Fenced(broker, epoch) => self.with(now, broker, epoch, |watched, _| {
                // What this detector asked for comes back this way too, and is still a suspicion.
                if watched.is_live() {
                    watched.fenced(None);
                }
            }),
            Input::Heartbeat(broker, epoch) => self.heartbeat(now, broker, epoch),
            Input::ConnectionLost(broker, epoch) => self.with(now, broker, epoch, |watched, _| {
                if watched.is_live() {
                    watched.dialing.ask(now.attentive);
                }
            }),
            Input::Dialed(broker, epoch, outcome) => self.dialed(now, broker, epoch, outcome, effects),
        }
    }

    /// Does something to a broker if it is registered with this epoch, and looks at it in time from then on.
    fn with(
        &mut self,
        now: Moment,
        broker: BrokerId,
        epoch: BrokerEpoch,
        change: impl FnOnce(&mut Watched, Company),
    ) {
        let company = self.company();
        let Some(watched) = self.brokers.get_mut(&broker).filter(|watched| watched.epoch == epoch) else {
            return;
        };
        change(watched, company);
        self.attention.want_by(watched.next_look(now, company));
    }

    fn register(&mut self, now: Moment, registered: &Registered) {
        match self.brokers.entry(registered.broker) {
            Entry::Vacant(vacant) => {
                let standing = Standing::Fenced(None);
                vacant.insert(Watched::new(registered, now, standing));
            }
            // The answer to the first request was lost, and the broker asked again.
            Entry::Occupied(known) if known.get().epoch == registered.epoch => {}
            Entry::Occupied(mut known) => known.get_mut().registered_again(registered, now),
        }
    }

    fn heartbeat(&mut self, now: Moment, broker: BrokerId, epoch: BrokerEpoch) {
        let speaks_first =
            |watched: &&Watched| watched.epoch == epoch && watched.is_live() && !watched.is_heard;
        if self.brokers.get(&broker).filter(speaks_first).is_some() {
            self.slowest_to_speak = self.slowest_to_speak.max(Some(now.since(self.elected)));
        }
        self.with(now, broker, epoch, |watched, company| watched.heartbeat(now, company));
    }

    fn dialed(
        &mut self,
        now: Moment,
        broker: BrokerId,
        epoch: BrokerEpoch,
        outcome: DialOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let interval = self.timing.heartbeat_interval();
        self.with(now, broker, epoch, |watched, company| {
            let verdict = watched.dialing.outcome(outcome, now.attentive, interval);
            // Who refused before and was alive is at an address that says nothing, until it is silent as well.
            let is_believed = !watched.is_doubtful(now, company) || watched.is_overdue(now, company);
            if watched.is_live() && verdict == Verdict::Gone && is_believed {
                effects.push(fence(broker, watched, now, Evidence::Refused));
            }
        });
    }

    /// Dials whom there is a reason to dial, and fences whose silence is too long.
    fn judge(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let company = self.company();
        let silent = Silent::of(&self.brokers, self.unwatched, now, company);
        for (&broker, watched) in self.brokers.iter_mut().filter(|(_, watched)| watched.is_live()) {
            if watched.is_overdue(now, company) {
                watched.dialing.ask_in_silence(now.attentive);
            }
            if watched.dialing.begin(now.attentive) {
                effects.push(Effect::Dial(broker, watched.epoch));
            }
            if now.attentive < self.catching_up_until {
                continue;
            }
            let silence = watched.silence(now);
            let tolerance = watched.tolerance(now, company);
            if silence >= self.timing.session_timeout() {
                effects.push(fence(broker, watched, now, Evidence::SessionTimeout));
            } else if silence >= tolerance && !silent.is_majority(watched, tolerance) {
                let longest_interval = watched.longest_interval().filter(|_| watched.is_heard);
                let evidence = Evidence::Silence { longest_interval, tolerance };
                effects.push(fence(broker, watched, now, evidence));
            }
        }
    }

    fn plan(&mut self, now: Moment) {
        let company = self.company();
        let looks = self.brokers.values().filter_map(|watched| watched.next_look(now, company));
        self.attention.want(looks.min());
    }
}

fn fence(broker: BrokerId, watched: &mut Watched, now: Moment, evidence: Evidence) -> Effect {
    let reason = Reason { evidence, since: watched.heard().real, silent_for: watched.silence(now) };
    let since = watched.heard().attentive;
    watched.fenced(Some(match evidence {
        Evidence::Refused => Suspicion::Gone,
        Evidence::Silence { tolerance, .. } => Suspicion::Silent { since, excused_for: tolerance * 2 },
        Evidence::SessionTimeout => Suspicion::Silent { since, excused_for: Duration::ZERO },
    }));
    Effect::Fence(broker, watched.epoch, reason)
}

/// How many are silent together.
struct Silent {
    /// Those that are not fenced.
    live: usize,
    /// Those of them that are overdue.
    overdue: usize,
    /// Since when those are silent that were fenced for it, in order.
    fenced_since: Vec<Duration>,
}

impl Silent {
    fn of(brokers: &BTreeMap<BrokerId, Watched>, unwatched: usize, now: Moment, company: Company) -> Self {
        let live = brokers.values().filter(|watched| watched.is_live());
        let (live, overdue) = live.fold((unwatched, 0), |(live, overdue), watched| {
            (live + 1, overdue + usize::from(watched.is_overdue(now, company)))
        });
        let mut fenced_since: Vec<Duration> = brokers
            .values()
            .filter_map(|watched| match watched.standing {
                Standing::Fenced(Some(Suspicion::Silent { since, .. })) => Some(since),
                Standing::Live | Standing::Fenced(Some(Suspicion::Gone) | None) => None,
            })
            .collect();
        fenced_since.sort_unstable();
        Self { live, overdue, fenced_since }
    }

    /// Whether a suspect's silence is that of the majority. Those count too that were fenced before it because their
    /// tolerance was shorter: one cause silenced them together.
    fn is_majority(&self, suspect: &Watched, tolerance: Duration) -> bool {
        let began = suspect.heard().attentive.saturating_sub(tolerance);
        let earlier = self.fenced_since.partition_point(|&since| since < began);
        let fenced = self.fenced_since.len() - earlier;
        (self.overdue + fenced) * 2 > self.live + fenced
    }
}
