//! What is told of leaders that may lack records: nothing after a kill, which leaves all that was written in the page cache,
//! and each of them after a loss of power.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
/// The same disk as in the tests of the log.
#[allow(dead_code, unreachable_pub)]
#[path = "../../log/tests/common/disk.rs"]
mod disk;
#[allow(unreachable_pub)]
#[path = "../../log/tests/common/lines.rs"]
mod lines;

use std::path::Path;
use std::time::Instant;

use common::{Client, PATIENCE};
use disk::FaultDisk;
use lines::Lines;
use ottla_broker::{Broker, StartError};
use ottla_types::config::Settings;

const LOUD: &str = "unclean election: the leader of";

/// Starts a broker over a directory. What the one before held is let go when its tasks are run next.
async fn start(disk: &FaultDisk, dir: &Path) -> Broker {
    let text = format!("node.id=1\nlog.dirs={}\nlisteners=PLAINTEXT://127.0.0.1:0\n", dir.display());
    let begin = Instant::now();
    loop {
        match Broker::start(disk.env(), Settings::parse("test.properties", &text).unwrap().0).await {
            Ok(broker) => return broker,
            Err(StartError::Logs(_) | StartError::Metadata(_)) if begin.elapsed() < PATIENCE => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn connect(broker: &Broker) -> Client {
    Client::open(broker.listeners()[0].1).await
}

#[tokio::test]
async fn a_kill_makes_no_noise_and_a_loss_of_power_names_each_leader_that_may_lack_records() {
    let (disk, dir) = (FaultDisk::new(), tempfile::tempdir().unwrap());
    disk.set_page_cache("boot=1");
    let broker = start(&disk, dir.path()).await;
    let mut client = connect(&broker).await;
    client.create_topic("t", 2, &[]).await;
    assert_eq!(client.produce("t", 0, &[1]).await, 0);
    drop(broker);

    let lines = Lines::capture();
    let told = |boot: &'static str, next: i64| {
        disk.set_page_cache(boot);
        let (lines, disk, dir) = (&lines, &disk, dir.path());
        async move {
            lines
                .of(async {
                    let broker = start(disk, dir).await;
                    // It leads both again.
                    let mut client = connect(&broker).await;
                    assert_eq!(client.produce("t", 0, &[1]).await, next);
                })
                .await
        }
    };
    for next in 1..3 {
        let lines = told("boot=1", next).await;
        assert!(!lines.contains(LOUD), "{lines}");
        assert!(lines.contains("the process before was killed"), "{lines}");
    }
    let lines = told("boot=2", 3).await;
    assert_eq!(lines.matches(LOUD).count(), 2, "{lines}");
    assert!(lines.contains("t-0") && lines.contains("t-1"), "{lines}");
    let lines = told("boot=2", 4).await;
    assert!(!lines.contains(LOUD), "{lines}");
}
