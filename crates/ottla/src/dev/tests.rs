//! The supervisor with processes of all kinds, and what reaches it from another terminal.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::child::Program;
use super::control::{self, Order};
use super::folder::Folder;
use super::printer::Line;
use super::supervisor::{Options, Supervisor};

/// What a well-behaved process does.
const GOOD: &str = "echo Listening on nothing; exec sleep 1000";

/// One that does not stop when it is asked to. What it starts is short, so that nothing of it is left behind.
const STUBBORN: &str = "trap '' TERM; echo Listening on nothing; while :; do sleep 0.1; done";

/// One that says so when it is asked to stop.
const POLITE: &str = "trap 'echo asked; exit 0' TERM; echo Listening on nothing; while :; do sleep 0.1; done";

/// A supervisor with shells instead of brokers.
struct Cluster {
    folder: tempfile::TempDir,
    lines: mpsc::Receiver<Line>,
    stops: mpsc::UnboundedSender<&'static str>,
    ended: JoinHandle<anyhow::Result<()>>,
}

fn shell(script: &str) -> Program {
    Program { program: PathBuf::from("sh"), arguments: vec!["-c".into(), script.into()] }
}

impl Cluster {
    fn start(scripts: &[&str]) -> Self {
        Self::start_with(scripts, Duration::from_secs(60))
    }

    fn start_with(scripts: &[&str], stop_within: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::claim(directory.path(), false).unwrap();
        let requests = control::serve(&folder).unwrap();
        let (sender, lines) = mpsc::channel(1000);
        let (stops, stopped) = mpsc::unbounded_channel();
        let nodes = scripts.iter().zip(1..).map(|(script, id)| (id, shell(script)));
        let options = Options { stop_within, greeting: "all listen".to_owned() };
        let supervisor = Supervisor::start(nodes, options, sender);
        let ended = tokio::spawn(async move {
            let ended = supervisor.run(requests, stopped).await;
            folder.leave().unwrap();
            ended
        });
        Self { folder: directory, lines, stops, ended }
    }

    /// Reads what is said until a line has this in it; gives that line.
    async fn heard(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv().await.unwrap_or_else(|| panic!("nobody said {part}"));
            let text = String::from_utf8(line.text).unwrap();
            if text.contains(part) {
                return text;
            }
        }
    }

    async fn ask(&self, order: Order, broker: i32) -> Result<String, String> {
        control::ask(self.folder.path(), order, broker).await.map_err(|error| error.to_string())
    }

    async fn stop(self) -> Result<(), String> {
        self.stops.send("a test").unwrap();
        self.ended.await.unwrap().map_err(|error| error.to_string())
    }
}

/// The number of the process in what was said of it.
fn process_in(text: &str) -> u32 {
    let (_, rest) = text.split_once("process ").unwrap();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Waits until the kernel says that a process is in one of these states: T stopped, S sleeping.
#[cfg(target_os = "linux")]
async fn reaches(pid: u32, states: &str) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        if states.contains(rest.trim().chars().next().unwrap()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn all_are_started_and_all_stop_in_order() {
    let mut cluster = Cluster::start(&[GOOD, GOOD]);
    cluster.heard("all listen").await;
    assert_eq!(cluster.stop().await, Ok(()));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_paused_process_is_stopped_by_the_kernel_until_it_is_resumed() {
    let mut cluster = Cluster::start(&[GOOD, GOOD]);
    cluster.heard("all listen").await;
    let done = cluster.ask(Order::Pause, 2).await.unwrap();
    assert!(done.starts_with("broker 2 (process ") && done.contains("ottla dev resume 2"), "{done}");
    reaches(process_in(&done), "T").await;
    let done = cluster.ask(Order::Resume, 2).await.unwrap();
    reaches(process_in(&done), "S").await;
    assert_eq!(cluster.ask(Order::Resume, 2).await, Err("broker 2 is not paused".to_owned()));
    // One that is paused stops in order too.
    cluster.ask(Order::Pause, 1).await.unwrap();
    assert_eq!(cluster.stop().await, Ok(()));
}

#[tokio::test]
async fn a_killed_process_stays_down_until_it_is_restarted() {
    let mut cluster = Cluster::start(&[GOOD]);
    cluster.heard("all listen").await;
    let killed = cluster.ask(Order::Kill, 1).await.unwrap();
    assert!(killed.contains("was killed"), "{killed}");
    let refused = cluster.ask(Order::Pause, 1).await.unwrap_err();
    assert_eq!(refused, "broker 1 does not run: `ottla dev restart 1` starts it");
    let started = cluster.ask(Order::Restart, 1).await.unwrap();
    assert_ne!(process_in(&started), process_in(&killed));
    assert_eq!(cluster.stop().await, Ok(()));
}

#[tokio::test]
async fn a_restart_asks_first() {
    let mut cluster = Cluster::start(&[POLITE]);
    cluster.heard("all listen").await;
    let started = cluster.ask(Order::Restart, 1).await.unwrap();
    assert!(started.contains("broker 1 was started again"), "{started}");
    cluster.heard("asked").await;
    assert_eq!(cluster.stop().await, Ok(()));
}

#[tokio::test]
async fn a_restart_kills_who_takes_too_long() {
    let mut cluster = Cluster::start_with(&[STUBBORN], Duration::from_millis(100));
    cluster.heard("all listen").await;
    let started = cluster.ask(Order::Restart, 1).await.unwrap();
    assert!(started.contains("broker 1 was started again"), "{started}");
    cluster.heard("has not stopped").await;
    // Only then does it not hear.
    cluster.heard("Listening on").await;
    let error = cluster.stop().await.unwrap_err();
    assert!(error.contains("killed before they had stopped: broker 1"), "{error}");
}

#[tokio::test]
async fn who_does_not_stop_is_killed_by_a_second_signal() {
    let mut cluster = Cluster::start(&[STUBBORN, GOOD]);
    cluster.heard("all listen").await;
    cluster.stops.send("one").unwrap();
    cluster.heard("stopping all after one").await;
    cluster.stops.send("two").unwrap();
    let error = cluster.ended.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("broker 1"), "{error}");
}

#[tokio::test]
async fn one_that_dies_is_reported_and_the_others_go_on() {
    let mut cluster = Cluster::start(&[GOOD, "echo the reason >&2; exit 3"]);
    let told = cluster.heard("ended by itself").await;
    assert_eq!(
        told,
        "broker 2 ended by itself with exit status: 3: the reason\n`ottla dev restart 2` starts it again"
    );
    assert!(cluster.ask(Order::Pause, 1).await.is_ok());
    assert_eq!(cluster.stop().await, Ok(()));
}

#[tokio::test]
async fn when_none_runs_any_more_the_end_says_why() {
    let cluster = Cluster::start(&["echo first >&2; exit 1", "echo second >&2; kill -9 $$"]);
    let error = cluster.ended.await.unwrap().unwrap_err().to_string();
    assert_eq!(
        error,
        "no broker runs any more:\nbroker 1 ended by itself with exit status: 1: first\n\
         broker 2 ended by itself with signal: 9 (SIGKILL)",
        "what one says before it is killed is not the reason"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let (lines, _said) = mpsc::channel(10);
    let program = Program { program: PathBuf::from("./no/such/program"), arguments: Vec::new() };
    let options = Options { stop_within: Duration::ZERO, greeting: String::new() };
    let (_asking, requests) = mpsc::channel(1);
    let (_stopping, stops) = mpsc::unbounded_channel();
    let error = Supervisor::start([(1, program)], options, lines).run(requests, stops).await.unwrap_err();
    assert!(error.to_string().contains("broker 1 could not be started"), "{error}");
}

#[tokio::test]
async fn all_stop_when_nobody_reads_what_they_say() {
    let mut cluster = Cluster::start(&[GOOD]);
    cluster.heard("all listen").await;
    drop(cluster.lines);
    assert!(cluster.ended.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_broker_that_there_is_not_is_refused_with_those_that_there_are() {
    let cluster = Cluster::start(&[GOOD, GOOD]);
    assert_eq!(cluster.ask(Order::Kill, 7).await, Err("there is no broker 7: there are 1, 2".to_owned()));
    assert_eq!(cluster.stop().await, Ok(()));
}

#[tokio::test]
async fn where_no_cluster_runs_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = control::ask(folder.path(), Order::Pause, 1).await.unwrap_err().to_string();
    assert!(error.contains("no cluster of `ottla dev` runs in") && error.contains("--data"), "{error}");
    // Nor where one ran and was killed: its socket is there, and nobody listens.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap());
    let error = control::ask(folder.path(), Order::Pause, 1).await.unwrap_err().to_string();
    assert!(error.contains("no cluster of `ottla dev` runs in"), "{error}");
    // And the next cluster is not hindered by it.
    let folder = Folder::claim(folder.path(), false).unwrap();
    assert!(control::serve(&folder).is_ok());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_told() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("x".repeat(120));
    let folder = Folder::claim(&path, false).unwrap();
    let error = control::serve(&folder).unwrap_err().to_string();
    assert!(error.contains("a socket's may have 103"), "{error}");
}
