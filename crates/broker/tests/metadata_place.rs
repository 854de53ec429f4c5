//! The metadata log and the data belong together: a start that finds one without the other does not go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::TestBroker;
use ottla_broker::Broker;
use ottla_env::Env;
use ottla_types::config::Settings;

fn settings(log_dirs: &str) -> Settings {
    let text = format!("node.id=1\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs={log_dirs}\n");
    Settings::parse("test.properties", &text).unwrap().0
}

#[tokio::test]
async fn data_without_their_metadata_stop_the_start_and_are_left_alone() {
    let broker = TestBroker::start().await;
    broker.connect().await.create_topic("orders", 1, &[]).await;
    let data = broker.dir().join("data");
    let home = broker.stop().await;
    std::fs::rename(data.join("ottla-metadata"), home.path().join("elsewhere")).unwrap();
    let error = Broker::start(Env::real(), settings(data.to_str().unwrap())).await.err().unwrap();
    assert!(error.to_string().contains("orders-0"), "{error}");
    assert!(error.to_string().contains("metadata.log.dir"), "{error}");
    assert!(data.join("orders-0").is_dir(), "nothing was put aside");
}

#[tokio::test]
async fn the_order_of_log_dirs_means_nothing_once_the_broker_has_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let broker = Broker::start(Env::real(), settings(&format!("{},{}", path("a"), path("b")))).await.unwrap();
    let cluster = broker.cluster_id().to_owned();
    broker.stop().await.unwrap();
    let broker = Broker::start(Env::real(), settings(&format!("{},{}", path("b"), path("a")))).await.unwrap();
    assert_eq!(broker.cluster_id(), cluster);
    broker.stop().await.unwrap();
    assert!(!dir.path().join("b").join("ottla-metadata").exists());
}
