//! What suspicion costs and gains on machines of different kinds: how soon a paused broker is fenced, and how often one
//! that lives. `--nocapture` prints the figures.

use crate::world::{Figures, MS, Rng, SECOND, Trace, World};

const HOUR: u64 = 3600;
const PAUSES: usize = 60;

fn even(rng: &mut Rng, _: u64) -> u64 {
    rng.between(99 * MS, 101 * MS)
}

fn prompt(rng: &mut Rng, _: u64) -> u64 {
    rng.between(0, MS)
}

fn never(_: u64) -> Option<u64> {
    None
}

const QUIET: Trace =
    Trace { name: "quiet", interval: even, tick_delay: prompt, stalled_until: never, is_stall_shared: false };

/// Every heartbeat up to 30 ms late, one in fifty 300 ms.
const HICCUPS: Trace = Trace {
    name: "jitter, hiccups of 300 ms",
    interval: |rng, _| {
        let hiccup = if rng.chance(0.02) { 300 * MS } else { 0 };
        rng.between(100 * MS, 130 * MS) + hiccup
    },
    ..QUIET
};

/// Delays of infinite variance, up to 5 s: one in a thousand is above 400 ms, one in ten thousand above 2.5 s.
const HEAVY_TAIL: Trace = Trace {
    name: "heavy tail, Pareto 1.25",
    interval: |rng, _| 100 * MS + rng.pareto(1600, 1.25, 5 * SECOND),
    ..QUIET
};

/// A pause of 300 to 900 ms about every 20 s, and nothing in between.
const PAUSES_OF_A_COLLECTOR: Trace = Trace {
    name: "collector's pauses of 300 to 900 ms",
    interval: |rng, _| {
        let pause = if rng.chance(0.005) { rng.between(300 * MS, 900 * MS) } else { 0 };
        rng.between(99 * MS, 101 * MS) + pause
    },
    ..QUIET
};

/// Twenty seconds of each minute are so busy that heartbeats come when they can; ticks of the controller too.
const BUSY_SPELLS: Trace = Trace {
    name: "busy a third of the time",
    interval: |rng, at| match at % (60 * SECOND) < 20 * SECOND {
        true => rng.between(100 * MS, 450 * MS),
        false => rng.between(99 * MS, 103 * MS),
    },
    tick_delay: |rng, at| if at % (60 * SECOND) < 20 * SECOND { rng.between(0, 200 * MS) } else { 0 },
    ..QUIET
};

/// Controller and brokers share two cores, which for 3 of every 17 s belong to somebody else but for 50 ms of each 1.3 s.
const STARVED: Trace = Trace {
    name: "both cores starved",
    interval: |rng, _| rng.between(100 * MS, 160 * MS),
    tick_delay: |rng, _| rng.between(0, 60 * MS),
    stalled_until: |at| {
        let period = at / (17 * SECOND) * (17 * SECOND);
        let slice = at / (1300 * MS) * (1300 * MS);
        let end = (slice + 1300 * MS).min(period + 3 * SECOND);
        (at - period < 3 * SECOND && at - slice >= 50 * MS).then_some(end)
    },
    is_stall_shared: true,
};

/// The brokers are well, and the controller's machine stands still for 4 s of every 30.
const STALLING_CONTROLLER: Trace = Trace {
    name: "controller stalls for 4 s",
    stalled_until: |at| {
        let period = at / (30 * SECOND) * (30 * SECOND);
        (at - period >= 26 * SECOND).then_some(period + 30 * SECOND)
    },
    ..QUIET
};

/// The figures of a trace: an hour without a fault, and pauses.
fn measure(trace: &Trace) -> (Figures, Figures) {
    let faultless = World::new(trace, 1).run(HOUR);
    let paused = World::new(trace, 2).pause(PAUSES);
    let at = |share: usize| paused.detections[(PAUSES - 1) * share / 100] / MS;
    #[allow(clippy::print_stderr, reason = "for whoever runs the test by hand")]
    {
        eprintln!(
            "{:38} {:>6} heartbeats/h  {:>4} above 500 ms  {:>3} false suspicions  fenced after {:>4} / {:>4} / {:>4} ms (median, p90, worst)",
            trace.name,
            faultless.heartbeats,
            faultless.above_half_a_second,
            faultless.false_suspicions,
            at(50),
            at(90),
            at(100),
        );
    }
    (faultless, paused)
}

fn median_ms(figures: &Figures) -> u64 {
    figures.detections[PAUSES / 2] / MS
}

fn worst_ms(figures: &Figures) -> u64 {
    figures.detections.last().unwrap() / MS
}

#[test]
fn on_a_quiet_machine_nobody_is_suspected_and_the_paused_are_fenced_in_half_a_second() {
    let (faultless, paused) = measure(&QUIET);
    assert_eq!(faultless.false_suspicions, 0);
    assert!(worst_ms(&paused) <= 501, "{paused:?}");
}

#[test]
fn hiccups_of_300_ms_cause_no_suspicion_and_the_paused_are_fenced_within_a_second() {
    let (faultless, paused) = measure(&HICCUPS);
    assert_eq!(faultless.false_suspicions, 0);
    assert!(worst_ms(&paused) < 1000, "{paused:?}");
}

#[test]
fn a_heavy_tail_causes_few_suspicions() {
    let (faultless, paused) = measure(&HEAVY_TAIL);
    assert!(faultless.false_suspicions <= faultless.above_half_a_second / 3, "{faultless:?}");
    assert!(worst_ms(&paused) <= 6000, "{paused:?}");
}

#[test]
fn a_collectors_pauses_are_learned() {
    let (faultless, paused) = measure(&PAUSES_OF_A_COLLECTOR);
    assert!(faultless.false_suspicions <= 10, "{faultless:?}");
    assert!(median_ms(&paused) < 2000 && worst_ms(&paused) < 6000, "{paused:?}");
}

#[test]
fn busy_spells_cause_no_suspicion() {
    let (faultless, paused) = measure(&BUSY_SPELLS);
    assert_eq!(faultless.false_suspicions, 0);
    assert!(median_ms(&paused) < 1000 && worst_ms(&paused) < 6000, "{paused:?}");
}

#[test]
fn starved_cores_that_controller_and_brokers_share_cause_no_suspicion() {
    let (faultless, paused) = measure(&STARVED);
    assert_eq!(faultless.false_suspicions, 0);
    assert!(median_ms(&paused) < 1000 && worst_ms(&paused) < 6000, "{paused:?}");
}

#[test]
fn stalls_of_the_controller_cause_no_suspicion() {
    let (faultless, paused) = measure(&STALLING_CONTROLLER);
    assert_eq!(faultless.false_suspicions, 0);
    assert!(worst_ms(&paused) < 4000 + 1000, "{paused:?}");
}
