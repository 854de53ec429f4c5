//! `ottla group` and `ottla consume --group` against a broker of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use common::{Server, stderr};
use serde_json::Value;

/// Groups form at once, and this broker keeps few offset partitions.
const SETTINGS: [&str; 2] = ["group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=4"];

struct Cluster {
    server: Server,
}

impl Cluster {
    /// A broker with a topic of three partitions: ten records in the first, twenty in the second, none in the third.
    fn start() -> Self {
        let cluster = Self { server: Server::start(&SETTINGS) };
        cluster.ok("topic create orders --partitions 3");
        cluster.produce(0, 0..10);
        cluster.produce(1, 0..20);
        cluster
    }

    fn produce(&self, partition: i32, numbers: std::ops::Range<i32>) {
        let lines: String = numbers.map(|n| format!("{partition}-{n}\n")).collect();
        let line = format!("produce orders -p {partition} -b {}", self.server.address());
        common::ok(&line, &lines);
    }

    fn run(&self, line: &str) -> Output {
        common::ottla(&format!("{line} -b {}", self.server.address()), &[], "")
    }

    fn ok(&self, line: &str) -> String {
        common::ok(&format!("{line} -b {}", self.server.address()), "")
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} --json"))).unwrap()
    }

    /// Why a command fails.
    fn fails(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        stderr(&output)
    }

    /// Offset, end and lag of each partition that the group has or reads.
    fn offsets(&self, group: &str) -> Vec<[Option<i64>; 3]> {
        let described = self.json(&format!("group describe {group}"));
        let partitions = described[0]["partitions"].as_array().unwrap();
        partitions.iter().map(|row| ["offset", "end", "lag"].map(|column| row[column].as_i64())).collect()
    }
}

/// A member that reads until it is stopped.
struct Member {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    fn start(cluster: &Cluster, arguments: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(format!("consume orders --group readers --follow {arguments}").split_whitespace())
            .args(["-b", &cluster.server.address().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().expect("the member ended").unwrap()
    }

    /// Stops it as an operator does, and gives what it said before it ended.
    fn stop(mut self) -> Vec<String> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        rest
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_group_reads_each_record_once_and_goes_on_where_it_was() {
    let cluster = Cluster::start();
    let first = cluster.ok("consume orders --group readers");
    assert_eq!(first.lines().count(), 30);
    assert_eq!(cluster.ok("consume orders --group readers"), "");
    cluster.produce(2, 0..3);
    assert_eq!(cluster.ok("consume orders --group readers"), "2-0\n2-1\n2-2\n");
    let expected =
        [[Some(10), Some(10), Some(0)], [Some(20), Some(20), Some(0)], [Some(3), Some(3), Some(0)]];
    assert_eq!(cluster.offsets("readers"), expected);
    // Another group has its own offsets.
    assert_eq!(cluster.ok("consume orders --group others").lines().count(), 33);
}

#[test]
fn only_what_was_printed_is_committed() {
    let cluster = Cluster::start();
    let mut all = cluster.ok("consume orders --group readers --count 7");
    assert_eq!(all.lines().count(), 7);
    let lags = cluster.offsets("readers").into_iter().map(|[_, _, lag]| lag.unwrap());
    assert_eq!(lags.sum::<i64>(), 23);
    all.push_str(&cluster.ok("consume orders --group readers"));
    assert_eq!(sorted(&all), sorted(&cluster.ok("consume orders")));
}

#[test]
fn a_new_group_starts_where_from_says_and_an_old_one_where_it_was() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ok("consume orders --group readers --from latest --exit-at-end"), "");
    cluster.produce(0, 10..11);
    assert_eq!(cluster.ok("consume orders --group readers --from earliest"), "0-10\n");
    let why = cluster.fails("consume orders --group readers --from 3");
    assert!(why.contains("reset-offsets"), "{why}");
}

#[test]
fn members_share_the_partitions_and_take_over_when_one_leaves() {
    let cluster = Cluster::start();
    let mut first = Member::start(&cluster, "");
    for _ in 0..30 {
        first.next();
    }
    let mut second = Member::start(&cluster, "");
    // Until both are in one generation with all three partitions between them.
    let members = loop {
        let described = cluster.json("group describe readers --members");
        let members = described[0]["members"].as_array().unwrap().clone();
        let assigned: usize =
            members.iter().map(|member| member["partitions"].as_array().unwrap().len()).sum();
        if described[0]["state"] == "Stable" && members.len() == 2 && assigned == 3 {
            break members;
        }
    };
    let counts: Vec<usize> = members.iter().map(|one| one["partitions"].as_array().unwrap().len()).collect();
    assert_eq!(counts.iter().max(), Some(&2), "{members:?}");
    assert!(members.iter().all(|member| member["client"] == "ottla-cli"));

    for partition in 0..3 {
        cluster.produce(partition, 100..101);
    }
    let mut said = [first.stop(), Vec::new()];
    // What the first one had is read by the second now, from where it was committed.
    while said.iter().map(Vec::len).sum::<usize>() < 3 {
        said[1].push(second.next());
    }
    let mut all: Vec<String> = said.concat();
    all.sort();
    assert_eq!(all, ["0-100", "1-100", "2-100"]);
    second.stop();
    let state = cluster.json("group describe readers --state");
    assert_eq!((&state[0]["state"], state[0]["members"].as_array().unwrap().len()), (&"Empty".into(), 0));
}

#[test]
fn groups_are_listed_with_their_states_and_described_with_who_reads() {
    let cluster = Cluster::start();
    assert_eq!(cluster.ok("group list").trim(), "group  state  type  protocol type");
    cluster.ok("consume orders --group idle");
    let mut member = Member::start(&cluster, "--instance-id one");
    member.next();
    let listed = cluster.ok("group list");
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["idle", "Empty", "classic", "consumer"]);
    assert_eq!(rows[2], ["readers", "Stable", "classic", "consumer"]);
    let stable = cluster.json("group list --state stable");
    assert_eq!((stable.as_array().unwrap().len(), &stable[0]["group"]), (1, &"readers".into()));

    let described = cluster.ok("group describe readers");
    assert!(described.starts_with("readers  Stable  members 1\n"), "{described}");
    let row = described.lines().last().unwrap();
    assert!(row.contains("orders") && row.contains("127.0.0.1") && row.contains("ottla-cli"), "{described}");
    let members = cluster.json("group describe readers --members");
    assert_eq!(members[0]["members"][0]["instance"], "one");
    assert_eq!(members[0]["assignor"], "range");
    assert!(cluster.ok("group describe --state").contains("range"));
    let why = cluster.fails("group describe nobody");
    assert!(why.contains("GROUP_ID_NOT_FOUND") && why.contains("ottla group list"), "{why}");
}

#[test]
fn offsets_are_reset_by_each_rule_and_only_with_execute() {
    let cluster = Cluster::start();
    cluster.ok("consume orders --group readers");
    let reset = |line: &str| cluster.json(&format!("group reset-offsets readers {line}"));
    let after = |line: &str| -> Vec<i64> {
        let reset = reset(line);
        reset["offsets"].as_array().unwrap().iter().map(|row| row["after"].as_i64().unwrap()).collect()
    };
    let all = "--all-topics";
    assert_eq!(after(&format!("{all} --to-earliest")), [0, 0, 0]);
    assert_eq!(cluster.offsets("readers")[0][0], Some(10), "that was a rehearsal");

    let executed = reset("--topic orders:0,1 --shift-by -4 --execute");
    assert_eq!((&executed["executed"], &executed["offsets"][0]["before"]), (&true.into(), &10.into()));
    assert_eq!(cluster.offsets("readers")[0], [Some(6), Some(10), Some(4)]);
    assert_eq!(after(&format!("{all} --to-current")), [6, 16, 0]);
    assert_eq!(after(&format!("{all} --to-latest")), [10, 20, 0]);
    assert_eq!(after(&format!("{all} --to-offset 12")), [10, 12, 0], "within the logs");
    assert_eq!(after(&format!("{all} --shift-by 1000")), [10, 20, 0]);
    assert_eq!(after(&format!("{all} --by-duration P1D")), [0, 0, 0]);
    assert_eq!(after(&format!("{all} --to-datetime 2000-01-01")), [0, 0, 0]);
    assert_eq!(after(&format!("{all} --to-datetime 2100-01-01")), [10, 20, 0], "none is that late");

    let table = cluster.ok("group reset-offsets readers --topic orders:1 --to-offset 19 --execute");
    assert!(!table.contains("Nothing was changed"), "{table}");
    assert_eq!(cluster.ok("consume orders --group readers").lines().count(), 4 + 1);
}

#[test]
fn offsets_go_out_to_a_file_and_come_in_again() {
    let cluster = Cluster::start();
    cluster.ok("consume orders --group readers --count 30");
    let exported = cluster.ok("group reset-offsets readers --all-topics --shift-by -2 --export");
    assert_eq!(exported.lines().next(), Some("orders,0,8"), "{exported}");
    let path = cluster.server.directory().join("offsets.csv");
    std::fs::write(&path, &exported).unwrap();
    let line = format!("group reset-offsets copy --from-file {} --execute", path.display());
    let text = cluster.ok(&line);
    assert!(text.contains("before") && !text.contains("Nothing was changed"), "{text}");
    assert_eq!(cluster.offsets("copy")[..2], [[Some(8), Some(10), Some(2)], [Some(18), Some(20), Some(2)]]);

    std::fs::write(&path, "orders,9,0\n").unwrap();
    let why = cluster.fails(&line);
    assert!(why.contains("there is no partition orders-9"), "{why}");
}

#[test]
fn a_group_with_members_keeps_its_offsets_and_its_life() {
    let cluster = Cluster::start();
    cluster.ok("consume orders --group readers --count 5");
    let mut member = Member::start(&cluster, "");
    member.next();
    for (line, expected) in [
        ("group delete-offsets readers --topic orders", "GROUP_SUBSCRIBED_TO_TOPIC"),
        ("group reset-offsets readers --topic orders --to-latest --execute", "has 1 members and is Stable"),
        ("group delete readers", "NON_EMPTY_GROUP"),
    ] {
        let why = cluster.fails(line);
        assert!(why.contains(expected) && why.contains("--members"), "{why}");
    }
    member.stop();
    let deleted = cluster.json("group delete-offsets readers --topic orders:0");
    assert_eq!((&deleted[0]["partition"], &deleted[0]["error"]), (&0.into(), &Value::Null));
    let why = cluster.fails("group delete-offsets readers --topic orders:0");
    assert!(why.contains("no such offsets in the topic orders"), "{why}");
    let output = cluster.run("group delete one readers two");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Deleted group readers.\n");
    let why = stderr(&output);
    assert!(why.contains("for group one") && why.contains("for group two"), "all that fails is told: {why}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn offsets_survive_a_restart_and_a_crash_of_the_broker() {
    let mut cluster = Cluster::start();
    cluster.ok("consume orders --group readers --count 12");
    let before = cluster.offsets("readers");
    cluster.server = cluster.server.restart(&SETTINGS);
    assert_eq!(cluster.offsets("readers"), before);
    cluster.server = cluster.server.crash_and_restart(&SETTINGS);
    assert_eq!(cluster.offsets("readers"), before);
    assert_eq!(cluster.ok("consume orders --group readers").lines().count(), 18);
}
