//! What a real process says of directories that are not as they should be: a file that cannot grow, a log that is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_records::{BatchBuilder, NewRecord};
use ottla_types::ErrorCode;
use ottla_wire::api::ApiRequest;
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::frame::encode_request;
use ottla_wire::header::parse_response;
use ottla_wire::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use ottla_wire::{Message as _, Request, RequestHeader};

const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");

/// A broker that ends with its test.
struct Broker {
    process: Child,
    address: String,
    said: std::path::PathBuf,
}

impl Broker {
    /// Starts a broker below a directory, by a line of shell that ends in running its arguments.
    fn start(dir: &Path, shell: &str) -> Self {
        let said = dir.join("said");
        let mut process = Command::new("sh")
            .args(["-c", shell, OTTLA, "serve", "--override", "listeners=PLAINTEXT://127.0.0.1:0"])
            .arg("--override")
            .arg(format!("log.dirs={}", dir.join("data").display()))
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("Listening on PLAINTEXT://").map(str::to_owned) else {
            let _ = process.kill();
            panic!("the broker said {line:?} first, and {}", fs::read_to_string(said).unwrap())
        };
        Self { process, address, said }
    }

    /// What it wrote to standard error so far.
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }

    fn create_topic(&self, name: &str) {
        let arguments = ["topic", "create", name, "-b", &self.address];
        let mut command = Command::new(OTTLA);
        command.args(arguments).env_remove("RUST_LOG").stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    }

    fn call<R: ApiRequest + Into<Request>>(&self, version: i16, request: R) -> R::Response {
        let header = RequestHeader::new(R::API, version, 1);
        let request = encode_request(&header, &request.into()).unwrap();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&request.into_bytes()).unwrap();
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut body).unwrap();
        let (_, mut reader) = parse_response(body.into(), R::API, version).unwrap();
        R::Response::decode(&mut reader, version).unwrap()
    }

    /// Produces one record of so many bytes.
    fn produce(&self, topic: &str, len: usize) -> PartitionProduceResponse {
        let mut builder = BatchBuilder::new();
        let value = vec![b'v'; len];
        let record = NewRecord { timestamp_ms: 1_000, key: None, value: Some(&value), headers: &[] };
        builder.push(&record).unwrap();
        let records: Bytes = builder.build().unwrap();
        let data = PartitionProduceData { records: Some(records.into()), ..PartitionProduceData::default() };
        let topic = TopicProduceData {
            name: topic.into(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        self.call(9, request).responses.remove(0).partition_responses.remove(0)
    }

    /// Whether the record at an offset is served.
    fn serves(&self, topic: &str, offset: i64) -> bool {
        let partition = FetchPartition {
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..FetchTopic::default() };
        let request =
            FetchRequest { min_bytes: 1, max_bytes: 1 << 20, topics: vec![topic], ..FetchRequest::default() };
        let answer = self.call(12, request).responses.remove(0).partitions.remove(0);
        answer.error_code == 0 && answer.records.is_some_and(|records| !records.into_bytes().is_empty())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// No file of the process grows beyond a megabyte or two, by the system's limit on the size of files: a disk that is full
/// for the large file alone, and for any user.
#[test]
fn a_batch_for_which_there_is_no_room_is_refused_with_its_place_and_all_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"");
    broker.create_topic("large");
    broker.create_topic("small");
    let mut offset = 0;
    let refused = loop {
        assert!(offset < 5, "there is a limit");
        let answer = broker.produce("large", 900_000);
        if answer.error_code != 0 {
            break answer;
        }
        assert_eq!(answer.base_offset, offset);
        offset += 1;
    };
    assert!(offset > 0);
    assert_eq!(refused.error_code, ErrorCode::KafkaStorageError.code());
    let segment = dir.path().join("data/large-0/00000000000000000000.log");
    let message = refused.error_message.unwrap().to_string();
    let place = format!("of {}: ", segment.display());
    assert!(message.contains("cannot write at byte ") && message.contains(&place), "{message}");
    assert!(broker.said().contains(&place), "{}", broker.said());

    // What fits is taken, in this log and in others, and what was there is served.
    assert_eq!(broker.produce("small", 10).base_offset, 0);
    assert_eq!(broker.produce("large", 10).base_offset, offset);
    assert!((0..=offset).all(|offset| broker.serves("large", offset)));
    broker.stop();

    let broker = Broker::start(dir.path(), "exec \"$0\" \"$@\"");
    assert_eq!(broker.produce("large", 900_000).base_offset, offset + 1);
    assert!((0..=offset + 1).all(|offset| broker.serves("large", offset)));
    assert!(broker.serves("small", 0));
    broker.stop();
}

/// As Kafka, which halts.
#[test]
fn a_broker_whose_only_directory_fails_ends_with_a_failure_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let often = "exec \"$0\" \"$@\" --override log.flush.offset.checkpoint.interval.ms=50";
    let mut broker = Broker::start(dir.path(), often);
    broker.create_topic("orders");
    assert_eq!(broker.produce("orders", 10).error_code, 0);
    let data = dir.path().join("data");
    fs::rename(&data, dir.path().join("elsewhere")).unwrap();
    assert_eq!(broker.process.wait().unwrap().code(), Some(1));
    let said = broker.said();
    let told = format!("all log directories have failed: {} (", data.display());
    let errors: Vec<&str> = said.lines().filter(|line| line.contains(&told)).collect();
    assert_eq!(errors.len(), 2, "in the log, and as the last word: {said}");
    assert!(errors[0].contains("ERROR"), "{said}");
    assert_eq!(said.lines().last(), errors.last().copied(), "{said}");
    assert!(errors[1].starts_with("ottla: the broker stopped by itself"), "{said}");
}

/// The coordinator is there, and cannot write: its directory failed, and another one works.
#[test]
fn who_cannot_join_a_group_is_told_why_and_waits() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display();
    let settings = format!(
        "exec \"$0\" \"$@\" --override log.flush.offset.checkpoint.interval.ms=50 \
         --override offsets.topic.num.partitions=1 --override group.initial.rebalance.delay.ms=0 \
         --override metadata.log.dir={place}/metadata --override log.dirs={place}/a,{place}/b"
    );
    let broker = Broker::start(dir.path(), &settings);
    broker.create_topic("orders");
    assert_eq!(broker.produce("orders", 10).error_code, 0);
    let consume = || {
        let mut command = Command::new(OTTLA);
        command.args(["consume", "orders", "--group", "readers", "--count", "1", "-b", &broker.address]);
        command.env_remove("RUST_LOG").stdout(Stdio::null());
        command
    };
    assert!(consume().status().unwrap().success());
    let offsets = ["a", "b"].map(|name| dir.path().join(name));
    let offsets = offsets.iter().find(|home| home.join("__consumer_offsets-0").exists()).unwrap();
    fs::rename(offsets, dir.path().join("elsewhere")).unwrap();
    let begin = Instant::now();
    while !broker.said().contains(&format!("the log directory {} is offline", offsets.display())) {
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", broker.said());
        std::thread::yield_now();
    }

    let mut member = consume().stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(member.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let waits = member.try_wait().unwrap().is_none();
    member.kill().unwrap();
    member.wait().unwrap();
    assert!(waits && line.contains("WARN"), "{line}");
    assert!(line.contains("cannot join the group yet") && line.contains("readers"), "{line}");
}

#[test]
fn a_log_that_is_gone_from_its_directory_is_told_when_an_empty_one_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), "exec \"$0\" \"$@\"");
    for topic in ["gone", "there"] {
        broker.create_topic(topic);
        assert_eq!(broker.produce(topic, 10).error_code, 0);
    }
    broker.stop();
    fs::remove_dir_all(dir.path().join("data/gone-0")).unwrap();

    let broker = Broker::start(dir.path(), "exec \"$0\" \"$@\"");
    let said = broker.said();
    let told: Vec<&str> = said.lines().filter(|line| line.contains("its log was missing")).collect();
    assert_eq!(told.len(), 1, "{said}");
    assert!(told[0].contains("WARN") && told[0].contains("gone-0"), "{said}");
    assert_eq!(broker.produce("gone", 10).base_offset, 0);
    assert_eq!(broker.produce("there", 10).base_offset, 1);
    broker.stop();
}
