//! What becomes of changes that the metadata log does not take, and when snapshots are written.

use std::path::Path;

use ottla_broadcast::{MAX_BATCH_BYTES, Replayed};
use ottla_env::disk::RealDisk;
use ottla_metadata::record::{Config, ConfigResource};

use super::*;

async fn host(dir: &Path) -> (MetadataHost, usize) {
    let mut image = Image::default();
    let mut from_snapshot = 0;
    let mut replay = |replayed: Replayed<'_>| match replayed {
        Replayed::FromSnapshot { upto, record } => {
            from_snapshot += 1;
            image.load(upto, &Record::decode(record).unwrap()).map_err(|e| e.to_string())
        }
        Replayed::Committed { offset, record } => {
            image.replay(offset, &Record::decode(record).unwrap()).map_err(|e| e.to_string())
        }
    };
    let opened = MetadataLog::open(Arc::new(RealDisk::new()), dir, &mut replay).await.unwrap();
    let settings = Settings::default();
    let controller = Controller::new(image, Arc::new(settings.clone()));
    (MetadataHost::new(&settings, controller, opened.log, 0), from_snapshot)
}

/// Sets `log.retention.ms` by way of a decision, as a request does.
fn retention(controller: &mut Controller, value: &str) -> Decision<()> {
    use ottla_metadata::controller::configs::{Changes, ConfigOp};
    let ops = vec![("log.retention.ms".to_owned(), ConfigOp::Set(value.to_owned()))];
    let changes = [Changes { resource: ConfigResource::ClusterDefault, ops }];
    let Decision { records, answer, .. } = controller.incremental_alter_configs(&changes, false);
    assert!(answer.iter().all(Result::is_ok), "{answer:?}");
    Decision::whole(records, ())
}

fn nothing_is_left_over(deciding: &Deciding) {
    assert_eq!(deciding.controller.speculative(), deciding.controller.committed());
}

#[tokio::test]
async fn a_change_that_is_too_large_is_the_callers_fault_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (host, _) = host(dir.path()).await;
    let mut deciding = host.lock().await;
    let too_large = |controller: &mut Controller| {
        let Decision { mut records, answer, .. } = retention(controller, "1000");
        let value: Arc<str> = "x".repeat(30_000).into();
        let (resource, key) = (ConfigResource::ClusterDefault, Arc::from("some.key"));
        let filler = Record::Config(Config { resource, key, value: Some(value) });
        records.extend(std::iter::repeat_n(filler, MAX_BATCH_BYTES / 30_000 + 1));
        Decision::whole(records, answer)
    };
    let refused = deciding.change(too_large).await.err().unwrap();
    assert_eq!(refused.error, ErrorCode::PolicyViolation, "{}", refused.message);
    nothing_is_left_over(&deciding);
    assert_eq!(deciding.unsnapshotted_bytes, 0);
    deciding.change(|controller| retention(controller, "2000")).await.unwrap();
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_a_storage_error_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (host, _) = host(dir.path()).await;
    host.close().await;
    let mut deciding = host.lock().await;
    let refused = deciding.change(|controller| retention(controller, "1000")).await.err().unwrap();
    assert_eq!(refused.error, ErrorCode::KafkaStorageError, "{}", refused.message);
    nothing_is_left_over(&deciding);
}

#[tokio::test]
async fn a_snapshot_is_written_when_there_is_something_new_to_put_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = host(dir.path()).await;
    let mut deciding = first.lock().await;
    deciding.change(|controller| retention(controller, "1000")).await.unwrap();
    deciding.snapshot().await;
    assert_eq!(deciding.unsnapshotted_bytes, 0);
    drop(deciding);
    first.close().await;
    let (second, from_snapshot) = host(dir.path()).await;
    assert!(from_snapshot > 0);
    assert_eq!(second.image().as_ref(), first.lock().await.controller.committed());
}
