//! A broker that does not vote (`process.roles=broker`): how it finds its quorum, and follows what that has committed.
//!
//! It asks the nodes that `controller.quorum.bootstrap.servers` or `controller.quorum.voters` name until one of them knows
//! its cluster, and then pulls the metadata log from whichever leads ([`ottla_broadcast::Observer`], which says why nothing of it is
//! kept here). Its data know their cluster by `meta.properties`: those of another one are refused where they are opened.
//!
//! - `pulls`: the questions, as PullMetadata.

mod pulls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use ottla_broadcast::founding::record::FILE;
use ottla_broadcast::observer::Place;
use ottla_broadcast::{DIRECTORY, Observer};
use ottla_env::{Disk, Env};
use ottla_types::BrokerId;
use ottla_types::config::Settings;
use ottla_types::config::broker::node::{
    CONTROLLER_QUORUM_BOOTSTRAP_SERVERS, CONTROLLER_QUORUM_FETCH_TIMEOUT_MS,
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS,
};
use ottla_types::config::listeners::{Voter, split_host_port};

use self::pulls::{Found, Pulls};
use super::join::{self, Joined};
use super::{Channel, ClusterId, Links};
use crate::controller::Quorum;
use crate::server::StateLines;
use crate::start::StartError;

/// How long to wait before asking again who is there.
const PAUSE: Duration = Duration::from_millis(50);

/// The least time that a node has for an answer, however short the setting: without any it could give none.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// Why a broker finds no quorum to belong to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObserverError {
    /// Another node answers where a voter should be.
    #[error(
        "controller.quorum.voters says that node {expected} is at {place}, and node {found} answers there: correct the list"
    )]
    WrongNode {
        /// Who should be there.
        expected: BrokerId,
        /// Where.
        place: Place,
        /// Who is.
        found: BrokerId,
    },
    /// A node of the quorum has this node's id.
    #[error(
        "this broker's node.id is {id}, and so is that of the controller at {place}: each node of a cluster needs an id of its \
         own. Set another node.id"
    )]
    SameId {
        /// The id.
        id: BrokerId,
        /// Where the other one is.
        place: Place,
    },
    /// The nodes belong to different clusters.
    #[error(
        "the node at {first} belongs to cluster {one}, and the node at {second} to cluster {other}: name the nodes of one \
         cluster in controller.quorum.bootstrap.servers or controller.quorum.voters"
    )]
    Clusters {
        /// One of them.
        first: Place,
        /// Its cluster.
        one: String,
        /// Another one.
        second: Place,
        /// Its cluster.
        other: String,
    },
    /// It votes in the quorum, for all that its directory says.
    #[error(
        "process.roles is broker, and {} says that node {node_id} votes in the metadata quorum: as a broker alone it would be \
         missing there. Add controller to process.roles again; or remove its vote first (kafka-metadata-quorum.sh \
         remove-controller), see by describing the quorum that it is gone, delete that directory, and start the broker then",
        place.display()
    )]
    VotersDirectory {
        /// This node.
        node_id: BrokerId,
        /// The metadata directory.
        place: PathBuf,
    },
    /// The data are another cluster's.
    #[error(
        "{} says that the data there belong to cluster {found}, and the quorum that the settings name is that of cluster \
         {expected}: set controller.quorum.bootstrap.servers or controller.quorum.voters right, or name empty directories in \
         log.dirs", path.display()
    )]
    AnotherCluster {
        /// The `meta.properties` that says so.
        path: PathBuf,
        /// Its cluster.
        found: String,
        /// The quorum's.
        expected: String,
    },
    /// Nobody knew what is committed.
    #[error(
        "node {node_id} found no metadata quorum within {timeout_ms} ms (initial.broker.registration.timeout.ms) at {places}: \
         {why}. Are its nodes running, and reached there? controller.quorum.bootstrap.servers or controller.quorum.voters name \
         them, by the listeners in controller.listener.names"
    )]
    NoQuorum {
        /// This node.
        node_id: BrokerId,
        /// How long it waited.
        timeout_ms: u64,
        /// Whom it asked.
        places: String,
        /// What became of that.
        why: String,
    },
}

/// Follows the quorum that the settings name, and waits until everything is replayed that it had committed by then.
pub(crate) async fn as_observer(
    env: &Env,
    settings: &Arc<Settings>,
    tasks: &mut JoinSet<()>,
) -> Result<Joined, StartError> {
    let node_id = settings.node_id();
    let cluster_id = ClusterId::default();
    let voters = settings.quorum_voters();
    let places = places(settings, &voters);
    let links = Arc::new(Links::new(&env.net, node_id, &cluster_id, &voters));
    let pulls = Arc::new(Pulls::new(env, node_id, &cluster_id, &links));
    let timeout_ms = u64::try_from(settings.get(&INITIAL_BROKER_REGISTRATION_TIMEOUT_MS)).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let none = |why: String| ObserverError::NoQuorum { node_id, timeout_ms, places: told(&places), why };

    let mut search =
        Search { pulls: &pulls, node_id, places: &places, voters: &voters, missing: String::new() };
    let found = match tokio::time::timeout_at(deadline, search.run()).await {
        Ok(found) => found?,
        Err(_) => return Err(none(search.missing).into()),
    };
    if let Some(place) = voted_in(&*env.disk, settings).await {
        return Err(ObserverError::VotersDirectory { node_id, place }.into());
    }
    // Only this task sets it.
    let _ = cluster_id.set(found.as_str().into());
    info!(cluster_id = %found, "found the metadata quorum");

    let patience = settings.get(&CONTROLLER_QUORUM_FETCH_TIMEOUT_MS);
    let patience = Duration::from_millis(u64::try_from(patience).unwrap_or(0)).max(LEAST_PATIENCE);
    let observer = Observer::start(pulls, Arc::clone(&env.clock), places.iter().cloned(), patience);
    let controller = join::follow(env, settings, observer, tasks)?;
    let quorum = Quorum::of_observer(env, settings, &controller.metadata, &cluster_id);
    let joined = Joined { channel: Channel::new(controller, cluster_id, Some(links), quorum), node: None };
    let caught_up = match tokio::time::timeout_at(deadline, join::catch_up(joined.metadata())).await {
        Ok(caught_up) => caught_up,
        Err(_) => Err(none(
            "its nodes answer, and none of them knows of a leader that a majority follows".to_owned(),
        )
        .into()),
    };
    match caught_up {
        Ok(()) => Ok(joined),
        Err(error) => {
            joined.metadata().close().await;
            Err(error)
        }
    }
}

/// The metadata directory of a voter in one of this node's directories.
async fn voted_in(disk: &dyn Disk, settings: &Settings) -> Option<PathBuf> {
    let dirs = settings.log_dirs().into_iter().chain([settings.metadata_log_dir()]);
    for place in dirs.map(|dir| Path::new(&dir).join(DIRECTORY)) {
        // What cannot be listed is not there, or broken, which opening the log directories tells.
        let entries = disk.list(&place).await.unwrap_or_default();
        if entries.iter().any(|entry| entry.name == FILE) {
            return Some(place);
        }
    }
    None
}

/// Where the settings say that the quorum is.
fn places(settings: &Settings, voters: &[Voter]) -> Vec<Place> {
    let servers = settings.get(&CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
    let servers = servers.iter().filter_map(|server| split_host_port(server));
    let voters = voters.iter().map(|voter| (voter.host.clone(), voter.port));
    let mut places: Vec<Place> = servers.chain(voters).map(|(host, port)| Place { host, port }).collect();
    places.sort();
    places.dedup();
    places
}

fn told(places: &[Place]) -> String {
    places.iter().map(Place::to_string).collect::<Vec<_>>().join(", ")
}

/// Looks for a cluster.
struct Search<'a> {
    pulls: &'a Pulls,
    node_id: BrokerId,
    places: &'a [Place],
    voters: &'a [Voter],
    /// Why those said nothing who were asked last.
    missing: String,
}

impl Search<'_> {
    /// Asks all places until one of them knows its cluster: what that is called.
    async fn run(&mut self) -> Result<String, ObserverError> {
        let mut lines = StateLines::default();
        loop {
            let asked = self.places.iter().map(async |place| (place, self.pulls.look(place).await));
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for (place, answer) in join_all(asked).await {
                match answer {
                    Ok(answer) => found.push((place, answer)),
                    Err(why) => missing.push(format!("{place}: {why}")),
                }
            }
            self.check(&found)?;
            if let Some((_, first)) = found.into_iter().next() {
                return Ok(first.cluster_id);
            }
            self.missing = missing.join("; ");
            if let Some(suppressed) = lines.admit(&self.missing, Instant::now()) {
                warn!(suppressed, "waiting for the metadata quorum: {}", self.missing);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn check(&self, found: &[(&Place, Found)]) -> Result<(), ObserverError> {
        for (place, answer) in found {
            if answer.node == self.node_id {
                return Err(ObserverError::SameId { id: self.node_id, place: (*place).clone() });
            }
            let is_there = |voter: &&Voter| voter.host == place.host && voter.port == place.port;
            if let Some(voter) = self.voters.iter().find(is_there).filter(|voter| voter.id != answer.node) {
                return Err(ObserverError::WrongNode {
                    expected: voter.id,
                    place: (*place).clone(),
                    found: answer.node,
                });
            }
        }
        if let Some((first, one)) = found.first()
            && let Some((second, other)) = found.iter().find(|(_, other)| other.cluster_id != one.cluster_id)
        {
            return Err(ObserverError::Clusters {
                first: (*first).clone(),
                one: one.cluster_id.clone(),
                second: (*second).clone(),
                other: other.cluster_id.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse("f", text).unwrap().0
    }

    #[test]
    fn bootstrap_servers_and_voters_are_asked_each_once() {
        let settings = settings(
            "controller.quorum.bootstrap.servers=b:2,[::1]:3\ncontroller.quorum.voters=1@a:1,2@b:2\nnode.id=9",
        );
        let places = places(&settings, &settings.quorum_voters());
        assert_eq!(told(&places), "[::1]:3, a:1, b:2");
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let env = Env::real();
        let (cluster_id, node_id) = (ClusterId::default(), BrokerId(9));
        let links = Arc::new(Links::new(&env.net, node_id, &cluster_id, &[]));
        let pulls = Pulls::new(&env, node_id, &cluster_id, &links);
        let place = |host: &str| Place { host: host.to_owned(), port: 1 };
        let (a, b) = (place("a"), place("b"));
        let voters = settings("controller.quorum.voters=1@a:1,2@b:1").quorum_voters();
        let places = [a.clone(), b.clone()];
        let search =
            Search { pulls: &pulls, node_id, places: &places, voters: &voters, missing: String::new() };
        let found = |node: i32, cluster: &str| Found { node: BrokerId(node), cluster_id: cluster.to_owned() };
        search.check(&[(&a, found(1, "x")), (&b, found(2, "x"))]).unwrap();
        for (node, cluster, expected) in
            [(9, "x", "node.id is 9"), (3, "x", "node 2 is at b:1, and node 3"), (2, "y", "cluster x")]
        {
            let error =
                search.check(&[(&a, found(1, "x")), (&b, found(node, cluster))]).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("b:1"), "{error}");
        }
    }
}
