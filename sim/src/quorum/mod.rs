//! A quorum alone: three or five voters of the metadata log, each in a process of its own, under faults.
//!
//! - [`voter`]: what each machine runs: the production quorum, a user that takes its deliveries, appends while it leads,
//!   and snapshots now and then.
//! - [`transport`]: frames over the simulated network, in place of a broker's private API.
//! - [`oracle`]: what all of them were handed and told, and what must hold of that at once.
//!
//! What is checked at the end is in [`crate::invariants`].

mod oracle;
mod state;
mod transport;
mod voter;

use std::sync::Arc;
use std::time::Duration;

pub use self::oracle::{Append, AppendFate, Oracle, Quorum};
use crate::engine::NodeId;
use crate::faults::{Nemesis, Weights};
use crate::invariants::{Violation, appends_are_kept, every_append_is_answered, every_request_is_answered};
use crate::rng::SimRng;
use crate::world::World;

/// For how long faults happen.
const FAULTY: Duration = Duration::from_secs(20);

/// How long the quorum may take, once all is repaired, until every voter has everything: pauses between attempts to reach
/// a peer, TCP's own among them.
const CALM: Duration = Duration::from_secs(60);

/// How often it is looked whether that is so.
const LOOK: Duration = Duration::from_millis(100);

/// Runs a quorum through faults. Returns how many batches were appended.
///
/// # Errors
/// The invariant that broke.
pub async fn run(world: &World) -> Result<u64, Violation> {
    let mut rng = world.rng(20);
    let count = if rng.one_in(3) { 5 } else { 3 };
    let oracle = Oracle::default();
    let plan = voter::Plan::draw(&mut rng);
    let voters: Vec<NodeId> = (1..=count)
        .map(|id| {
            let program = voter::program(world.clone(), oracle.clone(), plan.clone(), NodeId(id), count);
            world.add_node(&format!("voter-{id}"), program)
        })
        .collect();
    voters.iter().for_each(|voter| world.start(*voter));

    let faults = nemesis(&voters, &mut rng).run(world, FAULTY);
    tokio::select! {
        biased;
        violation = violated(&oracle) => return Err(violation),
        over = tokio::time::timeout(FAULTY + CALM, faults) => if over.is_err() {
            return Err(every_request_is_answered::violation("every process that is to stop does", CALM));
        },
    }
    let healed_us = world.timeline().now_us();
    let end = oracle.with(|quorum| quorum.log.len());
    let all_have_all = async {
        while !oracle.with(|quorum| quorum.is_whole(&voters, end, healed_us)) {
            tokio::time::sleep(LOOK).await;
            if oracle.with(|quorum| quorum.violation.is_some()) {
                return;
            }
        }
    };
    let came = tokio::time::timeout(CALM, all_have_all).await;
    let quorum = oracle.with(|quorum| quorum.clone());
    if let Some(violation) = quorum.violation {
        return Err(violation);
    }
    if came.is_err() {
        let what = "a batch is appended, and every voter has all records";
        return Err(every_request_is_answered::violation(what, CALM));
    }
    appends_are_kept::check(&quorum)?;
    every_append_is_answered::check(&quorum, |process| oracle.with(|now| now.is_current(process)))?;
    Ok(quorum.appends.len() as u64)
}

/// Waits until something does not hold: the last events are of most use then.
async fn violated(oracle: &Oracle) -> Violation {
    loop {
        if let Some(violation) = oracle.with(|quorum| quorum.violation.clone()) {
            return violation;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn nemesis(voters: &[NodeId], rng: &mut SimRng) -> Nemesis {
    let ms = Duration::from_millis;
    let weights = Weights { clock_jump: 0, partition: 5, cut: 4, ..Weights::all() };
    Nemesis {
        victims: voters.to_vec(),
        bystanders: Vec::new(),
        weights,
        pause: [ms(300), ms(1_500), ms(6_000)][rng.index(3)],
        lasting: [ms(300), ms(2_000), ms(8_000)][rng.index(3)],
        may_wipe: Arc::new(|| true),
        rng: rng.fork(1),
    }
}
