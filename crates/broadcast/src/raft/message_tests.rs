//! Every message comes back as it was, and no bytes do harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::types::{Batch, Membership, Payload, StoredMembership, log_id};
use super::*;
use crate::quorum::VoterEndpoint;
use ottla_types::{BrokerId, DirectoryId};

fn any_key() -> impl Strategy<Value = VoterKey> {
    (0..i32::MAX, any::<[u8; 16]>())
        .prop_map(|(id, directory)| VoterKey { id: BrokerId(id), directory: DirectoryId(directory) })
}

fn any_log_id() -> impl Strategy<Value = LogId> {
    (0..1_u64 << 62, 0..1_u64 << 62).prop_map(|(term, index)| log_id(term, index))
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (0..1_u64 << 62, any_key(), any::<bool>()).prop_map(|(term, key, committed)| {
        if committed { Vote::new_committed(term, key) } else { Vote::new(term, key) }
    })
}

fn any_membership() -> impl Strategy<Value = Membership> {
    let endpoint = ("[a-zA-Z]{0,8}", "\\PC{0,8}", any::<u16>())
        .prop_map(|(listener, host, port)| VoterEndpoint { listener, host, port });
    let nodes = prop::collection::btree_map(any_key(), prop::collection::vec(endpoint, 0..3), 1..5);
    (nodes, 1..3_usize).prop_map(|(nodes, configs): (BTreeMap<_, _>, _)| {
        let voters: BTreeSet<VoterKey> = nodes.keys().take(3).copied().collect();
        Membership::new(vec![voters; configs], nodes).unwrap()
    })
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let record = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let batch = prop::collection::vec(record, 1..5).prop_map(|records| Batch(Arc::from(records)));
    prop_oneof![
        Just(Payload::Blank),
        batch.prop_map(Payload::Normal),
        any_membership().prop_map(Payload::Membership)
    ]
}

fn any_append() -> impl Strategy<Value = Request> {
    let entries = prop::collection::vec((0..3_u64, any_payload()), 0..5);
    let previous = prop::option::of((0..1_u64 << 60, 0..1_u64 << 60));
    (any_vote(), previous, entries, prop::option::of(any_log_id())).prop_map(
        |(vote, previous, payloads, leader_commit)| {
            let (mut term, mut next) = previous.map_or((0, 0), |(term, index)| (term, index + 1));
            let entry = |(rise, payload)| {
                term += rise;
                next += 1;
                Entry { log_id: log_id(term, next - 1), payload }
            };
            let entries = payloads.into_iter().map(entry).collect();
            let prev_log_id = previous.map(|(term, index)| log_id(term, index));
            Request::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
        },
    )
}

/// A sign of life is entries that are none.
fn any_heartbeat() -> impl Strategy<Value = Request> {
    (any_vote(), prop::option::of(any_log_id()), prop::option::of(any_log_id())).prop_map(
        |(vote, prev_log_id, leader_commit)| {
            Request::Heartbeat(AppendEntriesRequest { vote, prev_log_id, entries: Vec::new(), leader_commit })
        },
    )
}

fn any_request() -> impl Strategy<Value = Request> {
    let maybe = || prop::option::of(any_log_id());
    let vote = || {
        (any_vote(), maybe(), any::<bool>()).prop_map(|(mut vote, last, transfer)| {
            vote.committed = false;
            let mut request = VoteRequest::new(vote, last);
            request.leadership_transfer = transfer;
            request
        })
    };
    let transfer = (any_vote(), any_key(), maybe())
        .prop_map(|(vote, to, last)| Request::Transfer(TransferLeaderRequest::new(vote, to, last)));
    let meta = (maybe(), maybe(), any_membership()).prop_map(|(last, at, membership)| SnapshotMeta {
        last_log_id: last,
        last_membership: StoredMembership::new(at, membership),
    });
    let bytes = prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    let chunk = (any_vote(), meta, 0..1_u64 << 62, 0..1_u64 << 62, bytes, any::<u32>()).prop_map(
        |(vote, meta, total, position, bytes, crc)| {
            Request::Snapshot(SnapshotChunk { vote, meta, total, position, bytes, crc })
        },
    );
    prop_oneof![
        any_append(),
        vote().prop_map(Request::Vote),
        vote().prop_map(Request::PreVote),
        transfer,
        chunk,
        Just(Request::Barrier),
        any_heartbeat()
    ]
}

fn show(request: &Request) -> String {
    match request {
        Request::Append(append) => format!("{append:?} {:?}", payloads(append)),
        Request::Heartbeat(beat) => format!("sign of life {beat:?}"),
        Request::Vote(vote) => format!("vote {vote:?}"),
        Request::PreVote(vote) => format!("pre-vote {vote:?}"),
        Request::Transfer(transfer) => format!("{transfer:?}"),
        Request::Snapshot(chunk) => format!("{chunk:?}"),
        Request::Barrier => "barrier".to_owned(),
    }
}

/// What Debug does not show.
fn payloads(append: &AppendEntriesRequest<Types>) -> Vec<Vec<Bytes>> {
    let records = |entry: &Entry| match &entry.payload {
        Payload::Normal(batch) => batch.0.to_vec(),
        _ => Vec::new(),
    };
    append.entries.iter().map(records).collect()
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    (any_key(), any_key(), any_request()).prop_map(|(from, to, request)| Envelope { from, to, request })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_request_comes_back_as_it_was_sent(envelope in any_envelope()) {
        let read = Envelope::decode(envelope.encode()).unwrap();
        prop_assert_eq!((read.from, read.to), (envelope.from, envelope.to));
        prop_assert_eq!(show(&read.request), show(&envelope.request));
    }

    #[test]
    fn a_request_that_was_cut_or_has_more_behind_it_is_none(envelope in any_envelope(), cut in any::<prop::sample::Index>()) {
        let whole = envelope.encode();
        prop_assert!(Envelope::decode(whole.slice(..cut.index(whole.len()))).is_err());
        let longer = Bytes::from([&whole[..], &[0]].concat());
        prop_assert!(Envelope::decode(longer).is_err());
    }

    #[test]
    fn garbled_bytes_are_an_error_or_a_request_and_never_a_panic(
        envelope in any_envelope(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = envelope.encode().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // Whatever it is taken for can be said again.
        if let Ok(read) = Envelope::decode(bytes.into()) {
            let again = Envelope::decode(read.encode()).unwrap();
            prop_assert_eq!(show(&again.request), show(&read.request));
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let bytes = Bytes::from(bytes);
        let _ = Envelope::decode(bytes.clone());
        let _ = decode_response(bytes.clone(), decode_appended);
        let _ = decode_response(bytes.clone(), decode_voted);
        let _ = decode_response(bytes.clone(), decode_transferred);
        let _ = decode_response(bytes.clone(), decode_chunk_answer);
        let _ = decode_response(bytes, decode_barrier);
    }

    #[test]
    fn answers_come_back_as_they_were_given(vote in any_vote(), one in prop::option::of(any_log_id()), two in prop::option::of(any_log_id()), granted in any::<bool>()) {
        let appended = [
            AppendAnswer::Said(AppendEntriesResponse::Success),
            AppendAnswer::Said(AppendEntriesResponse::PartialSuccess(one)),
            AppendAnswer::Said(AppendEntriesResponse::Conflict),
            AppendAnswer::Said(AppendEntriesResponse::HigherVote(vote)),
            AppendAnswer::Working,
        ];
        for answer in appended {
            let bytes = encode_response(Ok(answer.clone()), encode_appended);
            prop_assert_eq!(decode_response(bytes, decode_appended), Ok(Ok(answer)));
        }
        let voted = VoteResponse::new(vote, one, granted);
        let bytes = encode_response(Ok(voted.clone()), encode_voted);
        prop_assert_eq!(decode_response(bytes, decode_voted), Ok(Ok(voted)));
        let transferred = [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: vote, actual: vote }),
            Err(TransferLeaderError::LogNotFlushed { expected: one, actual: two }),
        ];
        for answer in transferred {
            let bytes = encode_response(Ok(answer.clone()), encode_transferred);
            prop_assert_eq!(decode_response(bytes, decode_transferred), Ok(Ok(answer)));
        }
        for answer in [ChunkAnswer::Next(7), ChunkAnswer::Done(vote)] {
            let bytes = encode_response(Ok(answer.clone()), encode_chunk_answer);
            prop_assert_eq!(decode_response(bytes, decode_chunk_answer), Ok(Ok(answer)));
        }
        let failures = [
            Failure::WrongNode(vote.leader_id.voted_for),
            Failure::NotLeader,
            Failure::Stopped("why".to_owned()),
            Failure::Malformed(String::new()),
        ];
        for failure in failures {
            let bytes = encode_response::<Offset>(Err(failure.clone()), encode_barrier);
            prop_assert_eq!(decode_response(bytes, decode_barrier), Ok(Err(failure)));
        }
    }
}

fn sample() -> VoterKey {
    VoterKey { id: BrokerId(3), directory: DirectoryId([3; 16]) }
}

#[test]
fn a_count_that_the_bytes_cannot_hold_costs_nothing() {
    // A request of entries whose count says four billion.
    let mut encoder = Encoder::new();
    encoder.u8(1).u8(1).key(&sample()).key(&sample());
    encoder.vote(&Vote::new_committed(1, sample())).maybe_log_id(None).maybe_log_id(None).u32(u32::MAX);
    assert_eq!(Envelope::decode(encoder.finish()).err(), Some(DecodeError::Short));
}

#[test]
fn entries_with_a_gap_or_a_term_that_falls_are_refused() {
    let entry = |term, index| Entry { log_id: log_id(term, index), payload: Payload::Blank };
    let cases = [
        (None, vec![entry(1, 1)]),
        (Some(log_id(1, 4)), vec![entry(1, 5), entry(1, 7)]),
        (Some(log_id(1, 4)), vec![entry(1, 4)]),
        (Some(log_id(3, 4)), vec![entry(2, 5)]),
    ];
    for (prev_log_id, entries) in cases {
        let vote = Vote::new_committed(3, sample());
        let append = AppendEntriesRequest { vote, prev_log_id, entries, leader_commit: None };
        let envelope = Envelope { from: sample(), to: sample(), request: Request::Append(append) };
        let error = Envelope::decode(envelope.encode()).err();
        assert_eq!(error, Some(DecodeError::Invalid("order of entries")));
    }
}

#[test]
fn a_sign_of_life_with_entries_is_refused() {
    let entry = Entry { log_id: log_id(1, 0), payload: Payload::Blank };
    let vote = Vote::new_committed(3, sample());
    let beat = AppendEntriesRequest { vote, prev_log_id: None, entries: vec![entry], leader_commit: None };
    let envelope = Envelope { from: sample(), to: sample(), request: Request::Heartbeat(beat) };
    let error = Envelope::decode(envelope.encode()).err();
    assert_eq!(error, Some(DecodeError::Invalid("sign of life: it has entries")));
}

#[test]
fn voters_that_are_not_among_the_nodes_are_refused() {
    // One set of voters with one key, and no nodes.
    let mut encoder = Encoder::new();
    encoder.u32(1).u32(1).key(&sample()).u32(0);
    let read = Decoder::all(encoder.finish(), Decoder::membership);
    assert_eq!(read.err(), Some(DecodeError::Invalid("list of voters")));
}
