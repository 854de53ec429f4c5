//! `controller.quorum.voters`, taken apart entry by entry, so that a mistake names its entry; and held to the listeners.

use std::collections::BTreeSet;

use super::broker::node;
use super::listeners::{Audience, ListenerProblem, Voter, split_host_port};
use super::settings::Settings;
use crate::BrokerId;

const KEY: &str = "controller.quorum.voters";

impl Settings {
    /// `controller.quorum.voters`.
    #[must_use]
    pub fn quorum_voters(&self) -> Vec<Voter> {
        self.get(&node::CONTROLLER_QUORUM_VOTERS).iter().filter_map(|entry| voter(entry).ok()).collect()
    }

    /// The mistakes in `controller.quorum.voters`.
    pub(super) fn voter_problems(&self) -> Vec<ListenerProblem> {
        let problem = |message| ListenerProblem { key: KEY, message };
        let entries = self.get(&node::CONTROLLER_QUORUM_VOTERS);
        let mut problems = Vec::new();
        let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for entry in &entries {
            let voter = match voter(entry) {
                Ok(voter) => voter,
                Err(why) => {
                    problems.push(problem(format!(
                        "\"{entry}\" in {KEY} {why}: expected a list of id@host:port separated by commas"
                    )));
                    continue;
                }
            };
            if !ids.insert(voter.id) {
                problems.push(problem(format!(
                    "{KEY} lists node {} twice, the second time as \"{entry}\": give each voter an id of its own",
                    voter.id
                )));
            }
            if !addresses.insert((voter.host.to_ascii_lowercase(), voter.port)) {
                problems.push(problem(format!(
                    "{KEY} lists the address of \"{entry}\" twice: give each voter an address of its own"
                )));
            }
        }
        if problems.is_empty() { self.own_problem().into_iter().map(problem).collect() } else { problems }
    }

    /// What is wrong with this node's own entry. Hosts are not compared: one has many names.
    fn own_problem(&self) -> Option<String> {
        let voters = self.quorum_voters();
        let id = self.node_id();
        // A quorum of one listens to nobody.
        let own = voters.iter().find(|voter| voter.id == id).filter(|_| voters.len() > 1)?;
        let listeners = self.listeners().ok()?.all;
        let mut controllers =
            listeners.iter().filter(|listener| listener.audience == Audience::Controllers).peekable();
        // That there is one at all is looked at elsewhere.
        let first = controllers.peek()?.bind.clone();
        let told = controllers.map(|listener| listener.advertised.as_ref().unwrap_or(&listener.bind));
        if told.clone().any(|told| told.port == own.port) {
            return None;
        }
        let told: Vec<String> = told.map(ToString::to_string).collect();
        Some(format!(
            "{KEY} says that this node, {id}, is at {}:{}, and its controller listener is {}: correct the entry on every node, \
             the port in listeners, or node.id; where ports are mapped, name {}://{}:{} in advertised.listeners",
            own.host,
            own.port,
            told.join(","),
            first.name,
            own.host,
            own.port
        ))
    }
}

fn voter(entry: &str) -> Result<Voter, &'static str> {
    let (id, address) = entry.trim().split_once('@').ok_or("has no @")?;
    let id: i32 = id.parse().map_err(|_| "has no number before the @")?;
    if id < 0 {
        return Err("has a negative node id");
    }
    match split_host_port(address) {
        None => Err("has no host and port after the @"),
        Some((host, _)) if host.is_empty() => Err("names no host"),
        Some((_, 0)) => Err("has port 0, at which nobody can be reached"),
        Some((host, port)) => Ok(Voter { id: BrokerId(id), host, port }),
    }
}
