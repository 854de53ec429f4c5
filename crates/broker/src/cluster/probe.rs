//! Asking nodes who they are (QuorumProbe), by address: and what the machine of `founding` says, on the wire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_broadcast::founding::{
    Address, Answer, ClusterId, Founding, FoundingVoter, Known, Leader, Question,
};
use ottla_broadcast::quorum::{Voter, VoterEndpoint, VoterKey};
use ottla_client::{Connection, ConnectionOptions};
use ottla_env::Net;
use ottla_types::config::listeners::Voter as Listed;
use ottla_types::{BrokerId, DirectoryId, ErrorCode, LeadershipEpoch};
use ottla_wire::Uuid;
use ottla_wire::private::quorum_probe::{self as wire, QuorumProbeRequest, QuorumProbeResponse};

/// Asks nodes, whoever they are: connections are kept by address.
pub(crate) struct Prober {
    net: Arc<dyn Net>,
    options: ConnectionOptions,
    open: Mutex<BTreeMap<(String, u16), Connection>>,
}

impl Prober {
    pub(crate) fn new(net: &Arc<dyn Net>, node_id: BrokerId, patience: Duration) -> Self {
        let options = ConnectionOptions {
            client_id: format!("node-{node_id}"),
            connect_timeout: patience,
            ..ConnectionOptions::default()
        };
        Self { net: Arc::clone(net), options, open: Mutex::default() }
    }

    /// Asks who is at an address, and waits for the answer at most so long. Safe to cancel.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(crate) async fn ask(
        &self,
        at: &Address,
        question: &Question,
        patience: Duration,
    ) -> Result<Answer, String> {
        let asked = tokio::time::timeout(patience, self.call(at, question, patience)).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {} ms", patience.as_millis())))
    }

    async fn call(&self, at: &Address, question: &Question, patience: Duration) -> Result<Answer, String> {
        let place = (at.host.clone(), at.port);
        let known = self.open().get(&place).filter(|connection| !connection.is_closed()).cloned();
        let connection = match known {
            Some(connection) => connection,
            None => {
                let address = ottla_client::Address::new(&at.host, at.port);
                let opened = Connection::open(&*self.net, &address, &self.options).await;
                let connection = opened.map_err(|error| error.to_string())?;
                self.open().insert(place, connection.clone());
                connection
            }
        };
        let asking = connection.start(question_to_wire(question), patience);
        let answer = asking.map_err(|error| error.to_string())?.wait().await;
        answer_from_wire(answer.map_err(|error| error.to_string())?)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<(String, u16), Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is answered by a node that cannot say yet who it is.
pub(crate) fn later() -> QuorumProbeResponse {
    QuorumProbeResponse {
        error_code: ErrorCode::BrokerNotAvailable.code(),
        error_message: Some("it is about to keep who it is, or stops".into()),
        ..QuorumProbeResponse::default()
    }
}

fn question_to_wire(question: &Question) -> QuorumProbeRequest {
    QuorumProbeRequest {
        node_id: question.key.id.0,
        directory_id: Uuid(question.key.directory.0),
        listed: question.listed.iter().map(listed_to_wire).collect(),
        cluster_id: question.cluster_id.as_ref().map(|id| id.as_str().into()),
        ..QuorumProbeRequest::default()
    }
}

pub(crate) fn question_from_wire(request: QuorumProbeRequest) -> Question {
    Question {
        key: key(request.node_id, request.directory_id),
        listed: request.listed.iter().map(listed_from_wire).collect(),
        cluster_id: request.cluster_id.as_deref().map(ClusterId::new),
    }
}

pub(crate) fn answer_to_wire(answer: &Answer) -> QuorumProbeResponse {
    let Answer { key, listed, cluster_id, founding, known } = answer;
    QuorumProbeResponse {
        node_id: key.id.0,
        directory_id: Uuid(key.directory.0),
        listed: listed.iter().map(listed_to_wire).collect(),
        cluster_id: cluster_id.as_ref().map(|id| id.as_str().into()),
        founding: founding.as_ref().map(founding_to_wire),
        voters: known.voters.iter().map(voter_to_wire).collect(),
        leader_id: known.leader.map_or(-1, |leader| leader.id.0),
        leader_epoch: known.leader.map_or(-1, |leader| leader.epoch.0),
        ..QuorumProbeResponse::default()
    }
}

fn answer_from_wire(response: QuorumProbeResponse) -> Result<Answer, String> {
    if response.error_code != 0 {
        let why = response.error_message.as_deref().unwrap_or("it does not say why");
        return Err(format!("it answers with error {}: {why}", response.error_code));
    }
    let leader = Leader { id: BrokerId(response.leader_id), epoch: LeadershipEpoch(response.leader_epoch) };
    Ok(Answer {
        key: key(response.node_id, response.directory_id),
        listed: response.listed.iter().map(listed_from_wire).collect(),
        cluster_id: response.cluster_id.as_deref().map(ClusterId::new),
        founding: response.founding.as_ref().map(founding_from_wire),
        known: Known {
            leader: Some(leader).filter(|leader| leader.id.0 >= 0),
            voters: response.voters.iter().map(voter_from_wire).collect(),
        },
    })
}

fn key(id: i32, directory: Uuid) -> VoterKey {
    VoterKey { id: BrokerId(id), directory: DirectoryId(directory.0) }
}

fn listed_to_wire(voter: &Listed) -> wire::ListedVoter {
    let Listed { id, host, port } = voter;
    wire::ListedVoter { id: id.0, host: host.as_str().into(), port: *port, ..wire::ListedVoter::default() }
}

fn listed_from_wire(voter: &wire::ListedVoter) -> Listed {
    Listed { id: BrokerId(voter.id), host: voter.host.to_string(), port: voter.port }
}

fn founding_to_wire(founding: &Founding) -> wire::Founding {
    let voter = |voter: &FoundingVoter| wire::FoundingVoter {
        id: voter.listed.id.0,
        host: voter.listed.host.as_str().into(),
        port: voter.listed.port,
        directory_id: Uuid(voter.directory.0),
        ..wire::FoundingVoter::default()
    };
    wire::Founding {
        cluster_id: founding.cluster_id.as_str().into(),
        voters: founding.voters.iter().map(voter).collect(),
        ..wire::Founding::default()
    }
}

fn founding_from_wire(founding: &wire::Founding) -> Founding {
    let voter = |voter: &wire::FoundingVoter| FoundingVoter {
        listed: Listed { id: BrokerId(voter.id), host: voter.host.to_string(), port: voter.port },
        directory: DirectoryId(voter.directory_id.0),
    };
    Founding {
        cluster_id: ClusterId::new(&founding.cluster_id),
        voters: founding.voters.iter().map(voter).collect(),
    }
}

fn voter_to_wire(voter: &Voter) -> wire::Voter {
    let endpoint = |endpoint: &VoterEndpoint| wire::Endpoint {
        listener: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..wire::Endpoint::default()
    };
    wire::Voter {
        id: voter.key.id.0,
        directory_id: Uuid(voter.key.directory.0),
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        ..wire::Voter::default()
    }
}

fn voter_from_wire(voter: &wire::Voter) -> Voter {
    let endpoint = |endpoint: &wire::Endpoint| VoterEndpoint {
        listener: endpoint.listener.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    };
    Voter {
        key: key(voter.id, voter.directory_id),
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: i32) -> Listed {
        Listed { id: BrokerId(id), host: format!("host{id}"), port: 9093 }
    }

    #[test]
    fn what_is_asked_and_answered_comes_over_the_wire_as_it_was() {
        let founding = Founding {
            cluster_id: ClusterId::new("c"),
            voters: vec![FoundingVoter { listed: listed(1), directory: DirectoryId([1; 16]) }],
        };
        let question = Question {
            key: VoterKey { id: BrokerId(2), directory: DirectoryId([2; 16]) },
            listed: vec![listed(1), listed(2)],
            cluster_id: Some(ClusterId::new("c")),
        };
        assert_eq!(question_from_wire(question_to_wire(&question)), question);
        let known = Known {
            leader: Some(Leader { id: BrokerId(1), epoch: LeadershipEpoch(7) }),
            voters: founding.electorate("CONTROLLER"),
        };
        let Question { key, listed, cluster_id } = question;
        let whole = Answer { key, listed, cluster_id, founding: Some(founding), known };
        let empty = Answer { cluster_id: None, founding: None, known: Known::default(), ..whole.clone() };
        for answer in [whole, empty] {
            assert_eq!(answer_from_wire(answer_to_wire(&answer)), Ok(answer));
        }
        assert!(answer_from_wire(later()).unwrap_err().contains("about to keep"));
    }
}
