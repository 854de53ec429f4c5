//! What a machine of the cluster runs: a combined node, as `ottla serve` starts it.

use std::sync::Arc;

use ottla_broker::Broker;
use ottla_client::Address;

use super::Oracle;
use crate::brokers::program::settings;
use crate::engine::{Kind, NodeId};
use crate::invariants::Violation;
use crate::world::{Program, World};

/// Where clients and where controllers are listened to.
const CLIENTS: u16 = 9092;
const CONTROLLERS: u16 = 9093;

/// The name of a node's machine.
pub(super) fn name(id: u32) -> String {
    format!("node-{id}")
}

/// Where clients find a node.
pub(super) fn address(id: u32) -> Address {
    Address::new(&name(id), CLIENTS)
}

/// The properties of a node among so many.
fn properties(id: u32, count: u32, more: &str) -> String {
    let voters: Vec<String> = (1..=count).map(|id| format!("{id}@{}:{CONTROLLERS}", name(id))).collect();
    [
        format!("node.id={id}"),
        "process.roles=broker,controller".to_owned(),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners=PLAINTEXT://:{CLIENTS},CONTROLLER://:{CONTROLLERS}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        "log.dirs=/data/logs".to_owned(),
        more.to_owned(),
    ]
    .join("\n")
}

/// A node among so many. It ends when it cannot start, or cannot go on: somebody has to start it again, as a service
/// manager does.
pub(super) fn program(world: World, oracle: Oracle, id: u32, count: u32, more: &str) -> Program {
    let text = properties(id, count, more);
    let node = NodeId(id);
    Arc::new(move |mut started| {
        let (text, world, oracle) = (text.clone(), world.clone(), oracle.clone());
        Box::pin(async move {
            let starting = Broker::start(started.env.clone(), settings(&text));
            let broker = match starting.await {
                Ok(broker) => broker,
                Err(error) => {
                    return world.note(node, Kind::Process, 9, || format!("cannot start: {error}"));
                }
            };
            world.note(node, Kind::Process, 10, || "serves".to_owned());
            tokio::select! {
                biased;
                () = started.stopped() => {}
                failure = broker.failed() => {
                    world.note(node, Kind::Process, 11, || format!("cannot go on: {failure}"));
                    if !world.has_disk_failed(node) {
                        let what = format!("{node} cannot go on, and its disk has not failed: {failure}");
                        oracle.with(|log| log.violated(Violation::new("nothing_fails", what)));
                    }
                }
            }
            // A log that could not be closed is recovered by the next start.
            drop(broker.stop().await);
        })
    })
}
