//! What a library client's program can be asked to do, one small operation at a time, so that a scenario is written once
//! for all of them ([`scripts`](crate::scripts)) and each program only says how its library is called.
//!
//! Bytes travel in base64. A topic gets a replica on every broker; a partition of -1 leaves the choice to the client; an
//! offset of -1 is one that the client was not told. Timestamps are milliseconds since 1970.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    broker::Target,
    command::eventually,
    driver::{Driver, NotOffered, Refused},
    members::{Member, Membership},
    scenario::Outcome,
};

/// How long a change may take until every part of the broker knows it.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Kafka's error codes that scripts expect.
pub(crate) mod codes {
    pub(crate) const OFFSET_OUT_OF_RANGE: i64 = 1;
    pub(crate) const UNKNOWN_TOPIC_OR_PARTITION: i64 = 3;
    pub(crate) const RECORD_TOO_LARGE: i64 = 10;
    pub(crate) const INVALID_TOPIC: i64 = 17;
    pub(crate) const UNKNOWN_MEMBER_ID: i64 = 25;
    pub(crate) const TOPIC_ALREADY_EXISTS: i64 = 36;
    pub(crate) const INVALID_PARTITIONS: i64 = 37;
    pub(crate) const INVALID_REPLICATION_FACTOR: i64 = 38;
    pub(crate) const INVALID_CONFIG: i64 = 40;
    pub(crate) const NON_EMPTY_GROUP: i64 = 68;
    pub(crate) const GROUP_ID_NOT_FOUND: i64 = 69;
    pub(crate) const GROUP_SUBSCRIBED_TO_TOPIC: i64 = 86;
    pub(crate) const INVALID_RECORD: i64 = 87;
}

/// A record to write, or one that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Set by the client if it is not said.
    pub(crate) timestamp: Option<i64>,
}

impl Record {
    /// For partition 0, with a value only.
    pub(crate) fn of(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    fn to_json(&self) -> Value {
        let headers: Vec<_> = self.headers.iter().map(|(key, value)| json!([key, encoded(value)])).collect();
        json!({
            "partition": self.partition, "key": encoded(&self.key), "value": encoded(&self.value),
            "headers": headers, "timestamp": self.timestamp,
        })
    }

    fn from_json(partition: i64, json: &Value) -> Result<(i64, Self)> {
        let mut headers = Vec::new();
        for header in json["headers"].as_array().into_iter().flatten() {
            headers
                .push((header[0].as_str().context("a header without key")?.to_owned(), bytes(&header[1])?));
        }
        let (key, value) = (bytes(&json["key"])?, bytes(&json["value"])?);
        let record = Self { partition, key, value, headers, timestamp: json["timestamp"].as_i64() };
        Ok((json["offset"].as_i64().context("a record without offset")?, record))
    }
}

fn encoded(bytes: &Option<Vec<u8>>) -> Option<String> {
    bytes.as_ref().map(|bytes| STANDARD.encode(bytes))
}

fn bytes(json: &Value) -> Result<Option<Vec<u8>>> {
    json.as_str().map(|text| STANDARD.decode(text).context("not base64")).transpose()
}

/// How records are produced; what is not said is the client's default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Producing<'a> {
    pub(crate) acks: Option<&'a str>,
    pub(crate) codec: Option<&'a str>,
    pub(crate) idempotent: bool,
    /// The largest request, in bytes.
    pub(crate) max_bytes: Option<usize>,
    /// In the place of the broker's own address.
    pub(crate) bootstrap: Option<&'a str>,
}

/// A library client's program.
pub(crate) struct Hands {
    driver: Driver,
    target: Target,
    /// The program and its arguments, up to those that are a member's.
    program: Vec<OsString>,
    /// Where members' standard error goes.
    log: PathBuf,
}

impl Hands {
    /// Starts the program; with `member` and a description as its arguments it is a member of a group.
    pub(crate) fn start(program: Vec<OsString>, target: &Target, logs: &Path) -> Result<Self> {
        let mut command = to_command(&program)?;
        // A program that tells scenarios itself has to know what to expect of a cluster.
        command.arg(&target.bootstrap).env("INTEROP_BROKERS", target.brokers.to_string());
        let driver = Driver::start(command, logs)?;
        let log = logs.join("members.log");
        Ok(Self { driver, target: target.clone(), program, log })
    }

    /// Has the program run one of its own scenarios.
    pub(crate) fn run(&mut self, scenario: &str) -> Result<Outcome> {
        self.driver.run(scenario)
    }

    /// Starts a member of a group, as a process of its own.
    pub(crate) fn member(&self, name: &str, membership: &Membership<'_>) -> Result<Member> {
        start_member(name, &self.program, &membership.to_json(&self.target.bootstrap), &self.log)
    }

    /// Gets a member ready that can be started while these hands are busy.
    pub(crate) fn member_later(
        &self,
        name: &'static str,
        membership: &Membership<'_>,
    ) -> Box<dyn FnOnce() -> Result<Member>> {
        let (program, log) = (self.program.clone(), self.log.clone());
        let described = membership.to_json(&self.target.bootstrap);
        Box::new(move || start_member(name, &program, &described, &log))
    }

    pub(crate) fn ask(&mut self, op: &str, mut arguments: Value) -> Result<Value> {
        arguments["op"] = json!(op);
        self.driver.ask(&arguments).with_context(|| format!("{op} {}", about(&arguments)))
    }

    /// Creates a topic, and waits until every partition has a leader that answers: Kafka answers the creation before its
    /// brokers act on it.
    pub(crate) fn create(&mut self, topic: &str, partitions: i64, configs: &[(&str, &str)]) -> Result<()> {
        self.try_create(topic, partitions, self.brokers(), configs)?;
        self.wait_for_leaders(topic, partitions)
    }

    /// How many brokers there are.
    pub(crate) fn brokers(&self) -> i64 {
        i64::try_from(self.target.brokers).unwrap_or(i64::MAX)
    }

    /// Waits until every partition has a leader that answers.
    pub(crate) fn wait_for_leaders(&mut self, topic: &str, partitions: i64) -> Result<()> {
        let led = eventually(SOON, || match self.ends(topic, partitions) {
            Ok(_) => Ok(Some(())),
            Err(error) if error.downcast_ref::<Refused>().is_some() => Ok(None),
            Err(error) => Err(error),
        })?;
        led.with_context(|| format!("not every partition of {topic} has a leader"))
    }

    pub(crate) fn try_create(
        &mut self,
        topic: &str,
        partitions: i64,
        replicas: i64,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let configs: BTreeMap<_, _> = configs.iter().copied().collect();
        let arguments =
            json!({"topic": topic, "partitions": partitions, "replicas": replicas, "configs": configs});
        self.ask("create", arguments).map(|_| ())
    }

    pub(crate) fn delete(&mut self, topic: &str) -> Result<()> {
        self.ask("delete", json!({"topic": topic})).map(|_| ())
    }

    /// The names of all topics.
    pub(crate) fn topics(&mut self) -> Result<Vec<String>> {
        let told = self.ask("topics", json!({}))?;
        Ok(told.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// A line for each partition: its number, leader, replicas and ISR.
    pub(crate) fn describe(&mut self, topic: &str) -> Result<Vec<String>> {
        let told = self.ask("describe", json!({"topic": topic}))?;
        let line = |p: &Value| format!("{}: {} {} {}", p["id"], p["leader"], p["replicas"], p["isr"]);
        let mut lines: Vec<_> = told.as_array().into_iter().flatten().map(line).collect();
        lines.sort();
        Ok(lines)
    }

    pub(crate) fn add_partitions(&mut self, topic: &str, count: i64) -> Result<()> {
        self.ask("add_partitions", json!({"topic": topic, "count": count})).map(|_| ())
    }

    /// Deletes what is before the offset; gives the low watermark where the client tells it.
    pub(crate) fn delete_records(&mut self, topic: &str, before: i64) -> Result<Option<i64>> {
        let told = self.ask("delete_records", json!({"topic": topic, "partition": 0, "before": before}))?;
        Ok(told.as_i64())
    }

    /// The value of each config of a topic.
    pub(crate) fn configs(&mut self, kind: &str, name: &str) -> Result<BTreeMap<String, Value>> {
        let told = self.ask("configs", json!({"type": kind, "name": name}))?;
        let pairs = told.as_object().context("configs are not an object")?.iter();
        Ok(pairs.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Sets configs one by one; null takes the topic's own value away.
    pub(crate) fn alter_configs(&mut self, kind: &str, name: &str, changes: &Value) -> Result<()> {
        self.ask("alter_configs", json!({"type": kind, "name": name, "changes": changes})).map(|_| ())
    }

    /// Brokers as `id@host:port`, and the controller's id.
    pub(crate) fn cluster(&mut self) -> Result<(Vec<String>, i64)> {
        let told = self.ask("cluster", json!({}))?;
        let brokers = told["brokers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let controller = told["controller"].as_i64().context("no controller")?;
        Ok((brokers.map(str::to_owned).collect(), controller))
    }

    /// Produces the records in their order; gives partition and offset of each as the broker answered.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        records: &[Record],
        how: Producing<'_>,
    ) -> Result<Vec<(i64, i64)>> {
        let records: Vec<_> = records.iter().map(Record::to_json).collect();
        let arguments = json!({
            "topic": topic, "records": records, "bootstrap": how.bootstrap.unwrap_or(&self.target.bootstrap),
            "acks": how.acks.unwrap_or("all"), "codec": how.codec.unwrap_or("none"),
            "idempotent": how.idempotent, "max_bytes": how.max_bytes.unwrap_or(1_000_000),
        });
        let told = self.ask("produce", arguments)?;
        let places = told.as_array().into_iter().flatten();
        let place = |p: &Value| Some((p[0].as_i64()?, p[1].as_i64()?));
        let places: Vec<_> = places.filter_map(place).collect();
        ensure!(places.len() == records.len(), "{} places for {} records", places.len(), records.len());
        Ok(places)
    }

    /// Produces the numbers from `from` on, `count` of them, each into the partition that it is modulo `partitions`.
    pub(crate) fn produce_numbers(
        &mut self,
        topic: &str,
        partitions: i64,
        from: i64,
        count: i64,
    ) -> Result<()> {
        let numbered = |n: i64| Record { partition: n % partitions, ..Record::of(n.to_string()) };
        let records: Vec<_> = (from..from + count).map(numbered).collect();
        self.produce(topic, &records, Producing::default()).map(|_| ())
    }

    /// What a partition holds from an offset to its end.
    pub(crate) fn read(&mut self, topic: &str, partition: i64, from: i64) -> Result<Vec<(i64, Record)>> {
        let told = self.ask("read", json!({"topic": topic, "partition": partition, "from": from}))?;
        let records = told.as_array().context("records are not a list")?.iter();
        records.map(|record| Record::from_json(partition, record)).collect()
    }

    /// The offset of each partition at `at`: `"earliest"`, `"latest"`, or a timestamp; null where there is none.
    pub(crate) fn offsets(&mut self, topic: &str, partitions: &[i64], at: Value) -> Result<Vec<Option<i64>>> {
        let told = self.ask("offsets", json!({"topic": topic, "partitions": partitions, "at": at}))?;
        Ok(told.as_array().context("offsets are not a list")?.iter().map(Value::as_i64).collect())
    }

    /// The end of each partition's log.
    pub(crate) fn ends(&mut self, topic: &str, partitions: i64) -> Result<Vec<Option<i64>>> {
        let partitions: Vec<_> = (0..partitions).collect();
        self.offsets(topic, &partitions, json!("latest"))
    }

    /// Start and end of partition 0.
    pub(crate) fn expect_bounds(&mut self, topic: &str, earliest: i64, latest: i64) -> Result<()> {
        let seen =
            (self.offsets(topic, &[0], json!("earliest"))?, self.offsets(topic, &[0], json!("latest"))?);
        ensure!(seen == (vec![Some(earliest)], vec![Some(latest)]), "{topic}: from and to are {seen:?}");
        Ok(())
    }

    /// Commits offsets by partition, with metadata, as a consumer that is no member.
    pub(crate) fn commit(&mut self, group: &str, topic: &str, offsets: &Offsets, note: &str) -> Result<()> {
        let offsets: Vec<_> = offsets.iter().collect();
        let arguments = json!({"group": group, "topic": topic, "offsets": offsets, "metadata": note});
        self.ask("commit", arguments).map(|_| ())
    }

    /// What is committed, by partition; those without are left out.
    pub(crate) fn committed(&mut self, group: &str, topic: &str, partitions: i64) -> Result<Offsets> {
        let told =
            self.ask("committed", json!({"group": group, "topic": topic, "partitions": partitions}))?;
        let pair = |p: &Value| Some((p[0].as_i64()?, p[1].as_i64()?));
        let pairs = told.as_array().context("offsets are not a list")?.iter();
        Ok(pairs.filter_map(pair).filter(|(_, offset)| *offset >= 0).collect())
    }

    /// The metadata committed with the offset of partition 0, where the client tells it.
    pub(crate) fn committed_note(&mut self, group: &str, topic: &str) -> Result<Option<String>> {
        let told = self.ask("committed", json!({"group": group, "topic": topic, "partitions": 1}))?;
        Ok(told[0][2].as_str().map(str::to_owned))
    }

    /// All groups: name, type of protocol, and state where the client tells it.
    pub(crate) fn groups(&mut self) -> Result<BTreeMap<String, (String, Option<String>)>> {
        let told = self.ask("groups", json!({}))?;
        let group = |g: &Value| {
            let text = |field: &str| g[field].as_str().map(str::to_owned);
            Some((text("group")?, (text("protocol_type").unwrap_or_default(), text("state"))))
        };
        Ok(told.as_array().into_iter().flatten().filter_map(group).collect())
    }

    pub(crate) fn describe_group(&mut self, group: &str) -> Result<Value> {
        self.ask("describe_group", json!({"group": group}))
    }

    pub(crate) fn delete_group(&mut self, group: &str) -> Result<()> {
        self.ask("delete_group", json!({"group": group})).map(|_| ())
    }

    pub(crate) fn delete_group_offsets(
        &mut self,
        group: &str,
        topic: &str,
        partitions: &[i64],
    ) -> Result<()> {
        let arguments = json!({"group": group, "topic": topic, "partitions": partitions});
        self.ask("delete_group_offsets", arguments).map(|_| ())
    }

    /// Sets the offsets of a group as its administrator.
    pub(crate) fn alter_group_offsets(&mut self, group: &str, topic: &str, offsets: &Offsets) -> Result<()> {
        let offsets: Vec<_> = offsets.iter().collect();
        let arguments = json!({"group": group, "topic": topic, "offsets": offsets});
        self.ask("alter_group_offsets", arguments).map(|_| ())
    }
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<i64, i64>;

fn start_member(name: &str, program: &[OsString], described: &Value, log: &Path) -> Result<Member> {
    let mut command = to_command(program)?;
    command.arg("member").arg(described.to_string());
    Member::start(name, command, log)
}

fn to_command(program: &[OsString]) -> Result<Command> {
    let (first, rest) = program.split_first().context("no program")?;
    let mut command = Command::new(first);
    command.args(rest);
    Ok(command)
}

/// What an operation was on, for an error's text.
fn about(arguments: &Value) -> String {
    let name = |field: &str| arguments[field].as_str().map(|text| format!("{field} {text}"));
    ["group", "topic", "name"].into_iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

/// Expects Kafka to refuse, where the client can ask at all: for a scenario's step that not every client has.
pub(crate) fn refused_if_offered<T>(what: &str, code: i64, outcome: Result<T>) -> Result<()> {
    match outcome {
        Err(error) if error.downcast_ref::<NotOffered>().is_some() => Ok(()),
        outcome => refused(what, code, outcome),
    }
}

/// Expects Kafka to refuse, with one error.
pub(crate) fn refused<T>(what: &str, code: i64, outcome: Result<T>) -> Result<()> {
    let error = match outcome {
        Ok(_) => anyhow::bail!("{what}: expected error {code}, but it was done"),
        Err(error) => error,
    };
    match error.downcast_ref::<Refused>() {
        Some(refused) if refused.code == code => Ok(()),
        Some(_) => Err(error.context(format!("{what}: expected error {code}"))),
        None => Err(error),
    }
}
