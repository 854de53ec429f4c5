//! The processes of a local cluster: each is up, on its way down, or down; orders, signals and their own ends move them.
//!
//! One task owns all of it and does one thing after the other.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::bail;
use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::child::{Child, Event, Program, Run};
use super::control::{Order, Outcome, Request};
use super::printer::Line;

/// What is the same for all processes.
#[derive(Debug)]
pub(super) struct Options {
    /// How long a process may take to stop before it is killed.
    pub(super) stop_within: Duration,
    /// What is said when all of them listen for the first time.
    pub(super) greeting: String,
}

/// The processes.
#[derive(Debug)]
pub(super) struct Supervisor {
    nodes: BTreeMap<i32, Node>,
    options: Options,
    lines: mpsc::Sender<Line>,
    events: mpsc::UnboundedSender<Event>,
    happened: mpsc::UnboundedReceiver<Event>,
    runs: u64,
    is_greeted: bool,
    is_stopping: bool,
    /// Those that did not stop in time at the end, or were not given the time.
    forced: Vec<i32>,
}

#[derive(Debug)]
struct Node {
    program: Program,
    state: State,
}

#[derive(Debug)]
enum State {
    Up {
        child: Child,
        is_paused: bool,
        is_listening: bool,
    },
    /// It was told to end.
    Ending {
        child: Child,
        /// Until when it may take its time.
        deadline: Option<Instant>,
        then: Then,
    },
    Down {
        /// How it ended, if nobody told it to.
        by_itself: Option<String>,
    },
}

#[derive(Debug)]
enum Then {
    Nothing,
    Reply(oneshot::Sender<Outcome>),
    Restart(oneshot::Sender<Outcome>),
}

impl Supervisor {
    /// Starts all of them. Those that cannot be started are down.
    pub(super) fn start(
        nodes: impl IntoIterator<Item = (i32, Program)>,
        options: Options,
        lines: mpsc::Sender<Line>,
    ) -> Self {
        let (events, happened) = mpsc::unbounded_channel();
        let nodes: BTreeMap<i32, Node> = nodes
            .into_iter()
            .map(|(id, program)| (id, Node { program, state: State::Down { by_itself: None } }))
            .collect();
        let ids: Vec<i32> = nodes.keys().copied().collect();
        let mut supervisor = Self {
            nodes,
            options,
            lines,
            events,
            happened,
            runs: 0,
            is_greeted: false,
            is_stopping: false,
            forced: Vec::new(),
        };
        for id in ids {
            // That it is down is found when it is looked at next, and told then.
            let _ = supervisor.launch(id);
        }
        supervisor
    }

    /// Watches over them until a signal stops all, nobody reads any more, or none runs though nobody told it to end.
    ///
    /// # Errors
    /// None of them runs any more, or one had to be killed.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut stops: mpsc::UnboundedReceiver<&'static str>,
    ) -> anyhow::Result<()> {
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            let deadline = self.next_deadline();
            let lines = self.lines.clone();
            tokio::select! {
                biased;
                Some(signal) = stops.recv() => self.stop(signal),
                Some(event) = self.happened.recv() => self.happen(event),
                () = lines.closed(), if !self.is_stopping => self.stop("the end of standard output"),
                () = until(deadline) => self.kill_late(),
                Some(request) = requests.recv() => self.request(request),
            }
        }
    }

    /// Says something to whoever watches. When a thousand lines wait to be read nobody does, and processes must be stopped
    /// all the same.
    fn say(&self, text: String) {
        let _ = self.lines.try_send(Line { from: None, text: text.into_bytes() });
    }

    fn launch(&mut self, id: i32) -> io::Result<u32> {
        self.runs += 1;
        let run = Run { id, number: self.runs };
        let Some(node) = self.nodes.get_mut(&id) else { return Err(io::ErrorKind::NotFound.into()) };
        match Child::start(run, &node.program, &self.lines, &self.events) {
            Ok(child) => {
                let pid = child.pid;
                node.state = State::Up { child, is_paused: false, is_listening: false };
                Ok(pid)
            }
            Err(error) => {
                let how = format!("could not be started: {error}");
                node.state = State::Down { by_itself: Some(how) };
                Err(error)
            }
        }
    }

    /// How it all ended, if it did.
    fn ended(&self) -> Option<anyhow::Result<()>> {
        let mut ends = Vec::new();
        for (id, node) in &self.nodes {
            match &node.state {
                State::Down { by_itself } => {
                    ends.extend(by_itself.iter().map(|how| format!("broker {id} {how}")))
                }
                State::Up { .. } | State::Ending { .. } => return None,
            }
        }
        if self.is_stopping {
            return Some(self.stopped());
        }
        // All were killed by command, and can be started again by command.
        if ends.is_empty() {
            return None;
        }
        Some(Err(anyhow::anyhow!("no broker runs any more:\n{}", ends.join("\n"))))
    }

    fn stopped(&self) -> anyhow::Result<()> {
        if self.forced.is_empty() {
            return Ok(());
        }
        let forced: Vec<String> = self.forced.iter().map(ToString::to_string).collect();
        bail!(
            "killed before they had stopped: broker {}. They recover at their next start",
            forced.join(", ")
        )
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.nodes.values().filter_map(|node| match node.state {
            State::Ending { deadline, .. } => deadline,
            State::Up { .. } | State::Down { .. } => None,
        });
        deadlines.min()
    }

    fn kill_late(&mut self) {
        let now = Instant::now();
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            let Some(State::Ending { child, deadline, .. }) =
                self.nodes.get_mut(&id).map(|node| &mut node.state)
            else {
                continue;
            };
            if deadline.take_if(|deadline| *deadline <= now).is_some() {
                child.signal(Signal::KILL);
                if self.is_stopping {
                    self.forced.push(id);
                }
                let patience = self.options.stop_within;
                self.say(format!("broker {id} has not stopped in {patience:?}, and is killed"));
            }
        }
    }

    /// Stops all; the second time at once.
    fn stop(&mut self, because: &str) {
        let is_first = !std::mem::replace(&mut self.is_stopping, true);
        let text = match is_first {
            true => format!("stopping all after {because}; another signal kills them"),
            false => format!("killing what still runs after {because}"),
        };
        self.say(text);
        let deadline = is_first.then(|| Instant::now() + self.options.stop_within);
        for (id, node) in &mut self.nodes {
            node.state = match std::mem::replace(&mut node.state, State::Down { by_itself: None }) {
                State::Up { child, .. } => {
                    end(&child);
                    State::Ending { child, deadline, then: Then::Nothing }
                }
                State::Ending { child, then, .. } if is_first => {
                    // It was to be restarted; now it is not. Who waits is told when this reply is dropped.
                    let then = if let Then::Restart(_) = then { Then::Nothing } else { then };
                    State::Ending { child, deadline, then }
                }
                State::Ending { child, then, .. } => {
                    child.signal(Signal::KILL);
                    if !self.forced.contains(id) {
                        self.forced.push(*id);
                    }
                    State::Ending { child, deadline: None, then }
                }
                down @ State::Down { .. } => down,
            };
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Listening(run) => self.listens(run),
            Event::Ended(run, status, last_words) => self.ends(run, &how(status), &last_words),
        }
    }

    fn listens(&mut self, of: Run) {
        let mut all = true;
        for node in self.nodes.values_mut() {
            match &mut node.state {
                State::Up { child, is_listening, .. } => {
                    *is_listening |= child.run == of;
                    all &= *is_listening;
                }
                State::Ending { .. } | State::Down { .. } => all = false,
            }
        }
        if all && !std::mem::replace(&mut self.is_greeted, true) {
            self.say(self.options.greeting.clone());
        }
    }

    fn ends(&mut self, run: Run, how: &str, last_words: &str) {
        let id = run.id;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let is_this_run = match &node.state {
            State::Up { child, .. } | State::Ending { child, .. } => child.run == run,
            State::Down { .. } => false,
        };
        if !is_this_run {
            return;
        }
        match std::mem::replace(&mut node.state, State::Down { by_itself: None }) {
            State::Ending { child, then: Then::Reply(reply), .. } => {
                let done = format!(
                    "broker {id} (process {}) was killed: `ottla dev restart {id}` starts it",
                    child.pid
                );
                self.done(reply, done);
            }
            State::Ending { then: Then::Restart(reply), .. } => self.start_again(id, reply),
            State::Ending { .. } => self.say(format!("broker {id} ended with {how}")),
            State::Up { .. } | State::Down { .. } => {
                let said = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
                let how = format!("ended by itself with {how}{said}");
                self.say(format!("broker {id} {how}\n`ottla dev restart {id}` starts it again"));
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.state = State::Down { by_itself: Some(how) };
                }
            }
        }
    }

    fn start_again(&mut self, id: i32, reply: oneshot::Sender<Outcome>) {
        match self.launch(id) {
            Ok(pid) => self.done(reply, format!("broker {id} was started again, as process {pid}")),
            Err(error) => refuse(reply, format!("broker {id} could not be started again: {error}")),
        }
    }

    /// Tells both who asked and who watches.
    fn done(&self, reply: oneshot::Sender<Outcome>, text: String) {
        self.say(text.clone());
        // Who asked may have gone.
        let _ = reply.send(Ok(text));
    }

    fn request(&mut self, request: Request) {
        let Request { order, broker: id, reply } = request;
        if self.is_stopping {
            return refuse(reply, "the cluster is stopping".to_owned());
        }
        let ids: Vec<String> = self.nodes.keys().map(ToString::to_string).collect();
        let Some(node) = self.nodes.get_mut(&id) else {
            return refuse(reply, format!("there is no broker {id}: there are {}", ids.join(", ")));
        };
        let text = match (&mut node.state, order) {
            (State::Ending { .. }, _) => return refuse(reply, format!("broker {id} is being stopped")),
            (State::Down { .. }, Order::Restart) => return self.start_again(id, reply),
            (State::Down { .. }, _) => {
                return refuse(
                    reply,
                    format!("broker {id} does not run: `ottla dev restart {id}` starts it"),
                );
            }
            (State::Up { child, is_paused, .. }, Order::Pause) => {
                child.signal(Signal::STOP);
                *is_paused = true;
                format!(
                    "broker {id} (process {}) is paused: `ottla dev resume {id}` lets it go on",
                    child.pid
                )
            }
            (State::Up { is_paused: false, .. }, Order::Resume) => {
                return refuse(reply, format!("broker {id} is not paused"));
            }
            (State::Up { child, is_paused, .. }, Order::Resume) => {
                child.signal(Signal::CONT);
                *is_paused = false;
                format!("broker {id} (process {}) goes on", child.pid)
            }
            (State::Up { .. }, Order::Kill | Order::Restart) => {
                let deadline = (order == Order::Restart).then(|| Instant::now() + self.options.stop_within);
                let ended = std::mem::replace(&mut node.state, State::Down { by_itself: None });
                if let State::Up { child, .. } = ended {
                    let then = if order == Order::Kill {
                        child.signal(Signal::KILL);
                        Then::Reply(reply)
                    } else {
                        end(&child);
                        Then::Restart(reply)
                    };
                    node.state = State::Ending { child, deadline, then };
                }
                return;
            }
        };
        self.done(reply, text);
    }
}

/// Asks a process to end in order. One that is paused would not hear it.
fn end(child: &Child) {
    child.signal(Signal::TERM);
    child.signal(Signal::CONT);
}

fn refuse(reply: oneshot::Sender<Outcome>, why: String) {
    // Who asked may have gone.
    let _ = reply.send(Err(why));
}

fn how(status: io::Result<ExitStatus>) -> String {
    match status {
        // Its own text says either "exit status: 1" or "signal: 9 (SIGKILL)".
        Ok(status) => status.to_string(),
        Err(error) => format!("an end that could not be waited for: {error}"),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
