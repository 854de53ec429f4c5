//! Tests of the cache alone; that reads with it equal reads without it is in `tests/tail_cache.rs`.

use ottla_records::{BatchBuilder, NewRecord, Prepared};
use ottla_types::LeaderEpoch;

use super::*;

fn batch(base: i64, records: i64, len: usize) -> AssignedBatch {
    let mut builder = BatchBuilder::new();
    let value = vec![b'v'; len];
    for _ in 0..records {
        builder.push(&NewRecord { timestamp_ms: 1, key: None, value: Some(&value), headers: &[] }).unwrap();
    }
    Prepared::own(builder.build().unwrap(), 1 << 20).unwrap().assign(Offset(base), LeaderEpoch(0))
}

fn followed(budget: &Arc<Budget>) -> Arc<Recent> {
    let recent = Recent::new(budget);
    recent.note_reader_at_end();
    recent
}

fn wanted(from: i64, upper: i64, max_bytes: usize, at_least_one: bool) -> Wanted {
    Wanted { from: Offset(from), upper: Offset(upper), max_bytes, at_least_one }
}

fn bytes_of(batches: &[&AssignedBatch]) -> Vec<u8> {
    batches.iter().flat_map(|batch| [&*batch.head, &*batch.body].concat()).collect()
}

#[test]
fn whole_batches_are_found_from_the_one_that_contains_the_offset() {
    let recent = followed(&Budget::new(1 << 20));
    let (one, two, three) = (batch(5, 3, 10), batch(8, 1, 3000), batch(9, 2, 4000));
    [&one, &two, &three].into_iter().for_each(|batch| recent.push(batch));
    let size = |batch: &AssignedBatch| batch.header.size_bytes();

    let hit = recent.read(&wanted(6, 100, 1 << 20, false)).unwrap();
    assert_eq!(hit.chunks.concat(), bytes_of(&[&one, &two, &three]));
    assert_eq!((hit.size_bytes, hit.next_offset), (hit.chunks.concat().len(), Offset(11)));

    let hit = recent.read(&wanted(5, 100, size(&one) + size(&two), false)).unwrap();
    assert_eq!((hit.chunks.concat(), hit.next_offset), (bytes_of(&[&one, &two]), Offset(9)));

    let hit = recent.read(&wanted(8, 10, 1 << 20, true)).unwrap();
    assert_eq!((hit.chunks.concat(), hit.next_offset), (bytes_of(&[&two]), Offset(9)));

    let hit = recent.read(&wanted(8, 100, 10, true)).unwrap();
    assert_eq!(hit.chunks.concat(), bytes_of(&[&two]));
    assert_eq!(recent.read(&wanted(8, 100, 10, false)).unwrap().size_bytes, 0);
    assert_eq!(recent.read(&wanted(8, 9, 10, true)).unwrap().next_offset, Offset(9));
    assert_eq!(recent.read(&wanted(9, 10, 10, true)).unwrap().next_offset, Offset(9));

    assert!(recent.read(&wanted(4, 100, 1 << 20, true)).is_none());
    assert!(recent.read(&wanted(11, 100, 1 << 20, true)).is_none());
}

#[test]
fn small_batches_that_were_not_read_before_are_one_chunk() {
    let recent = followed(&Budget::new(1 << 20));
    (0..10).for_each(|base| recent.push(&batch(base, 1, 10)));
    assert_eq!(recent.read(&wanted(0, 100, 1 << 20, true)).unwrap().chunks.len(), 1);
}

#[test]
fn the_oldest_blocks_of_all_logs_go_first() {
    let budget = Budget::new(64 << 10);
    let (quiet, busy) = (followed(&budget), followed(&budget));
    quiet.push(&batch(0, 1, 10));
    for base in 0..40 {
        busy.push(&batch(base, 1, 8 << 10));
        assert!(budget.bytes() <= 64 << 10);
    }
    assert!(quiet.is_empty());
    assert!(busy.read(&wanted(0, 100, 1, true)).is_none());
    assert_eq!(busy.read(&wanted(39, 100, 1, true)).unwrap().next_offset, Offset(40));
    budget.set_limit(0);
    assert!(busy.is_empty());
    assert_eq!(budget.bytes(), 0);
}

#[test]
fn nothing_is_kept_for_a_log_that_nobody_reads_at_its_end() {
    let budget = Budget::new(64 << 20);
    let recent = Recent::new(&budget);
    recent.push(&batch(0, 1, 10));
    assert!(recent.is_empty());
    recent.note_reader_at_end();
    let large = 1 << 20;
    for base in 1..8 {
        recent.push(&batch(base, 1, large - 1000));
        assert!(!recent.is_empty());
    }
    recent.push(&batch(8, 1, large + 10_000));
    assert_eq!((recent.is_empty(), budget.bytes()), (true, 0));
    recent.push(&batch(9, 1, 10));
    assert!(recent.is_empty());
}

#[test]
fn a_batch_that_does_not_follow_the_last_one_starts_anew() {
    let budget = Budget::new(1 << 20);
    let recent = followed(&budget);
    recent.push(&batch(0, 1, 10));
    recent.push(&batch(5, 1, 10));
    assert!(recent.read(&wanted(0, 100, 1 << 20, true)).is_none());
    assert_eq!(recent.read(&wanted(5, 100, 1 << 20, true)).unwrap().next_offset, Offset(6));
}

#[test]
fn what_is_cleared_or_dropped_or_below_the_start_is_given_back() {
    let budget = Budget::new(1 << 20);
    let (one, two) = (followed(&budget), followed(&budget));
    (0..5).for_each(|base| one.push(&batch(base, 1, 5000)));
    two.push(&batch(0, 1, 10));
    let before = budget.bytes();
    one.forget_below(Offset(2));
    assert!(budget.bytes() < before);
    assert!(one.read(&wanted(0, 100, 1 << 20, true)).is_none());
    assert!(one.read(&wanted(2, 100, 1 << 20, true)).is_some());
    one.clear();
    drop(two);
    assert_eq!(budget.bytes(), 0);
}
