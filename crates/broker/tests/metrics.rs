//! What `/metrics` and `/health` tell of a broker that is at work, ill, or asked the wrong way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use common::requests::{fetch_request, from_offset};
use common::{Client, Home, PATIENCE, TestBroker, Topic, batch, produce_request};
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LISTENER: &str = "metrics.listener=127.0.0.1:0\n";

/// An answer of HTTP.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends bytes, and reads until the broker closes the connection.
async fn exchange(address: SocketAddr, sent: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(sent).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map(|_| text)
    };
    timeout(PATIENCE, exchange).await.expect("the end in time").unwrap()
}

async fn ask(broker: &TestBroker, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: broker\r\n\r\n");
    let text = exchange(broker.metrics_address(), request.as_bytes()).await;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// The samples of `/metrics`, and the text.
struct Scraped {
    samples: BTreeMap<String, f64>,
    text: String,
}

impl Scraped {
    /// The value of a sample, by its name and labels as they are written.
    fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("there is no {sample} in\n{}", self.text))
    }
}

async fn scrape(broker: &TestBroker) -> Scraped {
    let answer = ask(broker, "GET", "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    let samples = answer.body.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    let collected: BTreeMap<_, _> = samples.collect();
    let lines = answer.body.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(collected.len(), lines, "a sample comes twice");
    Scraped { samples: collected, text: answer.body }
}

#[tokio::test]
async fn a_scrape_after_traffic_shows_what_it_was() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut client = broker.connect().await;
    let orders = client.create_topic("orders", 2, &[]).await;
    let (three, one) = (batch(BatchBuilder::new(), &[1, 2, 3]), batch(BatchBuilder::new(), &[4]));
    let size = three.len() + one.len();
    let both = orders.all_records(vec![(0, three), (1, one.clone())]);
    client.call(9, produce_request(-1, vec![both, Topic::named("nowhere").records(0, one)])).await;
    client.call(12, fetch_request(vec![orders.fetch(vec![from_offset(0, 0), from_offset(1, 9)])])).await;
    let scraped = scrape(&broker).await;
    let in_ms = "kafka_network_requestmetrics_totaltimems";
    for (sample, expected) in [
        ("kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"9\"}", 1),
        ("kafka_network_requestmetrics_requests_total{request=\"Fetch\",version=\"12\"}", 1),
        ("kafka_network_requestmetrics_requests_total{request=\"CreateTopics\",version=\"7\"}", 1),
        ("kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"NONE\"}", 2),
        (
            "kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"}",
            1,
        ),
        // One for the whole, one for partition 0.
        ("kafka_network_requestmetrics_errors_total{request=\"Fetch\",error=\"NONE\"}", 2),
        ("kafka_network_requestmetrics_errors_total{request=\"Fetch\",error=\"OFFSET_OUT_OF_RANGE\"}", 1),
        (&format!("{in_ms}_count{{request=\"Produce\"}}"), 1),
        (&format!("{in_ms}_bucket{{le=\"+Inf\",request=\"Produce\"}}"), 1),
        ("kafka_network_requestmetrics_remotetimems_count{request=\"Fetch\"}", 0),
        ("kafka_server_delayedoperationpurgatory_purgatorysize{delayedOperation=\"Fetch\"}", 0),
        ("kafka_server_brokertopicmetrics_messagesin_total", 4),
        ("kafka_server_brokertopicmetrics_messagesin_total{topic=\"orders\"}", 4),
        ("kafka_server_brokertopicmetrics_bytesin_total{topic=\"orders\"}", size),
        ("kafka_server_brokertopicmetrics_totalproducerequests_total", 3),
        ("kafka_server_brokertopicmetrics_failedproducerequests_total", 1),
        ("kafka_server_brokertopicmetrics_failedproducerequests_total{topic=\"orders\"}", 0),
        ("kafka_server_brokertopicmetrics_totalfetchrequests_total{topic=\"orders\"}", 2),
        ("kafka_server_brokertopicmetrics_failedfetchrequests_total{topic=\"orders\"}", 1),
        ("kafka_log_log_logendoffset{topic=\"orders\",partition=\"0\"}", 3),
        ("kafka_log_log_logendoffset{topic=\"orders\",partition=\"1\"}", 1),
        ("kafka_log_log_logstartoffset{topic=\"orders\",partition=\"0\"}", 0),
        ("ottla_partition_high_watermark{topic=\"orders\",partition=\"0\"}", 3),
        ("kafka_log_log_numlogsegments{topic=\"orders\",partition=\"1\"}", 1),
        ("ottla_topic_size_bytes{topic=\"orders\"}", size),
        ("ottla_topic_partitions{topic=\"orders\"}", 2),
        ("ottla_log_size_bytes", size),
        ("ottla_log_segments", 2),
        ("kafka_server_replicamanager_partitioncount", 2),
        ("kafka_server_replicamanager_leadercount", 2),
        ("kafka_server_replicamanager_offlinereplicacount", 0),
        ("kafka_controller_kafkacontroller_globaltopiccount", 1),
        ("kafka_controller_kafkacontroller_globalpartitioncount", 2),
        ("kafka_log_logmanager_offlinelogdirectorycount", 0),
        ("kafka_server_kafkaserver_brokerstate", 3),
        ("kafka_server_socket_server_metrics_connection_count{listener=\"PLAINTEXT\"}", 1),
        ("kafka_server_socket_server_metrics_connection_creation_total{listener=\"PLAINTEXT\"}", 1),
        ("ottla_connections_refused_total{listener=\"PLAINTEXT\",limit=\"max.connections\"}", 0),
    ] {
        assert_eq!(scraped.value(sample), expected as f64, "{sample}");
    }
    // What the listener and the APIs counted are the same bytes.
    let sum_of = |name: &str| {
        let all = scraped.samples.iter().filter(|(sample, _)| sample.starts_with(&format!("{name}_sum{{")));
        all.map(|(_, value)| value).sum::<f64>()
    };
    let traffic = |way: &str| {
        scraped
            .value(&format!("kafka_server_socket_server_metrics_{way}_byte_total{{listener=\"PLAINTEXT\"}}"))
    };
    assert_eq!(sum_of("kafka_network_requestmetrics_requestbytes"), traffic("incoming"));
    assert_eq!(sum_of("ottla_response_bytes"), traffic("outgoing"));
    broker.stop().await;
}

#[tokio::test]
async fn records_that_are_read_are_counted_where_they_came_from() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut client = broker.connect().await;
    let orders = client.create_topic("orders", 1, &[]).await;
    let (old, new) = (batch(BatchBuilder::new(), &[1]), batch(BatchBuilder::new(), &[2, 3]));
    // Nobody reads yet, so nothing is kept in memory.
    client.produce_batch("orders", 0, old.clone()).await;
    client.fetch_from(12, &orders, 0).await;
    // Now somebody waits at the end.
    client.fetch_from(12, &orders, 1).await;
    client.produce_batch("orders", 0, new.clone()).await;
    client.fetch_from(12, &orders, 1).await;
    let scraped = scrape(&broker).await;
    for (sample, expected) in [
        ("ottla_log_reads_total{source=\"disk\"}", 1),
        ("ottla_log_read_bytes_total{source=\"disk\"}", old.len()),
        ("ottla_log_reads_total{source=\"memory\"}", 1),
        ("ottla_log_read_bytes_total{source=\"memory\"}", new.len()),
        ("kafka_server_brokertopicmetrics_bytesout_total{topic=\"orders\"}", old.len() + new.len()),
    ] {
        assert_eq!(scraped.value(sample), expected as f64, "{sample}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_that_waits_is_seen_waiting_and_a_flush_is_timed() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut client = broker.connect().await;
    let orders = client.create_topic("orders", 1, &[("flush.messages", "1")]).await;
    let mut waiting = broker.connect().await;
    let mut fetch = fetch_request(vec![orders.fetch(vec![from_offset(0, 0)])]);
    fetch.max_wait_ms = i32::MAX;
    waiting.send(12, fetch).await;
    let purgatory = "kafka_server_delayedoperationpurgatory_purgatorysize{delayedOperation=\"Fetch\"}";
    let begin = std::time::Instant::now();
    while scrape(&broker).await.samples.get(purgatory) != Some(&1.0) {
        assert!(begin.elapsed() < PATIENCE, "the fetch is never seen to wait");
    }
    client.produce_batch("orders", 0, batch(BatchBuilder::new(), &[1])).await;
    waiting.receive::<ottla_wire::fetch::FetchRequest>(12).await;
    let scraped = scrape(&broker).await;
    assert_eq!(scraped.value(purgatory), 0.0);
    assert_eq!(scraped.value("kafka_network_requestmetrics_remotetimems_count{request=\"Fetch\"}"), 1.0);
    assert_eq!(scraped.value("kafka_log_logflushstats_logflushrateandtimems_count"), 1.0);
    broker.stop().await;
}

#[tokio::test]
async fn a_start_after_a_kill_tells_what_it_recovered() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 2, &[]).await;
    let one = batch(BatchBuilder::new(), &[1]);
    let size = one.len();
    client.produce_batch("orders", 0, one).await;
    assert_eq!(scrape(&broker).await.value("ottla_recovered_logs"), 0.0);
    drop(client);
    let broker = broker.abandon_and_start().await;
    let scraped = scrape(&broker).await;
    assert_eq!(scraped.value("ottla_recovered_logs"), 2.0);
    assert_eq!(scraped.value("ottla_recovered_bytes"), size as f64);
    assert!(scraped.value("ottla_log_open_seconds") > 0.0);
    broker.stop().await;
}

/// Commits an offset as a consumer without a group's members does, once there is a coordinator.
async fn commit(client: &mut Client, group: &str, topic: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        committed_metadata: Some("".into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let request =
        OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..OffsetCommitRequest::default() };
    let begin = std::time::Instant::now();
    loop {
        // The first look makes the topic.
        client
            .call(0, FindCoordinatorRequest { key: group.into(), ..FindCoordinatorRequest::default() })
            .await;
        let answer = client.call(2, request.clone()).await;
        match common::error(answer.topics[0].partitions[0].error_code) {
            ErrorCode::None => return,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress
                if begin.elapsed() < PATIENCE => {}
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn groups_are_counted_and_their_lag_is_what_they_have_not_committed() {
    let broker = TestBroker::start_with(&format!("{LISTENER}offsets.topic.num.partitions=3\n")).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 1, &[]).await;
    client.produce("orders", 0, &[1, 2, 3, 4, 5]).await;
    commit(&mut client, "behind", "orders", 2).await;
    commit(&mut client, "done", "orders", 5).await;
    let scraped = scrape(&broker).await;
    for (sample, expected) in [
        ("ottla_group_lag_records{group=\"behind\",topic=\"orders\",partition=\"0\"}", 3),
        ("ottla_group_lag_records{group=\"done\",topic=\"orders\",partition=\"0\"}", 0),
        ("ottla_group_committed_offset{group=\"behind\",topic=\"orders\",partition=\"0\"}", 2),
        ("kafka_server_group_coordinator_metrics_group_count{protocol=\"classic\"}", 2),
        ("kafka_coordinator_group_groupmetadatamanager_numgroupsempty", 2),
        ("kafka_coordinator_group_groupmetadatamanager_numgroupsstable", 0),
        ("kafka_coordinator_group_groupmetadatamanager_numoffsets", 2),
        ("kafka_server_group_coordinator_metrics_num_partitions{state=\"active\"}", 3),
        ("ottla_group_members", 0),
    ] {
        assert_eq!(scraped.value(sample), f64::from(expected), "{sample}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn beyond_the_limit_committed_offsets_are_counted_and_not_shown() {
    let limits = "offsets.topic.num.partitions=1\nmetrics.max.partitions=2\n";
    let broker = TestBroker::start_with(&format!("{LISTENER}{limits}")).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 1, &[]).await;
    for group in ["one", "two"] {
        commit(&mut client, group, "orders", 0).await;
    }
    assert!(scrape(&broker).await.text.contains("group=\"two\""));
    commit(&mut client, "three", "orders", 0).await;
    let scraped = scrape(&broker).await;
    assert!(!scraped.text.contains("group=\""), "{}", scraped.text);
    assert_eq!(scraped.value("kafka_coordinator_group_groupmetadatamanager_numoffsets"), 3.0);
    broker.stop().await;
}

#[tokio::test]
async fn a_deleted_topic_is_not_shown_any_more_and_stays_in_the_sums() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 1, &[]).await;
    client.produce("orders", 0, &[1, 2]).await;
    let request = ottla_wire::delete_topics::DeleteTopicsRequest {
        topic_names: vec!["orders".into()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    client.call(5, request).await;
    let scraped = scrape(&broker).await;
    assert!(!scraped.text.contains("orders"), "{}", scraped.text);
    assert_eq!(scraped.value("kafka_server_brokertopicmetrics_messagesin_total"), 2.0);
    broker.stop().await;
}

#[tokio::test]
async fn beyond_the_limit_partitions_are_not_shown_one_by_one() {
    let broker = TestBroker::start_with(&format!("{LISTENER}metrics.max.partitions=2\n")).await;
    let mut client = broker.connect().await;
    client.create_topic("one", 2, &[]).await;
    assert!(scrape(&broker).await.text.contains("partition=\"1\""));
    client.create_topic("two", 1, &[]).await;
    let scraped = scrape(&broker).await;
    assert!(!scraped.text.contains("partition=\""), "{}", scraped.text);
    assert_eq!(scraped.value("ottla_topic_partitions{topic=\"one\"}"), 2.0);
    client.create_topic("three", 1, &[]).await;
    let scraped = scrape(&broker).await;
    assert!(!scraped.text.contains("topic=\""), "{}", scraped.text);
    assert_eq!(scraped.value("kafka_server_replicamanager_partitioncount"), 4.0);
    broker.stop().await;
}

/// Names with types and labels: as `docs/metrics.md` has them, or as `/metrics` does.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// Families that tell of partitions with several replicas only.
const OF_SEVERAL_REPLICAS: [&str; 2] = ["kafka_cluster_partition_", "ottla_partition_follower_"];

fn documented() -> Families {
    let rows = include_str!("../../../docs/metrics.md").lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _] = cells[..] else { return None };
        let labels = labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
        Some((name.trim_matches('`').to_owned(), (kind.to_owned(), labels.collect())))
    };
    rows.filter_map(row).collect()
}

fn printed(scraped: &Scraped) -> Families {
    let mut families = Families::new();
    for line in scraped.text.lines() {
        if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (sample, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let known = ["", "_total", "_info", "_sum", "_count", "_bucket"].iter().find_map(|ending| {
                let name = name.strip_suffix(ending)?;
                families.contains_key(name).then(|| name.to_owned())
            });
            let family = families.get_mut(&known.unwrap_or_else(|| panic!("{line} has no type"))).unwrap();
            let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            family.1.extend(names.filter(|label| label != "le"));
        }
    }
    families
}

#[tokio::test]
async fn the_documentation_lists_exactly_what_is_there() {
    let broker = TestBroker::start_with(&format!("{LISTENER}offsets.topic.num.partitions=1\n")).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 1, &[]).await;
    commit(&mut client, "shipping", "orders", 0).await;
    let (documented, printed) = (documented(), printed(&scrape(&broker).await));
    let names = |families: &Families| families.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&documented), names(&printed));
    for (name, documented) in &documented {
        let labels = if OF_SEVERAL_REPLICAS.iter().any(|prefix| name.starts_with(prefix)) {
            // There is none on one broker: `leaders.rs` looks at them.
            &documented.1
        } else {
            &printed[name].1
        };
        assert_eq!(documented, &(printed[name].0.clone(), labels.clone()), "{name}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_nothing_can_be_changed() {
    let broker = TestBroker::start_with(LISTENER).await;
    for path in ["/", "/metric", "/metrics/", "/health/", "/favicon.ico"] {
        assert_eq!(ask(&broker, "GET", path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for path in ["/metrics", "/health", "/health/live"] {
            let answer = ask(&broker, method, path).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.head.contains("allow: GET, HEAD"), "{}", answer.head);
        }
    }
    let head = ask(&broker, "HEAD", "/health").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask(&broker, "GET", "/metrics?name=x").await.status, 200);
    let garbage = exchange(broker.metrics_address(), b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\0\0\r\n\r\n").await;
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_keep_others_from_asking() {
    let broker = TestBroker::start_with(LISTENER).await;
    let _silent = TcpStream::connect(broker.metrics_address()).await.unwrap();
    let mut half = TcpStream::connect(broker.metrics_address()).await.unwrap();
    half.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    assert_eq!(ask(&broker, "GET", "/health").await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn beyond_a_few_connections_the_longest_idle_is_closed() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(broker.metrics_address()).await.unwrap();
        stream.write_all(b"GET").await.unwrap();
        open.push(stream);
    }
    let beyond = TcpStream::connect(broker.metrics_address()).await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, open[0].read_to_end(&mut rest)).await.expect("closed in time");
    assert!(read.is_err() || rest.is_empty());
    drop(beyond);
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_that_works_is_healthy() {
    let broker = TestBroker::start_with(LISTENER).await;
    let health = ask(&broker, "GET", "/health").await;
    assert_eq!((health.status, health.body.as_str()), (200, "{\"problems\":[],\"status\":\"ok\"}\n"));
    assert!(health.head.contains("application/json"), "{}", health.head);
    assert_eq!(ask(&broker, "GET", "/health/live").await.status, 200);
    broker.stop().await;
}

#[tokio::test]
async fn a_directory_that_could_not_be_used_at_the_start_makes_the_broker_unhealthy() {
    let home = Home::new(&format!("{LISTENER}metadata.log.dir={{dir}}/data\nlog.dirs={{dir}}/a,{{dir}}/b\n"));
    fs::write(home.path().join("b"), "a file where the directory should be").unwrap();
    let broker = home.start().await;
    let health = ask(&broker, "GET", "/health").await;
    assert_eq!(health.status, 503);
    let b = broker.dir().join("b");
    assert!(
        health.body.contains(&format!("the log directory {} is offline", b.display())),
        "{}",
        health.body
    );
    assert_eq!(ask(&broker, "GET", "/health/live").await.status, 200);
    let scraped = scrape(&broker).await;
    assert_eq!(scraped.value("kafka_log_logmanager_offlinelogdirectorycount"), 1.0);
    let b = format!("kafka_log_logmanager_logdirectoryoffline{{logDirectory=\"{}\"}}", b.display());
    assert_eq!(scraped.value(&b), 1.0);
    broker.stop().await;
}

#[tokio::test]
async fn a_directory_that_fails_while_the_broker_runs_makes_it_unhealthy() {
    let properties =
        "log.flush.offset.checkpoint.interval.ms=20\nmetadata.log.dir={dir}/meta\nlog.dirs={dir}/a,{dir}/b\n";
    let broker = TestBroker::start_with(&format!("{LISTENER}{properties}")).await;
    assert_eq!(ask(&broker, "GET", "/health").await.status, 200);
    // Its checkpoints can no longer be written.
    fs::remove_dir_all(broker.dir().join("b")).unwrap();
    let begin = std::time::Instant::now();
    let health = loop {
        let health = ask(&broker, "GET", "/health").await;
        if health.status != 200 || begin.elapsed() > PATIENCE {
            break health;
        }
    };
    assert_eq!(health.status, 503);
    assert!(health.body.contains("its checkpoints cannot be written"), "{}", health.body);
    let offline = scrape(&broker).await.value("kafka_log_logmanager_offlinelogdirectorycount");
    assert_eq!(offline, 1.0);
}

#[tokio::test]
async fn without_the_key_nothing_is_listened_on_and_an_address_in_use_is_named() {
    let broker = TestBroker::start_with(LISTENER).await;
    let address = broker.metrics_address();
    let refusal = Home::new(&format!("metrics.listener={address}\n")).refusal().await;
    let expected = format!("metrics.listener: cannot listen on 127.0.0.1:{}", address.port());
    assert!(refusal.starts_with(&expected), "{refusal}");
    let refusal = Home::new("metrics.listener=9308\n").refusal().await;
    assert!(refusal.contains("expected host:port"), "{refusal}");
    let home = Home::new("");
    assert_eq!(home.try_start("").await.unwrap().metrics_address(), None);
    broker.stop().await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_keep_nobody_out() {
    let broker = TestBroker::start_with(LISTENER).await;
    let mut idle = Vec::new();
    for _ in 0..500 {
        idle.push(TcpStream::connect(broker.metrics_address()).await.unwrap());
    }
    assert_eq!(ask(&broker, "GET", "/health").await.status, 200);
    assert_eq!(ask(&broker, "GET", "/metrics").await.status, 200);
    broker.stop().await;
}
