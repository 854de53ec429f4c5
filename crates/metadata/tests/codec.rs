//! Claims about the bytes of metadata records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "common/arbitrary.rs"]
#[allow(unreachable_pub)]
mod arbitrary;

use ottla_metadata::record::{
    BrokerFencing, Config, ConfigResource, DecodeError, Record, RemoveTopic, Topic,
};
use ottla_types::{BrokerEpoch, BrokerId, TopicId, TopicName};
use proptest::prelude::*;

/// Written down once: a log of this version must stay readable for ever.
#[test]
fn version_zero_has_these_bytes() {
    let topic = Record::Topic(Topic { name: TopicName::new("ab").unwrap(), id: TopicId([7; 16]) });
    assert_eq!(*topic.to_bytes(), [&[3, 0, 0, 2, b'a', b'b'][..], &[7; 16]].concat());
    let fencing =
        Record::BrokerFencing(BrokerFencing { id: BrokerId(1), epoch: BrokerEpoch(2), fenced: true });
    assert_eq!(*fencing.to_bytes(), [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1]);
    let config = Record::Config(Config {
        resource: ConfigResource::Broker(BrokerId(5)),
        key: "k".into(),
        value: Some("v".into()),
    });
    assert_eq!(*config.to_bytes(), [7, 0, 4, 0, 0, 0, 5, 0, 1, b'k', 1, 0, 0, 0, 1, b'v']);
    let unset =
        Record::Config(Config { resource: ConfigResource::ClusterDefault, key: "k".into(), value: None });
    assert_eq!(*unset.to_bytes(), [7, 0, 5, 0, 1, b'k', 0]);
}

#[test]
fn what_a_later_version_wrote_is_an_error_that_says_so() {
    let unknown_type = Record::decode(&[200, 0]).unwrap_err();
    assert_eq!(unknown_type, DecodeError::UnknownType(200));
    assert!(unknown_type.to_string().contains("later version of this program"));
    let mut bytes = Record::RemoveTopic(RemoveTopic { id: TopicId([1; 16]) }).to_bytes().to_vec();
    bytes[1] = 1;
    let unknown_version = Record::decode(&bytes).unwrap_err();
    assert_eq!(unknown_version, DecodeError::UnknownVersion { record: "RemoveTopic", version: 1, newest: 0 });
}

#[test]
fn errors_name_the_record_and_the_field() {
    assert_eq!(Record::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(
        Record::decode(&[6, 0, 1]).unwrap_err().to_string(),
        "metadata record RemoveTopic ends within its field id"
    );
    assert_eq!(
        Record::decode(&[3, 0, 0, 1, b'/']).unwrap_err(),
        DecodeError::Invalid { record: "Topic", field: "name" }
    );
    assert_eq!(
        Record::decode(&[&[6, 0][..], &[1; 17]].concat()).unwrap_err(),
        DecodeError::Trailing { record: "RemoveTopic", bytes: 1 }
    );
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused_before_anything_is_allocated() {
    // A Partition whose list of replicas claims four billion entries.
    let bytes = [&[4, 0][..], &[1; 16], &[0, 0, 0, 1], &[0xff; 4], &[0; 8]].concat();
    assert_eq!(
        Record::decode(&bytes),
        Err(DecodeError::Truncated { record: "Partition", field: "replicas" })
    );
    // A Config whose value claims as much.
    let bytes = [&[7, 0, 5, 0, 1, b'k', 1][..], &[0xff; 4], b"v"].concat();
    assert_eq!(Record::decode(&bytes), Err(DecodeError::Truncated { record: "Config", field: "value" }));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(record in arbitrary::record()) {
        prop_assert_eq!(Record::decode(&record.to_bytes()), Ok(record));
    }

    #[test]
    fn a_record_that_lost_its_end_is_never_read(record in arbitrary::record(), cut in any::<prop::sample::Index>()) {
        let bytes = record.to_bytes();
        prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..11u8) {
        let _ = Record::decode(&bytes);
        let _ = Record::decode(&[&[kind, 0], &bytes[..]].concat());
    }

    #[test]
    fn no_flipped_byte_makes_the_decoder_panic(
        record in arbitrary::record(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = record.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Record::decode(&bytes) {
            // The encoding is canonical: what is read is what those bytes say, and nothing else.
            prop_assert_eq!(&*other.to_bytes(), &bytes[..]);
        }
    }
}
