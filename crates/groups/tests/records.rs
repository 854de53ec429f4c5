//! The bytes of `__consumer_offsets`.
//!
//! The vectors were written by Kafka 4.3.1's own classes (`org.apache.kafka.coordinator.group.generated` and
//! `ConsumerProtocolSubscription`), keys by `MessageUtil.toCoordinatorTypePrefixedByteBuffer` and values by
//! `MessageUtil.toVersionPrefixedByteBuffer`, from the values that the tests name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use ottla_groups::RecordError;
use ottla_groups::record::{GroupValue, Key, MemberValue, OffsetValue, subscribed_topics};
use ottla_types::{LeaderEpoch, Offset, TopicId};
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const GROUP_VALUE_3: &str = "00030008636f6e73756d657200000003000572616e67650003612d310000018bcfe56800000000020003612d310002\
    6931000161000a2f3132372e302e302e31000493e00000afc800000002010200000001030003622d32ffff00016200092f31302e302e302e310000\
    0001000000020000000000000000";

fn offset() -> OffsetValue {
    OffsetValue {
        offset: Offset(123_456_789_012),
        leader_epoch: LeaderEpoch(5),
        metadata: "käse".into(),
        commit_timestamp_ms: 1_700_000_000_000,
        expire_timestamp_ms: None,
        topic_id: TopicId::ZERO,
    }
}

fn group() -> GroupValue<'static> {
    let a = MemberValue {
        member_id: "a-1",
        instance_id: Some("i1"),
        client_id: "a",
        client_host: "/127.0.0.1",
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: &[1, 2],
        assignment: &[3],
    };
    let b = MemberValue {
        member_id: "b-2",
        instance_id: None,
        client_id: "b",
        client_host: "/10.0.0.1",
        rebalance_timeout_ms: 1,
        session_timeout_ms: 2,
        subscription: &[],
        assignment: &[],
    };
    GroupValue {
        protocol_type: "consumer",
        generation: 3,
        protocol: Some("range"),
        leader: Some("a-1"),
        current_state_timestamp_ms: Some(1_700_000_000_000),
        members: vec![a, b],
    }
}

#[test]
fn keys_are_read_as_kafka_writes_them() {
    let offset = Key::Offset { group: "grüppe", topic: "orders", partition: 7 };
    let newer = bytes("000100076772c3bc70706500066f726465727300000007");
    assert_eq!(Key::decode(&newer), Ok(offset));
    let legacy = bytes("000000076772c3bc70706500066f726465727300000007");
    assert_eq!(Key::decode(&legacy), Ok(offset));
    assert_eq!(Key::decode(&bytes("000200076772c3bc707065")), Ok(Key::Group { group: "grüppe" }));
}

#[test]
fn keys_of_other_kinds_are_told_by_their_version_alone() {
    assert_eq!(Key::decode(&bytes("0003ffff")), Ok(Key::Unknown { version: 3 }));
    assert_eq!(Key::decode(&bytes("ffff")), Ok(Key::Unknown { version: -1 }));
}

#[test]
fn offsets_are_read_in_every_version() {
    let without_epoch = OffsetValue { leader_epoch: LeaderEpoch::NONE, ..offset() };
    let vectors = [
        ("00000000001cbe991a1400056bc3a473650000018bcfe56800", without_epoch.clone()),
        ("00020000001cbe991a1400056bc3a473650000018bcfe56800", without_epoch),
        ("00030000001cbe991a140000000500056bc3a473650000018bcfe56800", offset()),
        ("00040000001cbe991a1400000005066bc3a473650000018bcfe5680000", offset()),
    ];
    for (vector, value) in vectors {
        assert_eq!(OffsetValue::decode(&bytes(vector)), Ok(value), "{vector}");
    }
}

#[test]
fn offsets_are_written_in_version_4_as_kafka_writes_them() {
    assert_eq!(offset().encode(), bytes("00040000001cbe991a1400000005066bc3a473650000018bcfe5680000"));
}

#[test]
fn an_offset_with_a_topic_id_carries_it_as_a_tagged_field() {
    let id: TopicId = "AAECAwQFBgcICQoLDA0ODw".parse().unwrap();
    let value = OffsetValue {
        offset: Offset(42),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "".into(),
        commit_timestamp_ms: 1,
        expire_timestamp_ms: None,
        topic_id: id,
    };
    let vector =
        bytes("0004000000000000002affffffff010000000000000001010010000102030405060708090a0b0c0d0e0f");
    assert_eq!(value.encode(), vector);
    assert_eq!(OffsetValue::decode(&vector), Ok(value));
}

#[test]
fn an_offset_that_says_when_it_expires_is_written_in_version_1() {
    let value = OffsetValue {
        offset: Offset(42),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "m".into(),
        commit_timestamp_ms: 1,
        expire_timestamp_ms: Some(99),
        topic_id: TopicId::ZERO,
    };
    let vector = bytes("0001000000000000002a00016d00000000000000010000000000000063");
    assert_eq!(value.encode(), vector);
    assert_eq!(OffsetValue::decode(&vector), Ok(value));
}

#[test]
fn groups_are_read_in_every_version() {
    let mut oldest = group();
    oldest.current_state_timestamp_ms = None;
    oldest.members[0].instance_id = None;
    oldest.members[0].rebalance_timeout_ms = 45_000;
    oldest.members[1].rebalance_timeout_ms = 2;
    let mut first = group();
    first.current_state_timestamp_ms = None;
    first.members[0].instance_id = None;
    let mut second = group();
    second.members[0].instance_id = None;
    let vectors = [
        (
            "00000008636f6e73756d657200000003000572616e67650003612d31000000020003612d31000161000a2f3132372e302e302e31\
            0000afc800000002010200000001030003622d3200016200092f31302e302e302e31000000020000000000000000",
            oldest,
        ),
        (
            "00010008636f6e73756d657200000003000572616e67650003612d31000000020003612d31000161000a2f3132372e302e302e31\
            000493e00000afc800000002010200000001030003622d3200016200092f31302e302e302e310000000100000002000000000000\
            0000",
            first,
        ),
        (
            "00020008636f6e73756d657200000003000572616e67650003612d310000018bcfe56800000000020003612d31000161000a2f31\
            32372e302e302e31000493e00000afc800000002010200000001030003622d3200016200092f31302e302e302e31000000010000\
            00020000000000000000",
            second,
        ),
        (GROUP_VALUE_3, group()),
        (
            "000409636f6e73756d6572000000030672616e676504612d310000018bcfe568000304612d3103693102610b2f3132372e302e30\
            2e31000493e00000afc803010202030004622d320002620a2f31302e302e302e31000000010000000201010000",
            group(),
        ),
    ];
    for (vector, value) in vectors {
        assert_eq!(GroupValue::decode(&bytes(vector)), Ok(value), "{vector}");
    }
}

#[test]
fn groups_are_written_in_version_3_as_kafka_writes_them() {
    assert_eq!(group().encode(), bytes(GROUP_VALUE_3));
    let empty = GroupValue {
        protocol_type: "",
        generation: 0,
        protocol: None,
        leader: None,
        current_state_timestamp_ms: None,
        members: Vec::new(),
    };
    assert_eq!(empty.encode(), bytes("0003000000000000ffffffffffffffffffffffff00000000"));
}

#[test]
fn subscriptions_are_read_for_their_topics_whatever_their_version() {
    let wanted = ["a", "b"].map(Box::from).into();
    assert_eq!(subscribed_topics(&bytes("0000000000020001610001620000000109")), Ok(wanted));
    let wanted = ["a", "b"].map(Box::from).into();
    let third = "00030000000200016100016200000001090000000100016100000002000000000000000100000003000172";
    assert_eq!(subscribed_topics(&bytes(third)), Ok(wanted));
    let newer = third.replacen("0003", "0009", 1);
    assert!(subscribed_topics(&bytes(&newer)).is_ok(), "later versions begin like the first");
}

#[test]
fn values_of_versions_that_are_not_known_are_refused() {
    let newest = 4;
    for version in [5_i16, -1] {
        let mut vector = bytes(GROUP_VALUE_3);
        vector[..2].copy_from_slice(&version.to_be_bytes());
        let what = "value of a group";
        assert_eq!(GroupValue::decode(&vector), Err(RecordError::Version { what, version, newest }));
        vector.truncate(2);
        let what = "value of an offset";
        assert_eq!(OffsetValue::decode(&vector), Err(RecordError::Version { what, version, newest }));
    }
}

#[test]
fn a_count_of_members_that_cannot_be_there_is_refused() {
    let mut vector = bytes("0003000000000000ffffffffffffffffffffffff00000000");
    let end = vector.len();
    vector[end - 4..].copy_from_slice(&i32::MAX.to_be_bytes());
    let what = "value of a group";
    assert_eq!(GroupValue::decode(&vector), Err(RecordError::Short { what, field: "members" }));
}

#[test]
fn every_record_that_ends_early_is_refused() {
    let group = bytes(GROUP_VALUE_3);
    for end in 0..group.len() {
        assert!(GroupValue::decode(&group[..end]).is_err(), "{end}");
    }
    let offset = offset().encode();
    for end in 0..offset.len() {
        assert!(OffsetValue::decode(&offset[..end]).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), version in 0_u8..6) {
        let mut versioned = vec![0, version];
        versioned.extend_from_slice(&bytes);
        let _ = Key::decode(&versioned);
        let _ = OffsetValue::decode(&versioned);
        let _ = GroupValue::decode(&versioned);
        let _ = subscribed_topics(&versioned);
        let mut shard = ottla_groups::Shard::new(ottla_groups::GroupConfig::default());
        let _ = shard.load(&versioned, Some(&bytes), Offset(0));
        let _ = shard.load(&bytes, Some(&versioned), Offset(1));
    }

    #[test]
    fn offsets_come_back_as_they_were(
        offset in any::<i64>(), epoch in any::<i32>(), metadata in ".{0,40}", at in any::<i64>(),
        expires in prop::option::of(0..i64::MAX), id in any::<[u8; 16]>(),
    ) {
        let is_old = expires.is_some();
        let value = OffsetValue {
            offset: Offset(offset),
            // Version 1 has neither.
            leader_epoch: if is_old { LeaderEpoch::NONE } else { LeaderEpoch(epoch) },
            metadata: metadata.into(),
            commit_timestamp_ms: at,
            expire_timestamp_ms: expires,
            topic_id: if is_old { TopicId::ZERO } else { TopicId(id) },
        };
        prop_assert_eq!(OffsetValue::decode(&value.encode()), Ok(value));
    }
}
