//! What the simulated disk keeps, loses and refuses.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::OpenMode;

use super::*;

const A: &str = "/d/a";
const B: &str = "/d/b";

fn path(path: &str) -> &Path {
    Path::new(path)
}

async fn write(disk: &SimDisk, name: &str, offset: u64, data: &[u8]) -> std::io::Result<()> {
    disk.open(path(name), OpenMode::Create).await?.write_at(offset, &[Bytes::copy_from_slice(data)]).await
}

async fn sync(disk: &SimDisk, name: &str) -> std::io::Result<()> {
    disk.open(path(name), OpenMode::Existing).await?.sync().await
}

/// A disk with a durable directory.
async fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(path("/d")).await.unwrap();
    disk.sync_dir(path("/")).await.unwrap();
    disk
}

/// What `name` may hold after a power loss, over many seeds; `None` where it is gone.
fn outcomes(disk: &SimDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    let content = |seed| disk.restart(Crash::PowerLoss, seed).contents(path(name)).into_values().next();
    (0..500).map(|seed| content(seed).map(|bytes| bytes.to_vec())).collect()
}

#[tokio::test]
async fn a_synced_file_with_a_synced_name_survives_as_it_is() {
    let disk = disk().await;
    write(&disk, A, 0, b"content").await.unwrap();
    sync(&disk, A).await.unwrap();
    disk.sync_dir(path("/d")).await.unwrap();
    assert_eq!(outcomes(&disk, A), [Some(b"content".to_vec())].into());
}

#[tokio::test]
async fn a_file_without_a_synced_name_may_be_gone_but_is_whole_where_it_is_not() {
    let disk = disk().await;
    write(&disk, A, 0, b"content").await.unwrap();
    sync(&disk, A).await.unwrap();
    assert_eq!(outcomes(&disk, A), [None, Some(b"content".to_vec())].into());
}

#[tokio::test]
async fn unsynced_bytes_are_kept_lost_or_torn_by_sectors() {
    let disk = disk().await;
    write(&disk, A, 0, &[1; 32]).await.unwrap();
    sync(&disk, A).await.unwrap();
    disk.sync_dir(path("/d")).await.unwrap();
    write(&disk, A, 0, &[2; 48]).await.unwrap();
    let outcomes: Vec<Vec<u8>> = outcomes(&disk, A).into_iter().flatten().collect();
    let has = |parts: &[(u8, usize)]| {
        let content: Vec<u8> = parts.iter().flat_map(|&(byte, len)| vec![byte; len]).collect();
        outcomes.contains(&content)
    };
    assert!(has(&[(1, 32)]) && has(&[(2, 48)]) && has(&[(1, 16), (2, 32)]) && has(&[(2, 16), (1, 16)]));
    assert!(has(&[(2, 32), (0, 16)]), "a length that is durable before its bytes");
    assert!(outcomes.iter().all(|content| [32, 48].contains(&content.len())));
}

#[tokio::test]
async fn truncated_bytes_may_come_back() {
    let disk = disk().await;
    write(&disk, A, 0, b"old").await.unwrap();
    sync(&disk, A).await.unwrap();
    disk.sync_dir(path("/d")).await.unwrap();
    disk.open(path(A), OpenMode::Existing).await.unwrap().set_len(0).await.unwrap();
    // Zeros: the page was cleared and written before the new length was.
    let expected = [b"old".to_vec(), Vec::new(), vec![0; 3]].map(Some);
    assert_eq!(outcomes(&disk, A), expected.into());
}

#[tokio::test]
async fn a_rename_is_done_or_not_done() {
    let disk = disk().await;
    for (name, content) in [(A, b"a"), (B, b"b")] {
        write(&disk, name, 0, content).await.unwrap();
        sync(&disk, name).await.unwrap();
    }
    disk.sync_dir(path("/d")).await.unwrap();
    disk.rename(path(A), path(B)).await.unwrap();
    let seen: BTreeSet<Vec<Bytes>> = (0..200)
        .map(|seed| disk.restart(Crash::PowerLoss, seed).contents(path("/d")).into_values().collect())
        .collect();
    assert_eq!(seen, [vec![Bytes::from("a"), Bytes::from("b")], vec![Bytes::from("a")]].into());
}

#[tokio::test]
async fn changes_of_a_directory_are_lost_independently() {
    let disk = disk().await;
    for name in ["/d/1", "/d/2", "/d/3"] {
        disk.open(path(name), OpenMode::CreateNew).await.unwrap();
    }
    let sets: BTreeSet<usize> = (0..500)
        .map(|seed| {
            let left = disk.restart(Crash::PowerLoss, seed).contents(path("/d"));
            (1..=3).filter(|n| left.contains_key(path(&format!("/d/{n}")))).map(|n| 1 << n).sum()
        })
        .collect();
    assert_eq!(sets.len(), 8);
}

#[tokio::test]
async fn a_kill_keeps_the_page_cache_and_drops_the_locks() {
    let disk = disk().await;
    write(&disk, A, 0, b"content").await.unwrap();
    let _lock = disk.lock(path("/d/.lock")).await.unwrap();
    assert_eq!(disk.lock(path("/d/.lock")).await.err().unwrap().kind(), ErrorKind::WouldBlock);
    let next = disk.restart(Crash::Kill, 3);
    assert_eq!(next.read(path(A)).await.unwrap(), "content");
    next.lock(path("/d/.lock")).await.unwrap();
    // It is not durable for that.
    assert!(outcomes(&next, A).contains(&None));
}

#[tokio::test]
async fn after_a_failed_sync_the_next_one_succeeds_though_bytes_were_lost() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        write(&disk, "/a", 0, b"first").await.unwrap();
        sync(&disk, "/a").await.unwrap();
        disk.sync_dir(path("/")).await.unwrap();
        write(&disk, "/a", 5, b"second").await.unwrap();
        disk.set_faults(Faults { sync_errors_per_mille: 1000, ..Faults::default() });
        sync(&disk, "/a").await.unwrap_err();
        disk.set_faults(Faults::default());
        write(&disk, "/a", 11, b"third").await.unwrap();
        sync(&disk, "/a").await.unwrap();
        assert_eq!(disk.read(path("/a")).await.unwrap(), "firstsecondthird", "the cache still has them");
        let left = disk.restart(Crash::PowerLoss, seed).read(path("/a")).await.unwrap();
        assert!(left.starts_with(b"first") && left.ends_with(b"third"));
        lost += usize::from(left != "firstsecondthird");
    }
    assert!((10..50).contains(&lost), "{lost}");
}

#[tokio::test]
async fn a_full_disk_takes_what_fits() {
    let disk = disk().await;
    disk.set_faults(Faults { capacity_bytes: Some(10), ..Faults::default() });
    write(&disk, A, 0, b"12345678").await.unwrap();
    let error = write(&disk, A, 4, b"abcdefgh").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.to_string().contains(A), "{error}");
    assert_eq!(disk.read(path(A)).await.unwrap(), "1234abcdef");
    assert_eq!(disk.space(path("/")).await.unwrap().usable_bytes, 0);
}

#[tokio::test]
async fn a_failed_write_may_have_written_a_part() {
    let lens: BTreeSet<usize> = {
        let mut lens = BTreeSet::new();
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.set_faults(Faults { write_errors_per_mille: 1000, ..Faults::default() });
            write(&disk, "/a", 0, b"12345").await.unwrap_err();
            lens.insert(disk.read(path("/a")).await.unwrap().len());
        }
        lens
    };
    assert_eq!(lens, (0..=5).collect());
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_takes_virtual_time() {
    let disk = disk().await;
    let seconds = Duration::from_secs;
    disk.set_faults(Faults { latency: Some(seconds(5)..seconds(6)), ..Faults::default() });
    let start = tokio::time::Instant::now();
    write(&disk, A, 0, b"x").await.unwrap();
    assert!((seconds(10)..seconds(12)).contains(&start.elapsed()));
}

/// Some changes, until the power is cut.
async fn work(disk: &SimDisk) -> std::io::Result<()> {
    disk.create_dir_all(path("/d")).await?;
    for i in 0..4 {
        write(disk, A, i * 20, &[i as u8; 20]).await?;
        write(disk, "/d/t", 0, &[i as u8]).await?;
        sync(disk, A).await?;
        disk.rename(path("/d/t"), path(B)).await?;
        disk.sync_dir(path("/d")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_crash_point_is_what_a_power_cut_at_that_change_leaves() {
    let whole = SimDisk::new(1);
    whole.collect_crash_points();
    work(&whole).await.unwrap();
    let points: Vec<CrashPoint> = whole.take_crash_points().into_iter().filter(|p| !p.mid_write).collect();
    assert_eq!(points.len() as u64, whole.mutations());
    for point in points {
        let cut = SimDisk::new(1);
        cut.cut_power_at(point.mutation);
        assert_eq!(work(&cut).await.is_ok(), point.mutation == whole.mutations());
        for seed in 0..5 {
            for crash in [Crash::Kill, Crash::PowerLoss] {
                let (here, there) = (point.restart(crash, seed), cut.restart(crash, seed));
                assert_eq!(here.contents(path("/")), there.contents(path("/")));
            }
        }
    }
}

#[tokio::test]
async fn a_kill_within_a_write_leaves_a_part_of_it() {
    let disk = disk().await;
    disk.collect_crash_points();
    write(&disk, A, 0, b"content").await.unwrap();
    let points = disk.take_crash_points();
    let middle = points.iter().find(|point| point.mid_write).unwrap();
    let left = middle.restart(Crash::Kill, 0).read(path(A)).await.unwrap();
    assert!(!left.is_empty() && left.len() < 7 && b"content".starts_with(&left), "{left:?}");
    assert_eq!(disk.read(path(A)).await.unwrap(), "content");
}

#[tokio::test]
async fn the_trace_tells_runs_apart() {
    let run = async |seed, data: &'static [u8]| {
        let disk = SimDisk::new(seed);
        work(&disk).await.unwrap();
        write(&disk, A, 0, data).await.unwrap();
        disk.trace_hash()
    };
    assert_eq!(run(1, b"x").await, run(1, b"x").await);
    assert_ne!(run(1, b"x").await, run(1, b"y").await);
}

#[tokio::test]
async fn a_flipped_bit_is_there_for_good() {
    let disk = disk().await;
    write(&disk, A, 0, b"\0\0").await.unwrap();
    sync(&disk, A).await.unwrap();
    disk.sync_dir(path("/d")).await.unwrap();
    disk.flip(path(A), 9);
    assert_eq!(outcomes(&disk, A), [Some(vec![0, 2])].into());
}

#[tokio::test]
async fn names_behave_as_on_a_real_disk() {
    let disk = disk().await;
    assert_eq!(disk.open(path(A), OpenMode::Existing).await.err().unwrap().kind(), ErrorKind::NotFound);
    write(&disk, A, 0, b"a").await.unwrap();
    let exists = disk.open(path(A), OpenMode::CreateNew).await.err().unwrap();
    assert_eq!(exists.kind(), ErrorKind::AlreadyExists);
    let open = disk.open(path(A), OpenMode::Existing).await.unwrap();
    disk.remove_file(path(A)).await.unwrap();
    assert_eq!(open.read_at(0, 10).await.unwrap(), "a", "an open file outlives its name");
    assert_eq!(disk.remove_file(path(A)).await.unwrap_err().kind(), ErrorKind::NotFound);
    write(&disk, B, 0, b"b").await.unwrap();
    let names: Vec<_> =
        disk.list(path("/d")).await.unwrap().into_iter().map(|e| (e.name, e.len_bytes)).collect();
    assert_eq!(names, [("b".to_owned(), 1)]);
    disk.remove_dir_all(path("/d")).await.unwrap();
    assert_eq!(disk.list(path("/d")).await.unwrap_err().kind(), ErrorKind::NotFound);
}
