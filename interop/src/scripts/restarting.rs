//! What is the same after the broker has stopped and started, and who goes on meanwhile.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};

use super::records::{expect, sample};
use crate::{
    broker::Broker,
    command::eventually,
    hands::{Hands, Producing, Record, SOON},
    scenario::Fate,
};

/// Produces numbers in small parts while `meanwhile` runs; gives how many. With retries of the client's own.
pub(super) fn while_producing(
    hands: &mut Hands,
    topic: &str,
    partitions: i64,
    how: Producing<'_>,
    meanwhile: impl FnOnce(&Produced<'_>) -> Result<()>,
) -> Result<i64> {
    const PART: i64 = 20;
    let (count, stop, failure) = (AtomicI64::new(0), AtomicBool::new(false), Mutex::new(None));
    let produced = Produced { count: &count, failure: &failure };
    thread::scope(|scope| {
        let (count, stop, failure) = (&count, &stop, &failure);
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let from = count.load(Ordering::SeqCst);
                let numbered = |n: i64| Record { partition: n % partitions, ..Record::of(n.to_string()) };
                let records: Vec<_> = (from..from + PART).map(numbered).collect();
                if let Err(error) = hands.produce(topic, &records, how) {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return;
                }
                count.store(from + PART, Ordering::SeqCst);
            }
        });
        let outcome = meanwhile(&produced);
        stop.store(true, Ordering::SeqCst);
        outcome
    })?;
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error.context("the producer that was running")),
        None => Ok(count.into_inner()),
    }
}

/// How far a producer that runs meanwhile has come.
pub(super) struct Produced<'a> {
    count: &'a AtomicI64,
    failure: &'a Mutex<Option<anyhow::Error>>,
}

impl Produced<'_> {
    /// Waits until `more` records beyond those of now are answered.
    pub(super) fn wait_for(&self, more: i64) -> Result<()> {
        let goal = self.count.load(Ordering::SeqCst) + more;
        let reached = eventually(SOON, || {
            let failed = self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            Ok((failed || self.count.load(Ordering::SeqCst) >= goal).then_some(()))
        })?;
        reached.context("the producer does not get on")
    }
}

pub(super) fn over_a_restart(hands: &mut Hands, broker: &mut Broker) -> Result<()> {
    let topic = "over-restart";
    hands.create(topic, 1, &[])?;
    let how = Producing { idempotent: true, ..Producing::default() };
    let count = while_producing(hands, topic, 1, how, |produced| {
        produced.wait_for(100)?;
        broker.meet(Fate::Restarted)?;
        produced.wait_for(100)
    })?;
    let numbers: Vec<_> = (0..count).map(|n| Record::of(n.to_string())).collect();
    expect(hands, topic, &numbers)
}

pub(super) fn restart(hands: &mut Hands, broker: &mut Broker) -> Result<()> {
    let records = sample(500);
    hands.create("restart-plain", 1, &[])?;
    hands.produce("restart-plain", &records, Producing { codec: Some("gzip"), ..Producing::default() })?;
    hands.create("restart-empty", 3, &[("retention.ms", "12345678")])?;
    hands.create("restart-deleted", 1, &[])?;
    hands.delete("restart-deleted")?;
    let (_, controller) = hands.cluster()?;
    broker.meet(Fate::Restarted)?;
    let ends = eventually(SOON, || Ok(hands.ends("restart-empty", 3).ok()))?;
    ensure!(ends == Some(vec![Some(0); 3]), "ends of the empty topic: {ends:?}");
    expect(hands, "restart-plain", &records)?;
    ensure!(hands.describe("restart-empty")?.len() == 3, "the empty topic has other partitions");
    let topics = hands.topics()?;
    ensure!(!topics.iter().any(|name| name == "restart-deleted"), "the deleted topic is back: {topics:?}");
    ensure!(hands.brokers() > 1 || hands.cluster()?.1 == controller, "another controller");
    let places = hands.produce("restart-plain", &[Record::of("after")], Producing::default())?;
    ensure!(places == [(0, 500)], "the next record is at {places:?}");
    let configs = hands.configs("topic", "restart-empty")?;
    ensure!(configs.get("retention.ms").is_some_and(|v| v == "12345678"), "retention.ms is gone");
    Ok(())
}
