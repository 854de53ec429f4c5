//! How the client commands find their cluster, and what they say when something is wrong with it.

use std::time::Duration;

use clap::Args;
use ottla_client::{Address, Client, ClientOptions, Error};
use ottla_env::Env;
use ottla_types::ErrorCode;

/// The environment variable for `--bootstrap-server`.
pub(crate) const BOOTSTRAP_VARIABLE: &str = "OTTLA_BOOTSTRAP_SERVERS";

/// Which cluster to talk to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Cluster {
    /// Brokers to ask first, as host:port separated by commas
    #[arg(
        long,
        short = 'b',
        value_name = "HOST:PORT",
        value_delimiter = ',',
        env = BOOTSTRAP_VARIABLE,
        default_value = "127.0.0.1:9092"
    )]
    pub(crate) bootstrap_server: Vec<Address>,
}

impl Cluster {
    /// The options of a client of this cluster.
    pub(crate) fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::new(self.bootstrap_server.clone());
        options.connection.client_id = "ottla-cli".to_owned();
        // A topic that was created just now may take a moment to be known everywhere; a mistyped one should be told soon.
        options.unknown_topic_timeout = Duration::from_secs(1);
        options
    }

    /// Connects with [`Self::options`].
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        self.connect_with(self.options()).await
    }

    /// Connects with other options.
    pub(crate) async fn connect_with(&self, options: ClientOptions) -> anyhow::Result<Client> {
        Client::connect(Env::real(), options).await.map_err(explain)
    }
}

/// The error, with what can be done about it where that is known.
pub(crate) fn explain(error: Error) -> anyhow::Error {
    let advice = advice(&error);
    let error = anyhow::Error::new(error);
    match advice {
        Some(advice) => anyhow::anyhow!("{error:#}\n{advice}"),
        None => error,
    }
}

/// What can be done about an error.
pub(crate) fn advice(error: &Error) -> Option<String> {
    if let [first, ..] = error.refused()[..] {
        return Some(format!(
            "Nothing listens on {first}: start a broker there with `ottla serve`, or name another one with \
             --bootstrap-server or {BOOTSTRAP_VARIABLE}."
        ));
    }
    match error {
        Error::OffsetOutOfRange { .. } => {
            Some("Read from another place, such as --from earliest.".to_owned())
        }
        _ => match error.code()? {
            ErrorCode::UnknownTopicOrPartition => Some(
                "`ottla topic list` shows the topics there are; `ottla topic create` makes one.".to_owned(),
            ),
            ErrorCode::GroupIdNotFound => Some("`ottla group list` shows the groups there are.".to_owned()),
            ErrorCode::NonEmptyGroup | ErrorCode::GroupSubscribedToTopic => {
                Some("Stop its members first: `ottla group describe --members` shows them.".to_owned())
            }
            ErrorCode::TopicAlreadyExists => Some("`ottla topic describe` shows what it is like.".to_owned()),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_names_the_address_and_the_remedy() {
        let refused = Error::Connect {
            broker: Address::new("127.0.0.1", 9),
            kind: std::io::ErrorKind::ConnectionRefused,
            message: "cannot connect to 127.0.0.1:9: Connection refused".to_owned(),
        };
        let text = format!("{:#}", explain(Error::Unreachable(vec![refused])));
        assert!(
            text.contains("Nothing listens on 127.0.0.1:9: start a broker there with `ottla serve`"),
            "{text}"
        );
    }
}
