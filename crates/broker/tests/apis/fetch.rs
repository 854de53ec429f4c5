//! Fetch, in all its versions: what comes back, from where, and how much. Waiting is in `fetch_waiting`, sessions are in
//! `fetch_sessions`.

use bytes::Bytes;

use ottla_records::{BatchBuilder, Codec, Compression};
use ottla_types::ErrorCode;
use ottla_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchResponse, PartitionData, ReplicaState};
use ottla_wire::{Records, Uuid};

use crate::common::records::{batch, compressed, headers, sequenced, sized, text, values};
use crate::common::requests::{fetch_request, from_offset};
use crate::common::{Client, TestBroker, Topic, error};

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

fn bytes(partition: &PartitionData) -> Bytes {
    partition.records.clone().unwrap_or_default().into_bytes()
}

/// A produced batch as it is stored: with the offset that it got, and the leader epoch. Both lie outside the checksum.
fn stored(batch: &Bytes, base_offset: i64, leader_epoch: i32) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
    bytes.into()
}

/// Fetches partitions of one topic with these limits, from their start. Returns the records of each.
async fn fetch_up_to(
    client: &mut Client,
    topic: &Topic,
    max_bytes: i32,
    partition_max_bytes: &[i32],
) -> Vec<Bytes> {
    let partition = |(index, &partition_max_bytes): (usize, &i32)| FetchPartition {
        partition_max_bytes,
        ..from_offset(index.try_into().unwrap(), 0)
    };
    let partitions = partition_max_bytes.iter().enumerate().map(partition).collect();
    let request = FetchRequest { max_bytes, ..fetch_request(vec![topic.fetch(partitions)]) };
    let response = client.call(13, request).await;
    assert_eq!(response.responses.len(), 1);
    response.responses[0].partitions.iter().map(bytes).collect()
}

async fn delete_below(client: &mut Client, offset: i64) {
    let partition = DeleteRecordsPartition { offset, ..DeleteRecordsPartition::default() };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.call(2, request).await.topics[0].partitions[0].low_watermark, offset);
}

fn only(mut response: FetchResponse) -> PartitionData {
    assert_eq!((response.error_code, response.responses.len()), (0, 1));
    let mut topic = response.responses.remove(0);
    assert_eq!(topic.partitions.len(), 1);
    topic.partitions.remove(0)
}

#[tokio::test]
async fn every_version_gives_back_the_bytes_that_were_produced() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let mut batches = vec![sequenced(7, 0, 0, 3), batch(BatchBuilder::new(), &[5, -1, 4])];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        batches.push(compressed(Compression::new(codec), &["a", "b", "c"]));
    }
    let mut expected = Vec::new();
    for (nth, batch) in (0..).zip(&batches) {
        let answer = client.produce_to(13, 1, &topic, 0, batch.clone()).await;
        assert_eq!(answer.base_offset, 3 * nth);
        expected.extend_from_slice(&stored(batch, 3 * nth, 0));
    }
    for version in VERSIONS {
        let response = client.call(version, fetch_request(vec![topic.fetch(vec![from_offset(0, 0)])])).await;
        assert_eq!((response.throttle_time_ms, response.session_id), (0, 0));
        let named = (response.responses[0].topic.to_string(), response.responses[0].topic_id);
        let expected_name =
            if version >= 13 { (String::new(), topic.id) } else { ("t".to_owned(), Uuid::ZERO) };
        assert_eq!(named, expected_name, "version {version}");
        let partition = only(response);
        assert_eq!((partition.partition_index, error(partition.error_code)), (0, ErrorCode::None));
        assert_eq!((partition.high_watermark, partition.last_stable_offset), (18, 18));
        assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
        assert_eq!((&partition.aborted_transactions, partition.preferred_read_replica), (&None, -1));
        assert_eq!((partition.diverging_epoch.end_offset, partition.current_leader.leader_id), (-1, -1));
        assert_eq!(bytes(&partition), expected, "version {version}");
    }
    let records = client.fetch_from(18, &topic, 0).await.records.unwrap();
    let offsets: Vec<_> = headers(&records).iter().map(|header| header.base_offset.0).collect();
    assert_eq!(offsets, [0, 3, 6, 9, 12, 15], "and every checksum holds");
}

#[tokio::test]
async fn after_a_restart_the_same_bytes_come_back_and_new_ones_carry_the_new_epoch() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let one = text(&["a", "b"]);
    client.produce_to(13, 1, &topic, 0, one.clone()).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    client.produce_to(13, 1, &topic, 0, one.clone()).await;
    let records = client.fetch_from(18, &topic, 0).await.records.unwrap();
    let epoch = headers(&records)[1].leader_epoch.0;
    assert!(epoch > 0, "a start begins an epoch");
    let expected = [stored(&one, 0, 0), stored(&one, 2, epoch)].concat();
    assert_eq!(records.into_bytes(), expected);
}

#[tokio::test]
async fn an_offset_inside_a_batch_gives_the_whole_batch() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for values in [["a", "b", "c"], ["d", "e", "f"]] {
        client.produce_to(13, 1, &topic, 0, text(&values)).await;
    }
    for version in [4, 18] {
        for (offset, first) in [(0, 0), (1, 0), (2, 0), (3, 3), (5, 3)] {
            let records = client.fetch_from(version, &topic, offset).await.records.unwrap();
            assert_eq!(values(&records)[0].0, first, "from {offset}");
        }
    }
}

#[tokio::test]
async fn offsets_outside_the_log_are_out_of_range_and_its_end_is_not() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1, 2, 3, 4]).await;
    delete_below(&mut client, 2).await;
    for version in VERSIONS {
        for offset in [-1, 0, 1, 5, i64::MAX, i64::MIN] {
            let partition = client.fetch_from(version, &topic, offset).await;
            assert_eq!(error(partition.error_code), ErrorCode::OffsetOutOfRange, "{offset}");
            assert_eq!((partition.high_watermark, partition.last_stable_offset), (-1, -1));
            assert_eq!((partition.log_start_offset, bytes(&partition).len()), (-1, 0));
        }
        let end = client.fetch_from(version, &topic, 4).await;
        assert_eq!((error(end.error_code), end.high_watermark), (ErrorCode::None, 4));
        assert_eq!(end.log_start_offset, if version >= 5 { 2 } else { -1 });
        assert_eq!(end.records, Some(Records::new()), "no records, and not null");
        assert_eq!(client.fetch_from(version, &topic, 2).await.error_code, 0);
    }
}

#[tokio::test]
async fn topics_and_partitions_that_do_not_exist_are_unknown_and_keep_no_other_from_being_read() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1]).await;
    let unknown = Topic { name: "u".into(), id: Uuid([7; 16]) };
    let nameless = Topic { name: "".into(), id: Uuid::ZERO };
    for version in VERSIONS {
        let unknown_topic =
            if version >= 13 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let request = fetch_request(vec![
            unknown.fetch(vec![from_offset(0, 0)]),
            topic.fetch(vec![from_offset(1, 0), from_offset(0, 0), from_offset(-1, 0)]),
            nameless.fetch(vec![from_offset(0, 0)]),
        ]);
        let response = client.call(version, request).await;
        let told: Vec<Vec<_>> = response
            .responses
            .iter()
            .map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|p| (p.partition_index, error(p.error_code), bytes(p).len()))
                    .collect()
            })
            .collect();
        let no_partition = ErrorCode::UnknownTopicOrPartition;
        let [_, [_, (0, ErrorCode::None, size), _], _] =
            &told.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]
        else {
            panic!("version {version}: {told:?}")
        };
        assert!(*size > 0);
        assert_eq!(told[0], [(0, unknown_topic, 0)], "version {version}");
        assert_eq!((told[1][0], told[1][2]), ((1, no_partition, 0), (-1, no_partition, 0)));
        assert_eq!(told[2], [(0, unknown_topic, 0)]);
    }
}

#[tokio::test]
async fn a_reader_that_believes_in_another_epoch_is_told_so() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1]).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    client.produce("t", 0, &[2]).await;
    let epoch = headers(&client.fetch_from(13, &topic, 0).await.records.unwrap())[1].leader_epoch.0;
    for version in 9..=18 {
        for (current_leader_epoch, expected) in [
            (-1, ErrorCode::None),
            (epoch, ErrorCode::None),
            (epoch - 1, ErrorCode::FencedLeaderEpoch),
            (0, ErrorCode::FencedLeaderEpoch),
            (epoch + 1, ErrorCode::UnknownLeaderEpoch),
            (i32::MAX, ErrorCode::UnknownLeaderEpoch),
        ] {
            let partition = FetchPartition { current_leader_epoch, ..from_offset(0, 0) };
            let answer = only(client.call(version, fetch_request(vec![topic.fetch(vec![partition])])).await);
            assert_eq!(error(answer.error_code), expected, "{current_leader_epoch} in version {version}");
            assert_eq!(bytes(&answer).is_empty(), expected.is_error());
        }
    }
}

#[tokio::test]
async fn a_reader_whose_last_record_is_of_an_epoch_that_ended_before_it_is_told_where() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1, 2, 3]).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    client.produce("t", 0, &[4, 5]).await;
    let epoch = headers(&client.fetch_from(13, &topic, 0).await.records.unwrap())[1].leader_epoch.0;
    assert!(epoch > 0);
    let no_divergence = (ErrorCode::None, -1, -1);
    for version in 12..=18 {
        for (offset, last_fetched_epoch, expected) in [
            // Epoch 0 ended at offset 3: what the reader has beyond that is not in this log.
            (4, 0, (ErrorCode::None, 0, 3)),
            (3, 0, no_divergence),
            (1, 0, no_divergence),
            (5, epoch, no_divergence),
            (6, epoch, (ErrorCode::None, epoch, 5)),
            (4, -1, no_divergence),
            // No leader of this log had such an epoch.
            (4, epoch + 1, (ErrorCode::OffsetOutOfRange, -1, -1)),
        ] {
            let partition = FetchPartition { last_fetched_epoch, ..from_offset(0, offset) };
            let answer = only(client.call(version, fetch_request(vec![topic.fetch(vec![partition])])).await);
            let told = &answer.diverging_epoch;
            assert_eq!(
                (error(answer.error_code), told.epoch, told.end_offset),
                expected,
                "{offset} after epoch {last_fetched_epoch}"
            );
            if told.end_offset >= 0 {
                assert_eq!((bytes(&answer).len(), answer.high_watermark), (0, 5));
            }
        }
    }
}

#[tokio::test]
async fn below_the_start_of_the_log_no_epoch_is_compared() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1, 2, 3]).await;
    // Of an epoch without records nothing is left when the next begins.
    let broker = broker.restart().await.restart().await;
    let mut client = broker.connect().await;
    client.produce("t", 0, &[4, 5]).await;
    let fetch = |offset| {
        let partition = FetchPartition { last_fetched_epoch: 1, ..from_offset(0, offset) };
        fetch_request(vec![topic.fetch(vec![partition])])
    };
    assert_eq!(only(client.call(12, fetch(1)).await).diverging_epoch.end_offset, 3);
    delete_below(&mut client, 2).await;
    let answer = only(client.call(12, fetch(1)).await);
    assert_eq!(error(answer.error_code), ErrorCode::OffsetOutOfRange);
    assert_eq!(answer.diverging_epoch.end_offset, -1);
}

#[tokio::test]
async fn a_partition_gives_the_whole_batches_that_fit_its_limit() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[]).await;
    for partition in [0, 1] {
        for _ in 0..4 {
            client.produce_to(13, 1, &topic, partition, sized(1000)).await;
        }
    }
    for (limit, expected) in [(3999, 3000), (4000, 4000), (1000, 1000), (2500, 2000), (i32::MAX, 4000)] {
        let sizes: Vec<_> = fetch_up_to(&mut client, &topic, i32::MAX, &[limit, limit])
            .await
            .iter()
            .map(Bytes::len)
            .collect();
        assert_eq!(sizes, [expected, expected], "limit {limit}");
    }
}

#[tokio::test]
async fn the_first_batch_comes_whole_however_small_the_limits_and_only_the_first() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 3, &[]).await;
    for partition in [1, 2] {
        client.produce_to(13, 1, &topic, partition, sized(1000)).await;
        client.produce_to(13, 1, &topic, partition, sized(1000)).await;
    }
    let sizes = |records: Vec<Bytes>| records.iter().map(Bytes::len).collect::<Vec<_>>();
    for (max_bytes, limits, expected) in [
        (1 << 20, [10, 10, 10], [0, 1000, 0]),
        (1 << 20, [0, 0, 1500], [0, 1000, 1000]),
        (1 << 20, [-1, -1, -1], [0, 1000, 0]),
        (999, [5000, 5000, 5000], [0, 1000, 0]),
        (0, [5000, 5000, 5000], [0, 1000, 0]),
        (-1, [5000, 5000, 5000], [0, 1000, 0]),
        (2999, [5000, 5000, 5000], [0, 2000, 0]),
        (3000, [5000, 5000, 5000], [0, 2000, 1000]),
    ] {
        let records = fetch_up_to(&mut client, &topic, max_bytes, &limits).await;
        assert_eq!(sizes(records), expected, "max_bytes {max_bytes}, partitions {limits:?}");
    }
}

#[tokio::test]
async fn the_brokers_limit_holds_whatever_the_client_asks_for() {
    let broker = TestBroker::start_with("fetch.max.bytes=2500\n").await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for _ in 0..4 {
        client.produce_to(13, 1, &topic, 0, sized(1000)).await;
    }
    assert_eq!(fetch_up_to(&mut client, &topic, i32::MAX, &[i32::MAX]).await[0].len(), 2000);
}

#[tokio::test]
async fn reading_on_crosses_segments_without_a_gap() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("segment.bytes", "1048576")]).await;
    for _ in 0..5 {
        client.produce_to(13, 1, &topic, 0, sized(500_000)).await;
    }
    let (mut offset, mut fetches) = (0, 0);
    while offset < 5 {
        let partition = FetchPartition { partition_max_bytes: 1 << 30, ..from_offset(0, offset) };
        let request =
            FetchRequest { max_bytes: 1 << 30, ..fetch_request(vec![topic.fetch(vec![partition])]) };
        let found = headers(&only(client.call(13, request).await).records.unwrap());
        assert_eq!(found[0].base_offset.0, offset);
        offset = found.last().unwrap().next_offset().0;
        fetches += 1;
    }
    assert_eq!((offset, fetches), (5, 3), "two batches to a segment, and a segment to a fetch");
}

#[tokio::test]
async fn readers_of_committed_records_read_to_the_last_stable_offset_and_hear_of_no_aborted_transaction() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1, 2]).await;
    for version in VERSIONS {
        let request =
            FetchRequest { isolation_level: 1, ..fetch_request(vec![topic.fetch(vec![from_offset(0, 0)])]) };
        let partition = only(client.call(version, request).await);
        assert_eq!(
            (partition.last_stable_offset, partition.aborted_transactions.clone()),
            (2, Some(Vec::new()))
        );
        assert!(!bytes(&partition).is_empty());
    }
}

#[tokio::test]
async fn nobody_follows_a_partition_that_has_one_replica() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let fetch = || fetch_request(vec![topic.fetch(vec![from_offset(0, 0)])]);
    let old = FetchRequest { replica_id: 2, ..fetch() };
    let replica_state = ReplicaState { replica_id: 2, replica_epoch: 1, ..ReplicaState::default() };
    let new = FetchRequest { replica_state, ..fetch() };
    for (version, request) in [(4, old.clone()), (14, old), (15, new.clone()), (18, new)] {
        let partition = only(client.call(version, request).await);
        assert_eq!(error(partition.error_code), ErrorCode::NotLeaderOrFollower, "version {version}");
    }
}

#[tokio::test]
async fn a_request_without_topics_is_answered_at_once_without_topics() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let request = FetchRequest { max_wait_ms: i32::MAX, ..fetch_request(Vec::new()) };
        let response = client.call(version, request).await;
        assert_eq!((response.error_code, response.session_id, response.responses.len()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_damaged_batch_is_told_as_a_corrupt_message_and_what_surrounds_it_is_served() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for value in ["a", "b", "c"] {
        client.produce_batch("t", 0, text(&[value])).await;
    }
    let home = broker.stop().await;
    let path = home.path().join("data/t-0/00000000000000000000.log");
    let mut log = std::fs::read(&path).unwrap();
    let last_of_second = log.len() / 3 * 2 - 1;
    log[last_of_second] ^= 1;
    std::fs::write(&path, log).unwrap();

    let broker = home.start().await;
    let mut client = broker.connect().await;
    let topic = client.find_topic("t").await.unwrap();
    for version in VERSIONS {
        for (offset, expected) in [(0, ErrorCode::None), (1, ErrorCode::CorruptMessage), (2, ErrorCode::None)]
        {
            let partition = client.fetch_from(version, &topic, offset).await;
            assert_eq!(error(partition.error_code), expected, "version {version}, offset {offset}");
            let expected: &[i64] = if offset == 1 { &[] } else { &[offset] };
            let offsets: Vec<i64> = headers(&partition.records.unwrap_or_default())
                .iter()
                .map(|header| header.base_offset.0)
                .collect();
            assert_eq!(offsets, expected, "version {version}, offset {offset}");
        }
    }
    broker.stop().await;
}
