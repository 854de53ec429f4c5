//! Requests of clients on their way to the active controller, in an Envelope (KIP-590): the asking broker's side.
//!
//! The answer comes back only when this broker has carried out what it tells of: a client that creates a topic here and then
//! asks here for its partitions finds them. Kafka does not promise that; whoever asks expects it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use ottla_broadcast::LeaderHint;
use ottla_env::process;
use ottla_metadata::controller::Refused;
use ottla_types::{BrokerId, ErrorCode, Offset};
use ottla_wire::Response;
use ottla_wire::envelope::{DefaultPrincipalData, EnvelopeRequest, EnvelopeResponse};

use super::channel::{Channel, PAUSE, unreachable};
use super::links::Links;
use crate::controller::{not_controller, refused_code};
use crate::server::{Peer, Principal};

/// How long an answer waits at most until this broker has carried out what it tells of. It is true without that.
const CARRY_OUT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a simulation is told when a request is handed on again: the first one may yet be carried out. See
/// [`process::observe`].
#[derive(Debug, Clone, Copy)]
pub struct HandedOnAgain;

/// The tries to have a request answered by whoever leads.
///
/// NOT_CONTROLLER is a reason for another one, in the Envelope as in the answer itself, as it is for Kafka's brokers
/// (`NodeToControllerChannelManagerImpl`): librdkafka's calls of administrators fail with it. What the first try asked for may have
/// been done then, and the next one may answer, say, TOPIC_ALREADY_EXISTS.
pub(crate) struct Tries {
    deadline: Instant,
    /// How long an election may take.
    election: Duration,
    /// Nobody is waited for longer than this. Whoever leads may take its time.
    patience: Instant,
}

impl Tries {
    fn new(election: Duration, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self { deadline, election, patience: deadline.min(Instant::now() + election) }
    }

    /// Waits a little before the next try, after one that found nobody who leads. Whether there is time for it.
    async fn again(&self) -> bool {
        if Instant::now() + PAUSE >= self.patience {
            return false;
        }
        process::observe(|| HandedOnAgain);
        sleep(PAUSE).await;
        true
    }

    /// The same after an answer by a node that led, and does no longer: the time for an election begins anew.
    pub(crate) async fn again_with_the_next_leader(&mut self) -> bool {
        self.patience = self.deadline.min(Instant::now() + self.election);
        self.again().await
    }
}

/// Whether whoever answered a request led no longer before it was done, so that another node is to be asked. DescribeQuorum
/// says it otherwise, which Kafka takes for the same.
pub(crate) fn is_for_the_next_leader(response: &Response, version: i16) -> bool {
    let said = match response {
        Response::DescribeQuorum(_) => [ErrorCode::NotController, ErrorCode::NotLeaderOrFollower],
        _ => [ErrorCode::NotController; 2],
    };
    let mut is_said = false;
    response.error_codes(version, &mut |code| is_said |= said.iter().any(|error| error.code() == code));
    is_said
}

impl Channel {
    /// The tries that a request has within a time.
    pub(crate) fn tries(&self, timeout: Duration) -> Tries {
        Tries::new(self.quorum.patience(), timeout)
    }

    /// Hands a client's request on, over changes of the leader, until there is an answer or the time is over. `None` where
    /// this node has come to lead: it answers itself. What is in the answer is not looked at.
    ///
    /// # Errors
    /// There was no active controller to be reached in time.
    pub(crate) async fn forward(
        &self,
        peer: &Peer,
        request: Bytes,
        tries: &Tries,
    ) -> Result<Option<Bytes>, Refused> {
        loop {
            match self.forward_once(peer, request.clone(), tries.deadline).await {
                Err(refused) if refused.error == ErrorCode::NotController => {
                    if !tries.again().await {
                        return Err(refused);
                    }
                }
                done => return done,
            }
        }
    }

    async fn forward_once(
        &self,
        peer: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Option<Bytes>, Refused> {
        let mut hint = self.controller.metadata.leader();
        let Some((links, leader)) = self.elsewhere()? else { return Ok(None) };
        let envelope = envelope(peer, request)?;
        // Whoever leads may take its time. Asking it twice could do twice what is asked for; so another is asked only when
        // this one seems to lead no longer.
        let asked = ask(links, leader, envelope, deadline);
        let response = tokio::select! {
            biased;
            response = asked => response?,
            () = leads_no_longer(&mut hint, leader, self.quorum.patience()) => return Err(not_controller()),
        };
        refused_code(response.error_code)?;
        if let Some(end) = response.metadata_end() {
            self.await_carried_out(end).await;
        }
        response.response_data.map(Some).ok_or_else(not_controller)
    }

    /// Waits until this broker has carried out everything below an offset. A broker that hangs so far behind answers even so:
    /// what was asked for is done, and to say otherwise would be wrong.
    async fn await_carried_out(&self, end: Offset) {
        let carried_out = self.controller.metadata.carried_out(end);
        match timeout(CARRY_OUT_TIMEOUT, carried_out).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => debug!("a change is made, and not seen here: {}", refused.message),
            Err(_) => debug!(%end, "a change is made, and this broker is too far behind to see it"),
        }
    }
}

async fn ask(
    links: &Links,
    leader: BrokerId,
    envelope: EnvelopeRequest,
    deadline: Instant,
) -> Result<EnvelopeResponse, Refused> {
    let left = deadline.saturating_duration_since(Instant::now());
    links.call(leader, envelope, left).await.map_err(unreachable)
}

/// Waits until another node than the one that was asked seems to lead, or none for longer than that should take.
async fn leads_no_longer(hint: &mut watch::Receiver<LeaderHint>, asked: BrokerId, patience: Duration) {
    loop {
        let leader = hint.borrow_and_update().leader;
        let changed = match leader {
            Some(leader) if leader != asked => return,
            Some(_) => hint.changed().await,
            None => match timeout(patience, hint.changed()).await {
                Ok(changed) => changed,
                Err(_) => return,
            },
        };
        if changed.is_err() {
            // The log is closed: what is under way ends with the broker.
            std::future::pending::<()>().await;
        }
    }
}

fn envelope(peer: &Peer, request: Bytes) -> Result<EnvelopeRequest, Refused> {
    let principal = DefaultPrincipalData {
        kind: (&*peer.principal.kind).into(),
        name: (&*peer.principal.name).into(),
        token_authenticated: peer.principal.has_token,
        ..DefaultPrincipalData::default()
    };
    let unwritable =
        |error: ottla_wire::Error| Refused { error: ErrorCode::InvalidRequest, message: error.to_string() };
    Ok(EnvelopeRequest {
        request_data: request,
        request_principal: Some(principal.to_bytes().map_err(unwritable)?),
        client_host_address: match peer.address.ip() {
            IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
        },
        ..EnvelopeRequest::default()
    })
}

/// The client whose request an Envelope carries, which `from` handed on. Its port is not told, so it is 0.
///
/// # Errors
/// PRINCIPAL_DESERIALIZATION_FAILURE or INVALID_REQUEST: the Envelope does not say who it is.
pub(crate) fn client_in(envelope: &EnvelopeRequest, from: &Peer) -> Result<Peer, ErrorCode> {
    let principal = envelope.request_principal.clone().ok_or(ErrorCode::PrincipalDeserializationFailure)?;
    let principal = DefaultPrincipalData::from_bytes(principal)
        .map_err(|_| ErrorCode::PrincipalDeserializationFailure)?;
    let octets = &*envelope.client_host_address;
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let ip = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    Ok(Peer {
        address: SocketAddr::new(ip.map_err(|_| ErrorCode::InvalidRequest)?, 0),
        listener: from.listener.clone(),
        principal: Principal {
            kind: (&*principal.kind).into(),
            name: (&*principal.name).into(),
            has_token: principal.token_authenticated,
        },
    })
}

#[cfg(test)]
mod tests {
    use ottla_wire::create_topics::{CreatableTopicResult, CreateTopicsResponse};
    use ottla_wire::describe_quorum::DescribeQuorumResponse;

    use super::*;

    fn peer(address: &str) -> Peer {
        let principal = Principal { kind: "User".into(), name: "alice".into(), has_token: true };
        Peer { address: address.parse().unwrap(), listener: "PLAINTEXT".into(), principal }
    }

    fn broker() -> Peer {
        Peer {
            address: "10.0.0.1:5000".parse().unwrap(),
            listener: "CONTROLLER".into(),
            principal: Principal::anonymous(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_asked_is_waited_for_until_another_leads_or_nobody_for_too_long() {
        let (asked, patience) = (BrokerId(1), Duration::from_secs(3));
        let hint = |leader: Option<i32>| LeaderHint { leader: leader.map(BrokerId), ..LeaderHint::default() };
        let (told, hints) = watch::channel(hint(Some(1)));
        let mut hints_of_one = hints.clone();
        let waiting = leads_no_longer(&mut hints_of_one, asked, patience);
        tokio::pin!(waiting);
        for leader in [Some(1), None, Some(1), None] {
            told.send_replace(hint(leader));
            let within = timeout(patience / 2, &mut waiting).await;
            assert!(within.is_err(), "{leader:?} is no reason yet");
        }
        assert!(timeout(patience, &mut waiting).await.is_ok(), "nobody has led for too long");
        told.send_replace(hint(Some(2)));
        let mut hints = hints;
        assert!(timeout(patience, leads_no_longer(&mut hints, asked, patience)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_an_election_begins_anew_when_a_leader_is_lost_and_ends_with_the_requests() {
        let (election, timeout) = (Duration::from_secs(3), Duration::from_secs(10));
        let began = Instant::now();
        let mut tries = Tries::new(election, timeout);
        while tries.again().await {}
        assert_eq!(began.elapsed(), election - PAUSE, "nobody led");
        for _ in 0..2 {
            let lost = Instant::now();
            assert!(tries.again_with_the_next_leader().await);
            while tries.again().await {}
            assert_eq!(lost.elapsed(), election - PAUSE, "somebody led, and nobody after it");
        }
        assert!(tries.again_with_the_next_leader().await);
        while tries.again_with_the_next_leader().await {}
        assert_eq!(began.elapsed(), timeout - PAUSE);
    }

    #[test]
    fn an_answer_is_for_the_next_leader_to_give_if_any_part_of_it_says_so() {
        let created = |codes: &[ErrorCode]| {
            let topic = |code: &ErrorCode| CreatableTopicResult {
                error_code: code.code(),
                ..CreatableTopicResult::default()
            };
            let topics = codes.iter().map(topic).collect();
            CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }.into()
        };
        let (not_controller, exists) = (ErrorCode::NotController, ErrorCode::TopicAlreadyExists);
        assert!(is_for_the_next_leader(&created(&[exists, not_controller]), 7));
        // What is in doubt for good, and what took too long, stays what it is.
        for stays in [ErrorCode::None, exists, ErrorCode::KafkaStorageError, ErrorCode::RequestTimedOut] {
            assert!(!is_for_the_next_leader(&created(&[stays]), 7), "{stays:?}");
        }
        let not_leader = ErrorCode::NotLeaderOrFollower;
        assert!(!is_for_the_next_leader(&created(&[not_leader]), 7));
        let described =
            DescribeQuorumResponse { error_code: not_leader.code(), ..DescribeQuorumResponse::default() };
        assert!(is_for_the_next_leader(&described.into(), 2));
    }

    #[test]
    fn an_envelope_says_who_asked_and_from_where() {
        for (address, ip) in [("192.0.2.7:4000", "192.0.2.7"), ("[2001:db8::7]:4000", "2001:db8::7")] {
            let asked = peer(address);
            let envelope = envelope(&asked, Bytes::from_static(b"request")).unwrap();
            assert_eq!(envelope.request_data, "request");
            let client = client_in(&envelope, &broker()).unwrap();
            assert_eq!(client.principal, asked.principal);
            assert_eq!(client.address.ip(), ip.parse::<IpAddr>().unwrap());
            assert_eq!(&*client.listener, "CONTROLLER", "it came through that one");
        }
    }

    #[test]
    fn an_envelope_that_does_not_say_who_asked_is_refused() {
        let good = envelope(&peer("192.0.2.7:4000"), Bytes::new()).unwrap();
        let refused = |envelope| client_in(&envelope, &broker()).unwrap_err();
        let nobody = EnvelopeRequest { request_principal: None, ..good.clone() };
        assert_eq!(refused(nobody), ErrorCode::PrincipalDeserializationFailure);
        let garbled = EnvelopeRequest { request_principal: Some(Bytes::from_static(b"?")), ..good.clone() };
        assert_eq!(refused(garbled), ErrorCode::PrincipalDeserializationFailure);
        for octets in [&b""[..], b"123", b"12345", b"12345678901234567"] {
            let nowhere = EnvelopeRequest { client_host_address: Bytes::from_static(octets), ..good.clone() };
            assert_eq!(refused(nowhere), ErrorCode::InvalidRequest, "{octets:?}");
        }
    }
}
