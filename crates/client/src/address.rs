//! Where a broker is reached: `host:port`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The port of Kafka's protocol, where an address names none.
pub const DEFAULT_PORT: u16 = 9092;

/// A host, by name or address, and a port. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: Arc<str>,
    port: u16,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address: expected host:port, and an IPv6 address in brackets")]
pub struct InvalidAddress(String);

impl Address {
    /// The address of a host and port.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host's name or address; IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Reads a list as in `bootstrap.servers`: addresses separated by commas, at least one.
    ///
    /// # Errors
    /// Names the first text that is no address.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidAddress> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(InvalidAddress(text.to_owned()));
        }
        parts.into_iter().map(str::parse).collect()
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(invalid)?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(invalid)?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| invalid()))?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(invalid());
        }
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print_back() {
        for text in ["localhost:9092", "127.0.0.1:1", "[::1]:9092"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("kafka-1".parse::<Address>().unwrap().to_string(), "kafka-1:9092");
        assert_eq!("[::1]".parse::<Address>().unwrap().port(), 9092);
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in
            ["", ":9092", "host:port", "host:70000", "::1", "[::1", "[::1]9092", "http://host:1", "a b"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(&format!("\"{text}\"")), "{error}");
        }
    }

    #[test]
    fn a_list_may_have_spaces_and_must_have_an_entry() {
        let list = Address::parse_list("a:1, b:2,").unwrap();
        assert_eq!(list, [Address::new("a", 1), Address::new("b", 2)]);
        assert!(Address::parse_list(" ,").is_err());
    }
}
