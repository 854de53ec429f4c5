//! The keys that name addresses, taken apart: listeners, and the voters of the metadata quorum.

use std::collections::BTreeMap;
use std::fmt;

use super::broker::network;
use super::key::Key;
use super::settings::Settings;
use crate::BrokerId;

/// How a listener is spoken to. The numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
#[allow(missing_docs, reason = "Kafka's four protocols")]
pub enum SecurityProtocol {
    Plaintext = 0,
    Ssl = 1,
    SaslPlaintext = 2,
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// By Kafka's name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
        all.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// A listener's address as the settings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name, in upper case.
    pub name: String,
    /// The host, without brackets; empty for all interfaces.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Clients and other brokers.
    Clients,
    /// Controllers and brokers that talk to them (`controller.listener.names`).
    Controllers,
}

/// One listener with all that is set on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in upper case.
    pub name: String,
    /// Where to listen: `name://host:port`, the host empty for all interfaces.
    pub bind: Endpoint,
    /// What clients are told, if `advertised.listeners` says so.
    pub advertised: Option<Endpoint>,
    /// How it is spoken to.
    pub protocol: SecurityProtocol,
    /// Who uses it.
    pub audience: Audience,
}

/// The listeners of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// All of them, in the order of `listeners`. Of two with one name the later is for IPv6, or the reverse.
    pub all: Vec<Listener>,
    /// The name of the one on which brokers talk to each other.
    pub inter_broker: String,
}

impl Listeners {
    /// Those that clients use.
    pub fn for_clients(&self) -> impl Iterator<Item = &Listener> {
        self.all.iter().filter(|listener| listener.audience == Audience::Clients)
    }
}

/// A mistake in the listeners.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ListenerProblem {
    /// The key to look at.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A voter of the metadata quorum, as `controller.quorum.voters` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Its host, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Settings {
    /// The listeners.
    ///
    /// # Errors
    /// All the mistakes in the keys that they are made of. Settings that were loaded have none.
    pub fn listeners(&self) -> Result<Listeners, Vec<ListenerProblem>> {
        let mut problems = Vec::new();
        let all = self.collect_listeners(&mut problems);
        let inter_broker = self.inter_broker(&all, &mut problems);
        match (problems.is_empty(), inter_broker) {
            (true, Some(inter_broker)) => Ok(Listeners { all, inter_broker }),
            _ => Err(problems),
        }
    }

    fn collect_listeners(&self, problems: &mut Vec<ListenerProblem>) -> Vec<Listener> {
        let bound = endpoints(&network::LISTENERS, &self.get(&network::LISTENERS), problems);
        let advertised: BTreeMap<String, Endpoint> = self
            .get(&network::ADVERTISED_LISTENERS)
            .map(|list| endpoints(&network::ADVERTISED_LISTENERS, &list, problems))
            .unwrap_or_default()
            .into_iter()
            .map(|endpoint| (endpoint.name.clone(), endpoint))
            .collect();
        let for_controllers = self.controller_names();
        check_names(&bound, &advertised, &for_controllers, problems);
        let protocols = self.protocols();
        bound
            .into_iter()
            .filter_map(|bind| {
                let is_controller = for_controllers.contains(&bind.name);
                let audience = if is_controller { Audience::Controllers } else { Audience::Clients };
                let protocol = self.protocol(&bind.name, audience, &protocols, problems)?;
                let advertised = advertised.get(&bind.name).cloned();
                check_advertised(&bind, advertised.as_ref(), audience, problems);
                Some(Listener { name: bind.name.clone(), bind, advertised, protocol, audience })
            })
            .collect()
    }

    fn controller_names(&self) -> Vec<String> {
        self.get(&network::CONTROLLER_LISTENER_NAMES).iter().map(|name| name.to_ascii_uppercase()).collect()
    }

    /// `listener.security.protocol.map`.
    fn protocols(&self) -> BTreeMap<String, SecurityProtocol> {
        let entry = |entry: &str| {
            let (name, protocol) = entry.split_once(':')?;
            Some((name.trim().to_ascii_uppercase(), SecurityProtocol::from_name(protocol.trim())?))
        };
        self.get(&network::LISTENER_SECURITY_PROTOCOL_MAP).split(',').filter_map(entry).collect()
    }

    fn protocol(
        &self,
        name: &str,
        audience: Audience,
        protocols: &BTreeMap<String, SecurityProtocol>,
        problems: &mut Vec<ListenerProblem>,
    ) -> Option<SecurityProtocol> {
        // As in Kafka, a controller listener is plain where the map is not set at all.
        let plain =
            audience == Audience::Controllers && !self.is_set(&network::LISTENER_SECURITY_PROTOCOL_MAP);
        let protocol = protocols.get(name).copied().or(plain.then_some(SecurityProtocol::Plaintext));
        match protocol {
            None => problems.push(ListenerProblem {
                key: "listener.security.protocol.map",
                message: format!(
                    "no security protocol is defined for listener {name}: add {name}:PLAINTEXT to \
                     listener.security.protocol.map"
                ),
            }),
            // To listen without the protection that was asked for would be worse than not to start.
            Some(other) if other != SecurityProtocol::Plaintext => problems.push(ListenerProblem {
                key: "listeners",
                message: format!(
                    "listener {name} is to speak {}, and only PLAINTEXT is available in this version",
                    other.name()
                ),
            }),
            Some(_) => {}
        }
        protocol
    }

    /// The name of the listener on which brokers talk to each other: the one named, or the one that speaks the protocol
    /// named, or the first.
    fn inter_broker(&self, all: &[Listener], problems: &mut Vec<ListenerProblem>) -> Option<String> {
        if !self.is_broker() {
            // A controller alone has no such listener, and may be told how the brokers call theirs.
            let protocol = || self.get(&network::SECURITY_INTER_BROKER_PROTOCOL);
            let name = self.get(&network::INTER_BROKER_LISTENER_NAME).unwrap_or_else(protocol);
            return Some(name.to_ascii_uppercase());
        }
        let clients = || all.iter().filter(|listener| listener.audience == Audience::Clients);
        if let Some(name) = self.get(&network::INTER_BROKER_LISTENER_NAME) {
            let name = name.to_ascii_uppercase();
            if self.is_set(&network::SECURITY_INTER_BROKER_PROTOCOL) {
                problems.push(ListenerProblem {
                    key: "security.inter.broker.protocol",
                    message:
                        "inter.broker.listener.name and security.inter.broker.protocol are both set: set one \
                              of them"
                            .to_owned(),
                });
            }
            if clients().any(|listener| listener.name == name) {
                return Some(name);
            }
            problems.push(ListenerProblem {
                key: "inter.broker.listener.name",
                message: format!(
                    "inter.broker.listener.name is {name}, which is not one of the listeners for clients and brokers"
                ),
            });
            return None;
        }
        let protocol = SecurityProtocol::from_name(&self.get(&network::SECURITY_INTER_BROKER_PROTOCOL));
        let by_protocol = clients().find(|listener| Some(listener.protocol) == protocol);
        let found = by_protocol.or_else(|| clients().next()).map(|listener| listener.name.clone());
        if found.is_none() && problems.is_empty() {
            problems.push(ListenerProblem {
                key: "listeners",
                message:
                    "none of the listeners is for clients: expected one that controller.listener.names does \
                          not name"
                        .to_owned(),
            });
        }
        found
    }

    fn is_broker(&self) -> bool {
        self.process_roles().iter().any(|role| role == "broker")
    }
}

fn check_names(
    bound: &[Endpoint],
    advertised: &BTreeMap<String, Endpoint>,
    for_controllers: &[String],
    problems: &mut Vec<ListenerProblem>,
) {
    let mut refuse = |key, message| problems.push(ListenerProblem { key, message });
    for (nth, endpoint) in bound.iter().enumerate() {
        for other in bound.iter().take(nth) {
            let both_families = other.host.contains(':') != endpoint.host.contains(':');
            if other.name == endpoint.name && !both_families {
                refuse("listeners", format!("two listeners are called {}", endpoint.name));
            }
            if other.port == endpoint.port && other.port != 0 && other.host == endpoint.host {
                refuse("listeners", format!("{other} and {endpoint} are the same address"));
            }
        }
    }
    for name in advertised.keys().filter(|name| !bound.iter().any(|endpoint| endpoint.name == **name)) {
        refuse("advertised.listeners", format!("advertised.listeners names {name}, and listeners does not"));
    }
    for name in for_controllers {
        // A broker alone names the listeners of its controllers, and has none of them.
        if advertised.contains_key(name) && !bound.iter().any(|endpoint| endpoint.name == *name) {
            refuse(
                "advertised.listeners",
                format!("advertised.listeners names the controller listener {name}"),
            );
        }
    }
}

fn check_advertised(
    bind: &Endpoint,
    advertised: Option<&Endpoint>,
    audience: Audience,
    problems: &mut Vec<ListenerProblem>,
) {
    let told = advertised.unwrap_or(bind);
    if audience == Audience::Clients && matches!(told.host.as_str(), "0.0.0.0" | "::") {
        problems.push(ListenerProblem {
            key: "advertised.listeners",
            message: format!(
                "clients cannot connect to {told}: set advertised.listeners to an address that they can reach"
            ),
        });
    }
}

/// Takes `NAME://host:port` texts apart.
fn endpoints<T>(key: &Key<T>, texts: &[String], problems: &mut Vec<ListenerProblem>) -> Vec<Endpoint> {
    let key = key.definition.name;
    if texts.is_empty() {
        let message = format!("{key} is empty: expected NAME://host:port separated by commas");
        problems.push(ListenerProblem { key, message });
    }
    let parsed = texts.iter().filter_map(|text| {
        let parsed = endpoint(text);
        if parsed.is_none() {
            let message = format!("\"{text}\" in {key} is not a listener: expected NAME://host:port");
            problems.push(ListenerProblem { key, message });
        }
        parsed
    });
    parsed.collect()
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let (name, address) = text.split_once("://")?;
    let (host, port) = split_host_port(address)?;
    (!name.is_empty()).then(|| Endpoint { name: name.to_ascii_uppercase(), host, port })
}

/// Splits `host:port`. The host may be empty; an IPv6 address stands in brackets, which are dropped.
#[must_use]
pub fn split_host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let bare = match host.strip_prefix('[') {
        Some(open) => open.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    if bare.contains(char::is_whitespace) || bare.contains(['[', ']', '/']) {
        return None;
    }
    Some((bare.to_owned(), port.parse().ok()?))
}
