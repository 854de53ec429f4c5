//! Scripts about a cluster of three brokers: topics with replicas, elections, reassignments, brokers that go.
//!
//! Kafka's brokers answer a change before all of them know of it, so what follows from one is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::broker::Broker;
use crate::cluster_hands::Placed;
use crate::command::eventually;
use crate::driver::Refused;
use crate::hands::Hands;
use crate::scenario::Outcome;

/// How long what must come may take.
const SOON: Duration = Duration::from_secs(20);

const ELECTION_NOT_NEEDED: i64 = 84;
const NO_REASSIGNMENT_IN_PROGRESS: i64 = 85;
const BROKER_ID_NOT_REGISTERED: i64 = 102;

/// Runs the script of this name.
pub(crate) fn run(name: &str, hands: &mut Hands, broker: &mut Broker) -> Result<Outcome> {
    match name {
        "three-brokers" => three_brokers(hands),
        "replicated-topic" => replicated_topic(hands),
        "own-configs" => own_configs(hands),
        "elect-leaders" => elect_leaders(hands),
        "reassign-at-once" => reassign_at_once(hands),
        "reassign-listed" => reassign_listed(hands, broker),
        "unregister" => unregister(hands, broker),
        _ => bail!("there is no script {name}"),
    }
    .map(|()| Outcome::Passed)
}

fn three_brokers(hands: &mut Hands) -> Result<()> {
    let (mut seen, mut controller) = (Vec::new(), -1);
    wait_for(|| {
        (seen, controller) = hands.cluster()?;
        Ok(seen.len() == 3)
    })
    .with_context(|| format!("{seen:?} are not three brokers"))?;
    let ids: BTreeSet<_> = seen.iter().filter_map(|broker| broker.split('@').next()).collect();
    ensure!(ids == BTreeSet::from(["1", "2", "3"]), "{ids:?} are not the brokers' ids");
    ensure!((1..=3).contains(&controller), "broker {controller} is the controller");
    ensure!(hands.registered()? == [1, 2, 3], "not all are registered");
    for (name, [level, min, max]) in hands.features()? {
        ensure!((min..=max).contains(&level), "{name} is at {level}, and {min} to {max} are supported");
    }
    Ok(())
}

fn replicated_topic(hands: &mut Hands) -> Result<()> {
    hands.try_create("replicated", 60, 3, &[])?;
    let placed = placed_as(hands, "replicated", "60 partitions with all replicas in sync", |placed| {
        let is_whole = |p: &Placed| sorted(&p.replicas) == [1, 2, 3] && sorted(&p.isr) == [1, 2, 3];
        placed.len() == 60 && placed.values().all(|p| is_whole(p) && p.leader == p.replicas[0])
    })?;
    for broker in 1..=3 {
        let leads = placed.values().filter(|p| p.leader == broker).count();
        ensure!(leads == 20, "broker {broker} leads {leads} of 60");
    }
    Ok(())
}

fn own_configs(hands: &mut Hands) -> Result<()> {
    for broker in ["1", "2", "3"] {
        let value = format!("{broker}00000");
        hands.alter_configs("broker", broker, &json!({"log.retention.ms": value}))?;
        let mut seen = None;
        wait_for(|| {
            seen = hands.configs("broker", broker)?.remove("log.retention.ms");
            Ok(seen == Some(json!(value)))
        })
        .with_context(|| format!("broker {broker} has {seen:?}, not {value}"))?;
    }
    for broker in ["1", "2", "3"] {
        hands.alter_configs("broker", broker, &json!({"log.retention.ms": null}))?;
    }
    Ok(())
}

fn elect_leaders(hands: &mut Hands) -> Result<()> {
    let orders: [&[i64]; 3] = [&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]];
    hands.create_assigned("elected", &orders)?;
    led_by(hands, "elected", [1, 2, 3])?;
    let needless = hands.elect("elected", Some(&[0]))?;
    ensure!(needless == BTreeMap::from([(0, ELECTION_NOT_NEEDED)]), "{needless:?}: 1 leads already");
    hands.reassign("elected", 0, Some(&[2, 1, 3]))?;
    hands.reassign("elected", 1, Some(&[3, 2, 1]))?;
    wait_for(|| Ok(hands.reassignments("elected")?.is_empty())).context("another order is still coming")?;
    led_by(hands, "elected", [1, 2, 3])?;
    let one = hands.elect("elected", Some(&[0]))?;
    ensure!(one == BTreeMap::from([(0, 0)]), "{one:?}: 2 is in sync, and comes first");
    led_by(hands, "elected", [2, 2, 3])?;
    let all = hands.elect("elected", None)?;
    ensure!(all == BTreeMap::from([(1, 0)]), "{all:?}: only partition 1 needed it");
    led_by(hands, "elected", [2, 3, 3])
}

fn reassign_at_once(hands: &mut Hands) -> Result<()> {
    hands.create_assigned("moved", &[&[1, 2, 3], &[1, 2, 3]])?;
    led_by(hands, "moved", [1, 1])?;
    hands.reassign("moved", 0, Some(&[3, 1, 2]))?;
    hands.reassign("moved", 1, Some(&[2, 3]))?;
    wait_for(|| Ok(hands.reassignments("moved")?.is_empty()))
        .context("something is still coming or going")?;
    placed_as(hands, "moved", "the replicas that were asked for", |placed| {
        let replicas: Vec<_> = placed.values().map(|p| &p.replicas[..]).collect();
        let leads = placed.get(&1).is_some_and(|p| [2, 3].contains(&p.leader));
        replicas == [&[3, 1, 2][..], &[2, 3]] && leads
    })
    .map(|_| ())
}

fn reassign_listed(hands: &mut Hands, broker: &mut Broker) -> Result<()> {
    hands.create_assigned("waiting", &[&[1], &[2]])?;
    led_by(hands, "waiting", [1, 2])?;
    broker.stop_one(3)?;
    hands.reassign("waiting", 0, Some(&[3]))?;
    let moving = hands.reassignments("waiting")?;
    let expected = BTreeMap::from([(0, [vec![3, 1], vec![3], vec![1]])]);
    ensure!(moving == expected, "{moving:?} are moving, not {expected:?}");
    refused(hands.reassign("waiting", 1, None), NO_REASSIGNMENT_IN_PROGRESS)?;
    hands.reassign("waiting", 0, None)?;
    let moving = hands.reassignments("waiting")?;
    ensure!(moving.is_empty(), "{moving:?} are still moving");
    placed_as(hands, "waiting", "its one replica", |placed| placed[&0].replicas == [1]).map(|_| ())
}

fn unregister(hands: &mut Hands, broker: &mut Broker) -> Result<()> {
    broker.stop_one(3)?;
    hands.unregister(3)?;
    wait_for(|| Ok(hands.registered()? == [1, 2])).context("broker 3 is still known")?;
    refused(hands.unregister(3), BROKER_ID_NOT_REGISTERED)
}

/// The partitions of a topic, once they are as they should be.
fn placed_as(
    hands: &mut Hands,
    topic: &str,
    what: &str,
    is_so: impl Fn(&BTreeMap<i64, Placed>) -> bool,
) -> Result<BTreeMap<i64, Placed>> {
    let mut seen = BTreeMap::new();
    wait_for(|| {
        match hands.placed(topic) {
            Ok(placed) => seen = placed,
            // The broker that is asked may not know it yet.
            Err(error) if error.downcast_ref::<Refused>().is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(is_so(&seen))
    })
    .with_context(|| format!("{topic} does not come to {what}: {seen:?}"))?;
    Ok(seen)
}

fn led_by<const N: usize>(hands: &mut Hands, topic: &str, leaders: [i64; N]) -> Result<()> {
    placed_as(hands, topic, &format!("leaders {leaders:?}"), |placed| {
        placed.values().map(|p| p.leader).eq(leaders)
    })
    .map(|_| ())
}

fn refused(outcome: Result<()>, code: i64) -> Result<()> {
    match outcome {
        Ok(()) => bail!("it is not refused, and error {code} was expected"),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if refused.code == code => Ok(()),
            _ => Err(error.context(format!("error {code} was expected"))),
        },
    }
}

fn wait_for(mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    eventually(SOON, || Ok(holds()?.then_some(())))?.context("not in time")
}

fn sorted(ids: &[i64]) -> Vec<i64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}
