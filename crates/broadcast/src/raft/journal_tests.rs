//! What the journal holds after it is opened again.

use super::super::types::{Batch, Payload, log_id};
use super::*;
use ottla_env::disk::RealDisk;
use ottla_types::{BrokerId, DirectoryId};

use crate::quorum::VoterKey;

fn entry(term: u64, index: u64, text: &str) -> Entry {
    let records = vec![Bytes::copy_from_slice(text.as_bytes())];
    Entry { log_id: log_id(term, index), payload: Payload::Normal(Batch(Arc::from(records))) }
}

async fn open(dir: &Path) -> Journal {
    let (journal, warnings) = Journal::open(Arc::new(RealDisk::new()), dir).await.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    journal
}

async fn append(journal: &mut Journal, entries: Vec<Entry>) {
    journal.append(entries, IOFlushed::noop()).await.unwrap();
}

async fn reopen(journal: Journal, dir: &Path) -> Journal {
    journal.close().await;
    open(dir).await
}

async fn all(journal: &mut Journal) -> Vec<Entry> {
    journal.try_get_log_entries(..).await.unwrap()
}

#[tokio::test]
async fn entries_are_read_before_they_are_durable_and_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).await;
    assert!(journal.is_empty());
    let entries = vec![entry(1, 0, "a"), entry(1, 1, "b"), entry(2, 2, "c")];
    append(&mut journal, entries.clone()).await;
    assert_eq!(all(&mut journal).await, entries);
    let mut journal = reopen(journal, dir.path()).await;
    assert_eq!(all(&mut journal).await, entries);
    assert_eq!(journal.try_get_log_entries(1..2).await.unwrap(), entries[1..2]);
    assert_eq!(journal.get_log_state().await.unwrap().last_log_id, Some(log_id(2, 2)));
}

#[tokio::test]
async fn what_was_truncated_stays_so_and_what_took_its_place_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).await;
    append(&mut journal, vec![entry(1, 0, "a"), entry(1, 1, "old"), entry(1, 2, "older")]).await;
    journal.truncate_after(Some(log_id(1, 0))).await.unwrap();
    append(&mut journal, vec![entry(3, 1, "new")]).await;
    let expected = vec![entry(1, 0, "a"), entry(3, 1, "new")];
    assert_eq!(all(&mut journal).await, expected);
    let mut journal = reopen(journal, dir.path()).await;
    assert_eq!(all(&mut journal).await, expected);
    journal.truncate_after(None).await.unwrap();
    let mut journal = reopen(journal, dir.path()).await;
    assert_eq!(all(&mut journal).await, []);
}

#[tokio::test]
async fn a_purge_is_kept_and_frees_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).await;
    let large = "x".repeat(1024 * 1024);
    append(&mut journal, (0..8).map(|index| entry(1, index, &large)).collect()).await;
    let used = |dir: &Path| {
        let files = std::fs::read_dir(dir.join(JOURNAL_DIR)).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    journal.purge(log_id(1, 5)).await.unwrap();
    journal.settle().await;
    assert!(used(dir.path()) < 3 * 1024 * 1024, "{} bytes", used(dir.path()));
    append(&mut journal, vec![entry(1, 8, "after")]).await;
    let mut journal = reopen(journal, dir.path()).await;
    let state = journal.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 5)), Some(log_id(1, 8))));
    assert_eq!(all(&mut journal).await.iter().map(|e| e.log_id.index).collect::<Vec<_>>(), [6, 7, 8]);
    // Beyond the end: a snapshot took the place of all there was.
    journal.purge(log_id(4, 20)).await.unwrap();
    append(&mut journal, vec![entry(4, 21, "next")]).await;
    let mut journal = reopen(journal, dir.path()).await;
    assert_eq!(all(&mut journal).await, [entry(4, 21, "next")]);
}

#[tokio::test]
async fn a_vote_is_durable_when_it_is_answered_and_not_before_what_was_appended() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).await;
    assert_eq!(journal.read_vote().await.unwrap(), None);
    let key = VoterKey { id: BrokerId(2), directory: DirectoryId([7; 16]) };
    // Of the fourth term it is told by whom it voted for, and of the seventh by another one that was elected.
    let other = VoterKey { id: BrokerId(3), ..key };
    let saved = [
        (Vote::new(4, key), Vote::new(4, key)),
        (Vote::new_committed(4, key), Vote::new(4, key)),
        (Vote::new_committed(7, other), Vote::new_committed(7, other)),
        (Vote::new(9, key), Vote::new(9, key)),
        (Vote::new_committed(9, key), Vote::new(9, key)),
    ];
    for (vote, on_disk) in saved {
        journal.save_vote(&vote).await.unwrap();
        assert_eq!(*journal.vote().borrow(), Some(vote));
        // Whatever this process still holds, another one reads it.
        assert_eq!(read_vote(&RealDisk::new(), dir.path()).await.unwrap(), Some(on_disk));
    }
    let journal = reopen(journal, dir.path()).await;
    assert_eq!(*journal.vote().borrow(), Some(Vote::new(9, key)));
    assert!(!journal.is_empty());
}

#[tokio::test]
async fn a_message_to_a_peer_is_bounded_in_bytes_and_holds_one_entry_at_least() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).await;
    let large = "x".repeat(2 * MESSAGE_BYTES);
    append(&mut journal, vec![entry(1, 0, &large), entry(1, 1, "small"), entry(1, 2, "small")]).await;
    let indexes = |entries: Vec<Entry>| entries.iter().map(|e| e.log_id.index).collect::<Vec<_>>();
    assert_eq!(indexes(journal.limited_get_log_entries(0, 3).await.unwrap()), [0]);
    assert_eq!(indexes(journal.limited_get_log_entries(1, 3).await.unwrap()), [1, 2]);
}

#[test]
fn an_entry_out_of_order_is_not_replayed() {
    let mut state = State::default();
    state.replay(Item::Entry(entry(1, 0, "a")), 1).unwrap();
    let error = state.replay(Item::Entry(entry(1, 2, "c")), 1).unwrap_err();
    assert_eq!(error, "it is entry 2, and 1 was expected");
}
