//! What the real disk does, on a temporary directory.

use super::*;

fn disk() -> (tempfile::TempDir, RealDisk) {
    (tempfile::tempdir().unwrap(), RealDisk::new())
}

#[tokio::test]
async fn many_buffers_are_written_one_after_another_and_read_back() {
    let (dir, disk) = disk();
    let file = disk.open(&dir.path().join("f"), OpenMode::CreateNew).await.unwrap();
    // More than one call takes, with empty ones among them.
    let buffers: Vec<Bytes> = (0..3000u32).map(|i| Bytes::from(vec![i as u8; (i % 7) as usize])).collect();
    let whole: Vec<u8> = buffers.iter().flat_map(|b| b.iter().copied()).collect();
    file.write_at(5, &buffers).await.unwrap();
    assert_eq!(file.size().await.unwrap(), 5 + whole.len() as u64);
    assert_eq!(file.read_at(5, whole.len()).await.unwrap(), whole);
    assert_eq!(file.read_at(0, 5).await.unwrap(), vec![0; 5]);
}

#[tokio::test]
async fn a_read_is_short_only_where_the_file_ends() {
    let (dir, disk) = disk();
    let file = disk.open(&dir.path().join("f"), OpenMode::Create).await.unwrap();
    let content: Vec<u8> = (0..1_000_000u32).map(|i| (i / 3) as u8).collect();
    file.write_at(0, &[content.clone().into()]).await.unwrap();
    for (offset, len) in [(0, 1_000_000), (0, 2_000_000), (999_990, 100), (300_001, 400_000), (1_000_000, 10)]
    {
        let end = content.len().min(offset + len);
        assert_eq!(file.read_at(offset as u64, len).await.unwrap(), content[offset..end], "{offset} {len}");
    }
    file.set_len(10).await.unwrap();
    assert_eq!(file.read_at(0, 100).await.unwrap(), content[..10]);
    file.sync().await.unwrap();
    disk.sync_dir(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_second_lock_on_one_directory_would_block_until_the_first_is_dropped() {
    let (dir, disk) = disk();
    let path = dir.path().join(".lock");
    let held = disk.lock(&path).await.unwrap();
    let error = disk.lock(&path).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(error.to_string().contains(".lock"), "{error}");
    drop(held);
    disk.lock(&path).await.unwrap();
}

#[tokio::test]
async fn errors_name_the_path() {
    let (dir, disk) = disk();
    let path = dir.path().join("missing");
    for error in [
        disk.open(&path, OpenMode::Existing).await.err().unwrap(),
        disk.read(&path).await.err().unwrap(),
        disk.list(&path).await.err().unwrap(),
        disk.remove_file(&path).await.err().unwrap(),
        disk.remove_dir_all(&path).await.err().unwrap(),
        disk.sync_dir(&path).await.err().unwrap(),
        disk.rename(&path, dir.path()).await.err().unwrap(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    disk.open(&path, OpenMode::CreateNew).await.unwrap();
    let error = disk.open(&path, OpenMode::CreateNew).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn listings_are_sorted_and_know_lengths() {
    let (dir, disk) = disk();
    disk.create_dir_all(&dir.path().join("b/c")).await.unwrap();
    let file = disk.open(&dir.path().join("a"), OpenMode::CreateNew).await.unwrap();
    file.write_at(0, &[Bytes::from_static(b"four")]).await.unwrap();
    let entries = disk.list(dir.path()).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0], DirEntry { name: "a".into(), is_dir: false, len_bytes: 4 });
    assert_eq!((entries[1].name.as_str(), entries[1].is_dir), ("b", true));
    disk.remove_dir_all(&dir.path().join("b")).await.unwrap();
    assert_eq!(disk.list(dir.path()).await.unwrap().len(), 1);
    assert!(disk.space(dir.path()).await.unwrap().total_bytes > 0);
}

#[tokio::test]
async fn a_whole_file_system_is_synced_where_the_kernel_tells_of_errors() {
    let (dir, disk) = disk();
    let lock = disk.lock(&dir.path().join("lock")).await.unwrap();
    lock.sync_all().await.unwrap();
    for (release, tells) in
        [("4.19.0", false), ("5.7.19", false), ("5.8.0-63-generic", true), ("6.1", true), ("x", false)]
    {
        assert_eq!(super::reports_lost_writes(release), tells, "{release}");
    }
}

#[tokio::test]
async fn no_runtime_thread_waits_until_the_blocks_of_a_large_file_are_free() {
    let (dir, disk) = disk();
    let path = dir.path().join("f");
    let file = disk.open(&path, OpenMode::CreateNew).await.unwrap();
    file.set_len(2 * SMALL_CUT).await.unwrap();
    let cut = file.set_len(10);
    assert!(matches!(cut, DiskFuture::Pending(_)));
    cut.await.unwrap();
    assert_eq!(file.size().await.unwrap(), 10);
    assert!(matches!(file.set_len(0), DiskFuture::Ready(_)), "a small cut needs no other thread");
    let removed = disk.remove_file(&path);
    assert!(matches!(removed, DiskFuture::Pending(_)));
    removed.await.unwrap();
    assert!(disk.list(dir.path()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_is_told_with_file_and_place() {
    // A device that has no room, ever.
    let full = Path::new("/dev/full");
    let file = RealDisk.open(full, OpenMode::Existing).await.unwrap();
    let error = file.write_at(4096, &[Bytes::from_static(b"content")]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().starts_with("cannot write at byte 4096 of /dev/full: "), "{error}");
}

#[tokio::test]
async fn a_file_tells_when_it_was_written() {
    let (dir, disk) = disk();
    let path = dir.path().join("f");
    fs::write(&path, "x").unwrap();
    let then = UNIX_EPOCH + std::time::Duration::from_millis(1_234_567_890_123);
    fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    assert_eq!(disk.modified_ms(&path).await.unwrap(), Some(1_234_567_890_123));
    let missing = disk.modified_ms(&dir.path().join("missing")).await.unwrap_err();
    assert!(missing.kind() == io::ErrorKind::NotFound && missing.to_string().contains("missing"));
}

#[tokio::test]
async fn a_file_is_replaced_as_a_whole_whatever_an_attempt_before_has_left() {
    let (dir, disk) = disk();
    let path = dir.path().join("state");
    std::fs::write(dir.path().join("state.partial"), "left over, and longer than what is written").unwrap();
    for content in ["old", "and new", ""] {
        crate::disk::replace_file(&disk, &path, Bytes::from(content)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is there");
    let error = crate::disk::replace_file(&disk, &dir.path().join("no/such"), Bytes::new()).await;
    assert!(error.unwrap_err().to_string().contains("no/such.partial"));
}
