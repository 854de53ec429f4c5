//! The keys that name addresses, taken apart: `listeners`, `advertised.listeners`, `listener.security.protocol.map` and
//! `controller.listener.names`, as one list of listeners.

use super::Settings;
use super::broker::network;

/// A listener, by all the keys that speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name: `PLAINTEXT`, `CONTROLLER`, or any other.
    pub name: String,
    /// The address to listen on; empty for all of the machine's.
    pub host: String,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The address that clients are told; `None` where none is configured.
    pub advertised: Option<(String, u16)>,
    /// How it is spoken to: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: String,
    /// Whether it is for the metadata quorum (`controller.listener.names`) and not for clients.
    pub is_controller: bool,
}

/// Why the addresses make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListener {
    /// Not `NAME://host:port`.
    #[error("{key}: \"{text}\" is not an address: expected NAME://host:port, with a port from 0 to 65535")]
    Address {
        /// The key.
        key: &'static str,
        /// The item.
        text: String,
    },
    /// Two listeners of one name, or on one port.
    #[error("{key}: \"{text}\" is there twice: each listener needs its own name and port")]
    Twice {
        /// The key.
        key: &'static str,
        /// The name or port.
        text: String,
    },
    /// An advertised listener that does not listen.
    #[error("advertised.listeners names {0}, and listeners does not")]
    NotListening(String),
    /// An address that clients cannot connect to.
    #[error(
        "advertised.listeners: {0} is no address that clients can connect to: name the host that they reach"
    )]
    Wildcard(String),
    /// A name without a protocol.
    #[error(
        "listener.security.protocol.map says nothing of {0}: add {0}:PLAINTEXT, or the protocol that it is to speak"
    )]
    NoProtocol(String),
    /// There is nothing for clients to connect to.
    #[error("listeners has nothing that clients can connect to: all of it is in controller.listener.names")]
    NoneForClients,
}

/// The listeners of a node.
///
/// # Errors
/// The first thing that does not fit together.
pub fn listeners(settings: &Settings) -> Result<Vec<ListenerConfig>, InvalidListener> {
    let map = protocol_map(&settings.get(&network::LISTENER_SECURITY_PROTOCOL_MAP));
    let controllers = settings.get(&network::CONTROLLER_LISTENER_NAMES);
    let advertised =
        addresses("advertised.listeners", &settings.get(&network::ADVERTISED_LISTENERS).unwrap_or_default())?;
    let listening = addresses("listeners", &settings.get(&network::LISTENERS))?;
    for (name, host, _) in &advertised {
        if !listening.iter().any(|(listener, _, _)| listener == name) {
            return Err(InvalidListener::NotListening(name.clone()));
        }
        if is_wildcard(host) {
            return Err(InvalidListener::Wildcard(host.clone()));
        }
    }
    let mut listeners = Vec::new();
    for (name, host, port) in listening {
        let is_controller = controllers.contains(&name);
        let protocol = match map.iter().find(|(listener, _)| *listener == name) {
            Some((_, protocol)) => protocol.clone(),
            // As in Kafka, a controller's listener is plain unless the map says otherwise.
            None if is_controller => "PLAINTEXT".to_owned(),
            None => return Err(InvalidListener::NoProtocol(name)),
        };
        let advertised = advertised.iter().find(|(listener, _, _)| *listener == name);
        let advertised = advertised.map(|(_, host, port)| (host.clone(), *port));
        listeners.push(ListenerConfig { name, host, port, advertised, protocol, is_controller });
    }
    if listeners.iter().all(|listener| listener.is_controller) {
        return Err(InvalidListener::NoneForClients);
    }
    Ok(listeners)
}

/// Whether a host means all addresses of the machine.
#[must_use]
pub fn is_wildcard(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0")
}

fn addresses(key: &'static str, items: &[String]) -> Result<Vec<(String, String, u16)>, InvalidListener> {
    let mut found: Vec<(String, String, u16)> = Vec::new();
    for item in items {
        let (name, host, port) =
            address(item).ok_or_else(|| InvalidListener::Address { key, text: item.clone() })?;
        for (other, other_host, other_port) in &found {
            if *other == name {
                return Err(InvalidListener::Twice { key, text: name });
            }
            // Several listeners may be advertised at one address (a proxy), but only one can listen there.
            if key == "listeners" && port != 0 && port == *other_port && *other_host == host {
                return Err(InvalidListener::Twice { key, text: port.to_string() });
            }
        }
        found.push((name, host, port));
    }
    Ok(found)
}

fn address(item: &str) -> Option<(String, String, u16)> {
    let (name, rest) = item.trim().split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let legal =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    legal.then_some((name.to_uppercase(), host.to_owned(), port.parse().ok()?))
}

/// The pairs of the map. Their form was checked when the settings were read.
fn protocol_map(items: &[String]) -> Vec<(String, String)> {
    let pair = |item: &String| {
        let (name, protocol) = item.split_once(':')?;
        Some((name.trim().to_uppercase(), protocol.trim().to_uppercase()))
    };
    items.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ListenerConfig>, InvalidListener> {
        let (settings, _warnings) =
            Settings::parse("server.properties", text).unwrap_or_else(|e| panic!("{text}: {e}"));
        listeners(&settings)
    }

    #[test]
    fn a_combined_nodes_listeners_are_told_apart() {
        let found = read(
            "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n\
             advertised.listeners=PLAINTEXT://broker.example:19092\n",
        )
        .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].host.as_str(), found[0].port, found[0].is_controller),
            ("127.0.0.1", 9092, false)
        );
        assert_eq!(found[0].advertised, Some(("broker.example".to_owned(), 19092)));
        assert_eq!((found[1].host.as_str(), found[1].port, found[1].is_controller), ("", 9093, true));
    }

    #[test]
    fn an_ipv6_host_loses_its_brackets() {
        assert_eq!(read("listeners=PLAINTEXT://[::1]:9092").unwrap()[0].host, "::1");
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let cases = [
            ("listeners=PLAINTEXT:9092", "is not an address"),
            ("listeners=PLAINTEXT://:70000", "is not an address"),
            ("listeners=PLAINTEXT://:1,PLAINTEXT://:2", "there twice"),
            ("listeners=PLAINTEXT://:1,SSL://:1", "there twice"),
            ("listeners=PLAINTEXT://:1\nadvertised.listeners=SSL://a:1", "names SSL"),
            (
                "listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://0.0.0.0:1",
                "no address that clients",
            ),
            ("listeners=MINE://:1", "says nothing of MINE"),
            ("listeners=C://:1\ncontroller.listener.names=C", "nothing that clients"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
