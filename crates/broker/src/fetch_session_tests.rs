//! Claims about fetch sessions (KIP-227).

use super::*;

fn key(partition: i32) -> PartitionKey {
    PartitionKey { topic: TopicKey::Id(TopicId([1; 16])), partition }
}

fn want(offset: i64) -> Want {
    Want {
        fetch_offset: Offset(offset),
        max_bytes: 1024,
        current_leader_epoch: LeaderEpoch::NONE,
        last_fetched_epoch: LeaderEpoch::NONE,
        log_start: Offset(-1),
    }
}

fn header(session_id: i32, epoch: i32) -> Header {
    Header { session_id, epoch, uses_topic_ids: true, is_follower: false }
}

fn quiet(watermark: i64) -> Answered {
    let told =
        Told { high_watermark: Offset(watermark), log_start: Offset(0), last_stable: Offset(watermark) };
    Answered { told, has_records: false, is_error: false }
}

const T0: Duration = Duration::ZERO;
const EVICTION: Duration = Duration::from_secs(120);

fn cache() -> SessionCache {
    SessionCache::new(2, EVICTION)
}

fn open(cache: &mut SessionCache, partitions: i32, now: Duration) -> i32 {
    let wants = (0..partitions).map(|p| (key(p), want(0))).collect();
    let random = 70 + u64::try_from(partitions).unwrap();
    cache.context(header(0, 0), wants, &[], now, || random).unwrap().session_id()
}

#[test]
fn a_full_fetch_opens_a_session_and_the_next_carries_epoch_one() {
    let mut cache = cache();
    let id = open(&mut cache, 2, T0);
    assert_eq!(id, 72);
    let context = cache.context(header(id, 1), vec![], &[], T0, || 0).unwrap();
    assert_eq!(context.wants().len(), 2);
    assert_eq!(context.session_id(), id);
}

#[test]
fn an_epoch_out_of_turn_is_refused() {
    let mut cache = cache();
    let id = open(&mut cache, 1, T0);
    let error = cache.context(header(id, 2), vec![], &[], T0, || 0).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidFetchSessionEpoch);
    assert!(cache.context(header(id, 1), vec![], &[], T0, || 0).is_ok());
    let error = cache.context(header(id, 1), vec![], &[], T0, || 0).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidFetchSessionEpoch);
}

#[test]
fn an_unknown_session_is_not_found() {
    let error = cache().context(header(5, 1), vec![], &[], T0, || 0).unwrap_err();
    assert_eq!(error, ErrorCode::FetchSessionIdNotFound);
}

#[test]
fn a_session_keeps_to_names_or_to_ids() {
    let mut cache = cache();
    let id = open(&mut cache, 1, T0);
    let by_name = Header { uses_topic_ids: false, ..header(id, 1) };
    let error = cache.context(by_name, vec![], &[], T0, || 0).unwrap_err();
    assert_eq!(error, ErrorCode::FetchSessionTopicIdError);
}

#[test]
fn an_incremental_answer_holds_only_news() {
    let mut cache = cache();
    let id = open(&mut cache, 1, T0);
    let context = cache.context(header(id, 1), vec![], &[], T0, || 0).unwrap();
    assert!(context.must_answer(&key(0), &quiet(5)));
    assert!(!context.must_answer(&key(0), &quiet(5)));
    assert!(context.must_answer(&key(0), &quiet(6)), "the watermark moved");
    assert!(context.must_answer(&key(0), &Answered { is_error: true, ..quiet(6) }));
    assert!(context.must_answer(&key(0), &quiet(6)), "the error is over");
}

#[test]
fn partitions_that_gave_records_go_to_the_end_of_the_line() {
    let mut cache = cache();
    let id = open(&mut cache, 3, T0);
    let context = cache.context(header(id, 1), vec![], &[], T0, || 0).unwrap();
    assert!(context.must_answer(&key(0), &Answered { has_records: true, ..quiet(1) }));
    let context = cache.context(header(id, 2), vec![], &[], T0, || 0).unwrap();
    let order: Vec<i32> = context.wants().iter().map(|(key, _)| key.partition).collect();
    assert_eq!(order, [1, 2, 0]);
}

#[test]
fn additions_changes_and_removals_are_remembered() {
    let mut cache = cache();
    let id = open(&mut cache, 2, T0);
    let changes = vec![(key(1), want(9)), (key(2), want(3))];
    cache.context(header(id, 1), changes, &[key(0)], T0, || 0).unwrap();
    let context = cache.context(header(id, 2), vec![], &[], T0, || 0).unwrap();
    assert_eq!(context.wants(), [(key(1), want(9)), (key(2), want(3))]);
}

#[test]
fn a_session_without_partitions_is_closed() {
    let mut cache = cache();
    let id = open(&mut cache, 1, T0);
    let context = cache.context(header(id, 1), vec![], &[key(0)], T0, || 0).unwrap();
    assert_eq!(context.session_id(), 0);
    assert!(cache.context(header(id, 2), vec![], &[], T0, || 0).is_err());
}

#[test]
fn the_final_epoch_closes_the_session_and_is_answered_without_one() {
    let mut cache = cache();
    let id = open(&mut cache, 1, T0);
    let context = cache.context(header(id, -1), vec![(key(0), want(0))], &[], T0, || 0).unwrap();
    assert_eq!((context.session_id(), context.wants().len()), (0, 1));
    assert!(cache.context(header(id, 1), vec![], &[], T0, || 0).is_err());
}

#[test]
fn a_full_cache_serves_without_a_session_until_one_is_old() {
    let mut cache = cache();
    let first = open(&mut cache, 1, T0);
    let second = open(&mut cache, 5, T0);
    assert_eq!(open(&mut cache, 3, EVICTION), 0, "both are young");
    // Both have lived long enough now; the second is in use and larger, so the first goes.
    let later = EVICTION + Duration::from_millis(1);
    cache.context(header(second, 1), vec![], &[], later, || 0).unwrap();
    assert_ne!(open(&mut cache, 3, later), 0);
    assert!(cache.context(header(first, 1), vec![], &[], later, || 0).is_err());
    assert!(cache.context(header(second, 2), vec![], &[], later, || 0).is_ok());
}

#[test]
fn a_follower_takes_the_place_of_the_smallest_consumer_and_gives_way_to_none() {
    let mut cache = cache();
    let (small, large) = (open(&mut cache, 1, T0), open(&mut cache, 5, T0));
    let followers = Header { is_follower: true, ..header(0, 0) };
    let follower = cache.context(followers, vec![(key(0), want(0))], &[], T0, || 90).unwrap().session_id();
    assert_ne!(follower, 0, "they are young, and have to go all the same");
    assert!(cache.context(header(small, 1), vec![], &[], T0, || 0).is_err());
    let later = EVICTION + Duration::from_millis(1);
    for id in [large, follower] {
        cache.context(header(id, 1), vec![], &[], later, || 0).unwrap();
    }
    assert_ne!(open(&mut cache, 9, later), 0);
    assert!(
        cache.context(header(large, 2), vec![], &[], later, || 0).is_err(),
        "it was old, and a consumer's"
    );
    assert!(cache.context(header(follower, 2), vec![], &[], later, || 0).is_ok());
}

#[test]
fn what_all_sessions_remember_is_bounded() {
    let mut cache = cache();
    assert_eq!(open(&mut cache, i32::try_from(MAX_ENTRIES).unwrap() + 1, T0), 0, "served without a session");
    let id = open(&mut cache, 2, T0);
    let many = (0..i32::try_from(MAX_ENTRIES).unwrap()).map(|p| (key(p), want(0))).collect();
    let error = cache.context(header(id, 1), many, &[], T0, || 0).unwrap_err();
    assert_eq!(error, ErrorCode::FetchSessionIdNotFound);
}
