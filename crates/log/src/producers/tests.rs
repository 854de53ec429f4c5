//! The rules for producers, each as a claim.

use ottla_records::Attributes;
use ottla_types::{LeaderEpoch, TopicName};

use super::*;

fn partition() -> TopicPartition {
    TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 }
}

/// A batch of producer 7.
fn batch(epoch: i16, sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(base_offset),
        length: 100,
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: count - 1,
        base_timestamp_ms: 1000,
        max_timestamp_ms: 1000 + base_offset,
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        records_count: count,
    }
}

/// Appends batches one after another, from offset 0 on.
fn after(batches: &[(i16, i32, i32)]) -> Producers {
    let mut producers = Producers::default();
    let mut offset = 0;
    for &(epoch, sequence, count) in batches {
        let header = batch(epoch, sequence, count, offset);
        assert_eq!(producers.check(&header, &partition()).unwrap(), Verdict::Append);
        producers.remember(&header, 0);
        offset += i64::from(count);
    }
    producers
}

fn check(producers: &Producers, epoch: i16, sequence: i32, count: i32) -> Result<Verdict> {
    producers.check(&batch(epoch, sequence, count, 0), &partition())
}

#[test]
fn the_last_five_batches_are_known_as_duplicates_with_their_offsets() {
    let producers = after(&[(0, 0, 10), (0, 10, 5), (0, 15, 1), (0, 16, 1), (0, 17, 1), (0, 18, 2)]);
    let Verdict::Duplicate(found) = check(&producers, 0, 10, 5).unwrap() else { panic!() };
    assert_eq!((found.first_offset(), found.last_offset, found.timestamp_ms), (Offset(10), Offset(14), 1010));
    assert!(matches!(check(&producers, 0, 18, 2), Ok(Verdict::Duplicate(_))));
    // The sixth back is forgotten, and so out of order.
    assert!(matches!(check(&producers, 0, 0, 10), Err(Error::OutOfOrderSequence { expected: 20, .. })));
    // Another size is another batch.
    assert!(matches!(check(&producers, 0, 18, 1), Err(Error::OutOfOrderSequence { .. })));
}

#[test]
fn a_gap_is_refused_and_the_next_number_accepted() {
    let producers = after(&[(0, 0, 10)]);
    let error = check(&producers, 0, 11, 1).unwrap_err();
    assert_eq!(error.code(), ottla_types::ErrorCode::OutOfOrderSequenceNumber);
    assert!(
        error.to_string().contains("t-0: producer 7 sent sequence 11 in epoch 0, and 10 was expected"),
        "{error}"
    );
    assert_eq!(check(&producers, 0, 10, 1).unwrap(), Verdict::Append);
}

#[test]
fn sequence_numbers_wrap_to_zero_after_the_largest() {
    let producers = after(&[(0, i32::MAX - 1, 2)]);
    assert_eq!(check(&producers, 0, 0, 1).unwrap(), Verdict::Append);
    // And inside of a batch: 2147483646, 2147483647, 0, 1.
    let producers = after(&[(0, i32::MAX - 1, 4)]);
    assert_eq!(check(&producers, 0, 2, 1).unwrap(), Verdict::Append);
    let Verdict::Duplicate(found) = check(&producers, 0, i32::MAX - 1, 4).unwrap() else { panic!() };
    assert_eq!(found.first_offset(), Offset(0));
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    assert_eq!(check(&Producers::default(), 3, 500, 1).unwrap(), Verdict::Append);
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let producers = after(&[(1, 0, 3)]);
    assert!(matches!(check(&producers, 2, 3, 1), Err(Error::OutOfOrderSequence { expected: 0, .. })));
    let producers = after(&[(1, 0, 3), (2, 0, 1)]);
    // Not even a batch that would have been a duplicate: it is of a fenced producer.
    let error = check(&producers, 1, 0, 3).unwrap_err();
    assert!(matches!(error, Error::InvalidProducerEpoch { current: ProducerEpoch(2), .. }), "{error}");
    assert_eq!(error.code(), ottla_types::ErrorCode::InvalidProducerEpoch);
}

#[test]
fn plain_batches_are_not_checked() {
    let mut header = batch(0, NO_SEQUENCE, 1, 0);
    header.producer_id = ProducerId::NONE;
    let mut producers = after(&[(0, 0, 1)]);
    let before = producers.clone();
    assert_eq!(producers.check(&header, &partition()).unwrap(), Verdict::Append);
    producers.remember(&header, 0);
    assert_eq!(producers, before);
}

#[test]
fn a_transaction_is_open_until_its_marker() {
    let mut producers = Producers::default();
    let mut header = batch(0, 0, 2, 40);
    header.attributes = Attributes::default().with_transactional(true);
    producers.remember(&header, 0);
    assert_eq!(producers.first_unstable_offset(), Some(Offset(40)));
    assert!(matches!(check(&producers, 0, 2, 1), Err(Error::InvalidTxnState { since: Offset(40), .. })));
    assert_eq!(producers.expire(i64::MAX, 1), 0, "an open transaction does not expire");

    let mut marker = batch(1, NO_SEQUENCE, 1, 42);
    marker.attributes = Attributes::default().with_transactional(true).with_control(true);
    producers.remember_marker(&marker, TxnMarker { coordinator_epoch: 9, timestamp_ms: 5000 }, 0);
    assert_eq!(producers.first_unstable_offset(), None);
    let (_, producer) = producers.iter().next().unwrap();
    assert_eq!(
        (producer.epoch, producer.coordinator_epoch, producer.last_sequence()),
        (ProducerEpoch(1), 9, -1)
    );
    assert_eq!(check(&producers, 1, 0, 1).unwrap(), Verdict::Append, "the marker raised the epoch");
}

#[test]
fn a_silent_producer_is_forgotten_by_the_brokers_clock_not_by_record_timestamps() {
    let mut producers = Producers::default();
    producers.remember(&batch(0, 0, 1, 0), 1_000_000);
    assert_eq!(producers.expire(1_000_999, 1000), 0);
    assert_eq!(producers.expire(1_001_000, 1000), 1);
    assert_eq!(check(&producers, 0, 77, 1).unwrap(), Verdict::Append);
}

#[test]
fn the_number_of_producers_is_bounded_and_those_that_were_silent_for_longest_go_first() {
    let mut producers = Producers::default();
    let mut remember = |id: i64, now_ms: i64| {
        producers.remember(&BatchHeader { producer_id: ProducerId(id), ..batch(0, 0, 1, now_ms) }, now_ms);
        producers.by_id.len()
    };
    // One that keeps writing among more and more that write once.
    let busy = 1_000_000;
    let mut most = 0;
    for id in 0..3 * MAX_PRODUCERS as i64 {
        most = most.max(remember(id, id));
        if id % 1000 == 0 {
            remember(busy, id);
        }
    }
    assert_eq!(most, MAX_PRODUCERS);
    let known = |id: i64| producers.by_id.contains_key(&ProducerId(id));
    assert!(known(3 * MAX_PRODUCERS as i64 - 1) && !known(0));
    assert!(known(busy));
}
