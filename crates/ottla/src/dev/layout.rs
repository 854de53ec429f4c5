//! Which nodes a cluster of `ottla dev` has, and what each of them is told.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::child::Program;

/// The most nodes that vote: three survive the loss of one, and more would only make each change of metadata dearer.
pub(super) const MOST_VOTERS: u16 = 3;

/// From a node's port for clients to its port for the quorum. It does not depend on the number of brokers, so that more of
/// them do not change the list of voters.
const TO_CONTROLLER: u16 = 1000;

/// A cluster on this machine.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) brokers: u16,
    /// The port of broker 1; 0 lets the system choose.
    pub(super) port: u16,
    pub(super) data: PathBuf,
}

impl Layout {
    /// What runs each node, by its id.
    pub(super) fn nodes(
        &self,
        program: &Path,
        log_level: Option<&str>,
        overrides: &[String],
    ) -> anyhow::Result<Vec<(i32, Program)>> {
        if self.port == 0 && self.brokers > 1 {
            bail!("--port 0 is for one broker alone: several must know each other's ports");
        }
        let last_port = u32::from(self.port) + u32::from(TO_CONTROLLER) + u32::from(self.brokers);
        if last_port > u32::from(u16::MAX) {
            bail!("--port {} is too high: ports up to {last_port} are needed", self.port);
        }
        Ok((1..=self.brokers)
            .map(|node| {
                let mut arguments: Vec<OsString> =
                    vec!["serve".into(), "--no-hints".into(), "--until-stdin-ends".into()];
                if let Some(level) = log_level {
                    arguments.extend(["--log-level".into(), level.into()]);
                }
                // The last one counts: who starts the cluster has the last word.
                for setting in self.settings(node).iter().chain(overrides) {
                    arguments.extend(["--override".into(), setting.into()]);
                }
                (i32::from(node), Program { program: program.to_owned(), arguments })
            })
            .collect())
    }

    /// The settings of a node.
    fn settings(&self, node: u16) -> Vec<String> {
        let mut listeners = format!("listeners=PLAINTEXT://127.0.0.1:{}", self.client_port(node));
        let mut settings = vec![
            format!("node.id={node}"),
            format!("log.dirs={}", self.data.join(folder_of(node)).display()),
        ];
        if self.brokers > 1 {
            let address = |voter: u16| format!("127.0.0.1:{}", self.controller_port(voter));
            let listed =
                |one: &dyn Fn(u16) -> String| (1..=self.voters()).map(one).collect::<Vec<_>>().join(",");
            if node <= self.voters() {
                listeners.push_str(&format!(",CONTROLLER://{}", address(node)));
                settings.extend([
                    "process.roles=broker,controller".to_owned(),
                    format!(
                        "controller.quorum.voters={}",
                        listed(&|voter| format!("{voter}@{}", address(voter)))
                    ),
                ]);
            } else {
                settings.extend([
                    "process.roles=broker".to_owned(),
                    format!("controller.quorum.bootstrap.servers={}", listed(&address)),
                ]);
            }
            settings.extend([
                "controller.listener.names=CONTROLLER".to_owned(),
                "inter.broker.listener.name=PLAINTEXT".to_owned(),
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            ]);
        }
        settings.push(listeners);
        settings
    }

    /// Fails if a port is taken, before anything is started.
    pub(super) fn check_ports(&self) -> anyhow::Result<()> {
        for node in (1..=self.brokers).filter(|_| self.port > 0) {
            let controller = (self.brokers > 1 && node <= self.voters()).then(|| self.controller_port(node));
            for port in [Some(self.client_port(node)), controller].into_iter().flatten() {
                if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                    bail!(
                        "broker {node} cannot listen on 127.0.0.1:{port}: {error}. Is another broker running there? \
                         Choose other ports with --port"
                    );
                }
            }
        }
        Ok(())
    }

    fn voters(&self) -> u16 {
        self.brokers.min(MOST_VOTERS)
    }

    fn client_port(&self, node: u16) -> u16 {
        if self.port == 0 { 0 } else { self.port.saturating_add(node - 1) }
    }

    fn controller_port(&self, node: u16) -> u16 {
        self.client_port(node).saturating_add(TO_CONTROLLER)
    }
}

/// The name of a node's folder.
pub(super) fn folder_of(node: u16) -> String {
    format!("broker-{node}")
}

/// The node whose folder has this name.
pub(super) fn node_of(folder: &str) -> Option<u16> {
    folder.strip_prefix("broker-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(brokers: u16, node: usize) -> Vec<String> {
        let layout = Layout { brokers, port: 9092, data: PathBuf::from("/data") };
        let nodes = layout.nodes(Path::new("ottla"), None, &[]).unwrap();
        let arguments = nodes[node - 1].1.arguments.iter().map(|argument| argument.to_str().unwrap());
        arguments.filter(|argument| argument.contains('=')).map(str::to_owned).collect()
    }

    #[test]
    fn one_broker_is_told_no_more_than_who_and_where_it_is() {
        assert_eq!(
            settings(1, 1),
            ["node.id=1", "log.dirs=/data/broker-1", "listeners=PLAINTEXT://127.0.0.1:9092"]
        );
    }

    #[test]
    fn of_three_brokers_all_vote() {
        assert_eq!(
            settings(3, 2),
            [
                "node.id=2",
                "log.dirs=/data/broker-2",
                "process.roles=broker,controller",
                "controller.quorum.voters=1@127.0.0.1:10092,2@127.0.0.1:10093,3@127.0.0.1:10094",
                "controller.listener.names=CONTROLLER",
                "inter.broker.listener.name=PLAINTEXT",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "listeners=PLAINTEXT://127.0.0.1:9093,CONTROLLER://127.0.0.1:10093",
            ]
        );
    }

    #[test]
    fn the_fourth_and_those_after_it_are_brokers_alone_and_change_no_voter() {
        assert_eq!(
            settings(5, 4),
            [
                "node.id=4",
                "log.dirs=/data/broker-4",
                "process.roles=broker",
                "controller.quorum.bootstrap.servers=127.0.0.1:10092,127.0.0.1:10093,127.0.0.1:10094",
                "controller.listener.names=CONTROLLER",
                "inter.broker.listener.name=PLAINTEXT",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "listeners=PLAINTEXT://127.0.0.1:9095",
            ]
        );
        assert_eq!(settings(5, 1), settings(3, 1));
    }

    #[test]
    fn overrides_come_last() {
        let layout = Layout { brokers: 1, port: 0, data: PathBuf::from("/data") };
        let nodes = layout.nodes(Path::new("ottla"), Some("debug"), &["node.id=7".to_owned()]).unwrap();
        let arguments = &nodes[0].1.arguments;
        assert_eq!(arguments.last().unwrap(), "node.id=7");
        assert_eq!(arguments[..5], ["serve", "--no-hints", "--until-stdin-ends", "--log-level", "debug"]);
    }

    #[test]
    fn every_node_s_settings_are_valid() {
        use ottla_types::config::{Assignment, Origin, Settings};

        for (brokers, node) in [(1, 1), (2, 2), (3, 3), (5, 5)] {
            let assignments = settings(brokers, node).into_iter().map(|setting| {
                let (key, value) = setting.split_once('=').unwrap();
                Assignment { key: key.to_owned(), value: value.to_owned(), origin: Origin::Override }
            });
            let (_, warnings) = Settings::load(assignments).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named_before_anything_is_started() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let layout = Layout { brokers: 1, port, data: PathBuf::from("/data") };
        let error = layout.check_ports().unwrap_err().to_string();
        assert!(error.contains(&format!("broker 1 cannot listen on 127.0.0.1:{port}")), "{error}");
        assert!(error.contains("--port"), "{error}");
    }

    #[test]
    fn ports_that_do_not_exist_are_refused() {
        let nodes = |brokers, port| {
            let layout = Layout { brokers, port, data: PathBuf::from("/data") };
            layout.nodes(Path::new("ottla"), None, &[]).map(drop)
        };
        assert!(nodes(3, 64_600).unwrap_err().to_string().contains("too high"));
        assert!(nodes(2, 0).unwrap_err().to_string().contains("one broker alone"));
        assert!(nodes(1, 0).is_ok());
    }
}
