//! Who is at the other end of a connection, as far as that is proved: Kafka's principals.
//!
//! What is not here: how somebody proves who they are. No listener asks for that yet, so all who connect are
//! [`Principal::anonymous`]; others come only from nodes that know them, with the requests that they hand on (KIP-590).

use std::fmt;
use std::sync::Arc;

/// Somebody by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// `User`, or what an authorizer of the cluster makes of it.
    pub(crate) kind: Arc<str>,
    /// The name, unique among its kind.
    pub(crate) name: Arc<str>,
    /// Whether a delegation token proved it: such a principal may get no further tokens (KIP-48).
    pub(crate) has_token: bool,
}

impl Principal {
    /// Who has proved nothing.
    pub(crate) fn anonymous() -> Self {
        Self { kind: "User".into(), name: "ANONYMOUS".into(), has_token: false }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_as_access_lists_have_it() {
        assert_eq!(Principal::anonymous().to_string(), "User:ANONYMOUS");
    }
}
