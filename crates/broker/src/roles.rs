//! What a node is to be, by `process.roles` and what goes with it: a broker, a controller that votes, or both (KIP-500, KIP-631,
//! KIP-853).
//!
//! What settings may be together is as in Kafka, with one thing more: a node that is both, and names nobody else, is its
//! own quorum. Nothing is founded by accident: who names other nodes belongs to them, or does not start.

use ottla_types::BrokerId;
use ottla_types::config::Settings;
use ottla_types::config::broker::{network, node};
use ottla_types::config::listeners::{Audience, Listener, ListenerProblem, Listeners, split_host_port};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A broker, and its own quorum.
    Alone,
    /// One of the nodes that `controller.quorum.voters` lists.
    Voter {
        /// Whether it is a broker too.
        is_broker: bool,
    },
    /// A broker that does not vote.
    Observer,
}

/// Why a node cannot be what its settings say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The listeners' settings do not fit together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Listeners(Vec<ListenerProblem>),
    /// Nobody says where the quorum is.
    #[error(
        "process.roles is {0}, and nothing says where the metadata quorum is: set controller.quorum.voters, or \
         controller.quorum.bootstrap.servers for a broker"
    )]
    NoQuorum(String),
    /// A broker that does not vote is listed as a voter.
    #[error(
        "process.roles is broker, and controller.quorum.voters lists node {0}, which is this one: add controller to \
         process.roles if it is to vote, or else set node.id or the list right"
    )]
    BrokerAmongVoters(BrokerId),
    /// A controller is not listed as a voter.
    #[error(
        "process.roles has controller, and controller.quorum.voters lists {voters} and not node {node}, which is this one: add it \
         to the list of all nodes, set node.id right, or make it a broker alone by process.roles=broker"
    )]
    NotAmongVoters {
        /// This node.
        node: BrokerId,
        /// The nodes that are.
        voters: String,
    },
    /// A broker alone does not say by which listener controllers are reached.
    #[error(
        "process.roles is broker, and controller.listener.names is empty: name the listener by which the controllers are \
         reached, as it is called on them"
    )]
    NoControllerListenerNamed,
    /// A broker alone has a listener for controllers.
    #[error(
        "process.roles is broker, and listeners has {0}, which controller.listener.names says is for controllers: take it out of \
         listeners"
    )]
    BrokerListensAsController(String),
    /// The map does not know the listener of the controllers.
    #[error(
        "controller.listener.names names {0}, and listener.security.protocol.map does not say how it is spoken to: add \
         {0}:PLAINTEXT there"
    )]
    UnknownProtocol(String),
    /// A controller has a listener for clients.
    #[error(
        "process.roles is controller, and listeners has {0}, which controller.listener.names does not name: a controller serves \
         no clients. Take it out of listeners, name it there, or add broker to process.roles"
    )]
    ControllerListensAsBroker(String),
    /// A controller has no listener for the other nodes.
    #[error(
        "process.roles has controller, and this node has no listener for the other nodes: name one in listeners and in \
         controller.listener.names"
    )]
    NoControllerListener,
    /// A listener is named for controllers and is not there.
    #[error("controller.listener.names names {0}, and listeners does not: correct one of them")]
    ListenerIsMissing(String),
    /// A controller is to join a quorum that it is not listed in.
    #[error(
        "process.roles has controller, and controller.quorum.bootstrap.servers names other nodes ({0}): a controller joins a \
         quorum only by being listed in controller.quorum.voters yet. List all voters there, this one among them, or make \
         it a broker alone by process.roles=broker"
    )]
    JoinsByServers(String),
}

impl Role {
    /// What the settings make of a node on a machine of that name.
    ///
    /// # Errors
    /// Says what does not go together, and what would.
    pub(crate) fn of(settings: &Settings, hostname: &str) -> Result<Self, RoleError> {
        let listeners = settings.listeners().map_err(RoleError::Listeners)?;
        let roles = settings.process_roles();
        let has = |name: &str| roles.iter().any(|role| role == name);
        let names_nobody = settings.quorum_voters().is_empty()
            && settings.get(&node::CONTROLLER_QUORUM_BOOTSTRAP_SERVERS).is_empty();
        if names_nobody && !(has("broker") && has("controller")) {
            return Err(RoleError::NoQuorum(roles.join(",")));
        }
        match (has("broker"), has("controller")) {
            (true, false) => broker_alone(settings, &listeners),
            (is_broker, _) => controller(settings, &listeners, is_broker, hostname),
        }
    }

    /// Whether it serves clients and has replicas.
    pub(crate) fn is_broker(self) -> bool {
        !matches!(self, Self::Voter { is_broker: false })
    }
}

/// The listeners that are for controllers, in upper case as [`Listener::name`] is.
fn controller_names(settings: &Settings) -> Vec<String> {
    settings.get(&network::CONTROLLER_LISTENER_NAMES).iter().map(|name| name.to_ascii_uppercase()).collect()
}

fn broker_alone(settings: &Settings, listeners: &Listeners) -> Result<Role, RoleError> {
    let me = settings.node_id();
    if settings.quorum_voters().iter().any(|voter| voter.id == me) {
        return Err(RoleError::BrokerAmongVoters(me));
    }
    let names = controller_names(settings);
    if names.is_empty() {
        return Err(RoleError::NoControllerListenerNamed);
    }
    if let Some(listener) = listeners.all.iter().find(|listener| listener.audience == Audience::Controllers) {
        return Err(RoleError::BrokerListensAsController(listener.name.clone()));
    }
    // Where the map is not set, they are plain.
    if settings.is_set(&network::LISTENER_SECURITY_PROTOCOL_MAP) {
        let map = settings.get(&network::LISTENER_SECURITY_PROTOCOL_MAP);
        let known = map.split(',').filter_map(|entry| entry.split_once(':'));
        let known: Vec<String> = known.map(|(name, _)| name.trim().to_ascii_uppercase()).collect();
        if let Some(unknown) = names.into_iter().find(|name| !known.contains(name)) {
            return Err(RoleError::UnknownProtocol(unknown));
        }
    }
    Ok(Role::Observer)
}

fn controller(
    settings: &Settings,
    listeners: &Listeners,
    is_broker: bool,
    hostname: &str,
) -> Result<Role, RoleError> {
    let (me, voters) = (settings.node_id(), settings.quorum_voters());
    let own: Vec<&Listener> =
        listeners.all.iter().filter(|listener| listener.audience == Audience::Controllers).collect();
    if !voters.is_empty() && !voters.iter().any(|voter| voter.id == me) {
        let voters: Vec<String> = voters.iter().map(|voter| voter.id.to_string()).collect();
        return Err(RoleError::NotAmongVoters { node: me, voters: voters.join(", ") });
    }
    if voters.is_empty() {
        let servers = settings.get(&node::CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
        let is_other = |server: &&String| !names_me(server, &own, hostname);
        let others: Vec<&str> = servers.iter().filter(is_other).map(String::as_str).collect();
        if !others.is_empty() {
            return Err(RoleError::JoinsByServers(others.join(", ")));
        }
    }
    let names = controller_names(settings);
    if let Some(missing) = names.iter().find(|name| !own.iter().any(|listener| listener.name == **name)) {
        return Err(RoleError::ListenerIsMissing(missing.clone()));
    }
    if !is_broker {
        let for_clients = listeners.for_clients().next();
        if let Some(listener) = for_clients {
            return Err(RoleError::ControllerListensAsBroker(listener.name.clone()));
        }
    }
    let is_alone = is_broker && voters.len() <= 1;
    if own.is_empty() && !is_alone {
        return Err(RoleError::NoControllerListener);
    }
    if voters.is_empty() && !is_broker {
        // It would be a quorum of one: then it says so, and may be joined by others later.
        let servers = settings.get(&node::CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
        return Err(RoleError::JoinsByServers(servers.join(", ")));
    }
    Ok(if is_alone { Role::Alone } else { Role::Voter { is_broker } })
}

/// Whether an address is that of one of this node's listeners, as far as can be told without asking.
fn names_me(server: &str, own: &[&Listener], hostname: &str) -> bool {
    let Some((host, port)) = split_host_port(server) else { return false };
    let is_local = |host: &str| host == "localhost" || host == "::1" || host.starts_with("127.");
    own.iter().any(|listener| {
        let (bind, told) = (&listener.bind, listener.advertised.as_ref().unwrap_or(&listener.bind));
        let takes_all = matches!(bind.host.as_str(), "" | "0.0.0.0" | "::");
        let is_bound = bind.port == port
            && (host == bind.host
                || host.eq_ignore_ascii_case(hostname)
                || is_local(&host) && (takes_all || is_local(&bind.host)));
        is_bound || (host == told.host && port == told.port)
    })
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
