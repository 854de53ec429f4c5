//! Members of a consumer group, each a process of its own that can be killed, and what they tell.
//!
//! A member's program gets `member DESCRIPTION`, subscribes, and prints a line for each thing that happens to it:
//! `assigned 0,1` for partitions that it has from now on, `revoked 0,1` for those that it no longer has, and
//! `record PARTITION OFFSET VALUE`. It commits what it printed at once, before it polls again, and before it gives
//! partitions away. When its standard input ends it leaves the group and prints `left`. A program that cannot be such a
//! member prints `not offered`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    command::{self, Owned, eventually},
    driver::NotOffered,
};

/// How long a rebalance and what it waits for may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How a member takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    /// With cooperative-sticky in the place of an eager assignor.
    pub(crate) cooperative: bool,
    /// Its `group.instance.id`, if it is a static member.
    pub(crate) instance: Option<&'a str>,
    pub(crate) session_timeout_ms: u32,
}

impl<'a> Membership<'a> {
    pub(crate) fn of(group: &'a str, topic: &'a str) -> Self {
        Self { group, topic, cooperative: false, instance: None, session_timeout_ms: 10_000 }
    }

    pub(crate) fn to_json(self, bootstrap: &str) -> Value {
        json!({
            "bootstrap": bootstrap, "group": self.group, "topic": self.topic, "cooperative": self.cooperative,
            "instance": self.instance, "session_timeout_ms": self.session_timeout_ms,
        })
    }
}

/// A record as a member printed it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) partition: i64,
    pub(crate) offset: i64,
    pub(crate) number: i64,
}

/// Everything a member has printed.
#[derive(Debug, Default)]
struct Told {
    owned: BTreeSet<i64>,
    /// Every partition that was ever taken from it.
    lost: BTreeSet<i64>,
    /// How many lines were about partitions.
    changes: usize,
    records: Vec<Seen>,
    left: bool,
    not_offered: bool,
    ended: bool,
    /// A line that is none of these.
    riddle: Option<String>,
}

/// A running member.
pub(crate) struct Member {
    name: String,
    process: Owned,
    input: Option<ChildStdin>,
    told: Arc<Mutex<Told>>,
    log: PathBuf,
}

impl Member {
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let errors = command::open_log(log)?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut process = Owned(child.with_context(|| format!("cannot run {command:?}"))?);
        let input = process.0.stdin.take();
        let output = process.0.stdout.take().context("no standard output")?;
        let told = Arc::new(Mutex::new(Told::default()));
        let shared = Arc::clone(&told);
        thread::spawn(move || listen(output, &shared));
        Ok(Self { name: name.to_owned(), process, input, told, log: log.to_owned() })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The partitions that it has; an error if it has ended without being asked to.
    pub(crate) fn owned(&self) -> Result<BTreeSet<i64>> {
        self.with(|told| {
            if told.not_offered {
                bail!(NotOffered);
            }
            if let Some(riddle) = &told.riddle {
                bail!("member {} says {riddle:?}", self.name);
            }
            ensure!(!told.ended, "member {} has ended by itself; see {}", self.name, self.log.display());
            Ok(told.owned.clone())
        })
    }

    /// Every partition that was ever taken from it.
    pub(crate) fn lost(&self) -> BTreeSet<i64> {
        self.with(|told| told.lost.clone())
    }

    /// How often something changed in what it owns.
    pub(crate) fn changes(&self) -> usize {
        self.with(|told| told.changes)
    }

    pub(crate) fn records(&self) -> Vec<Seen> {
        self.with(|told| told.records.clone())
    }

    /// Ends it without a word to the broker (SIGKILL).
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Has it leave the group, and waits until it has.
    pub(crate) fn leave(&mut self) -> Result<()> {
        self.input = None;
        let status = self
            .process
            .wait(LIMIT)
            .with_context(|| format!("member {} does not leave; see {}", self.name, self.log.display()))?;
        let left = eventually(LIMIT, || Ok(self.with(|told| told.ended.then_some(told.left))))?;
        ensure!(status.success() && left == Some(true), "member {} ended with {status}", self.name);
        Ok(())
    }
}

fn listen(output: ChildStdout, told: &Mutex<Told>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.take(&line).is_none() && told.riddle.is_none() {
            told.riddle = Some(line);
        }
    }
    told.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}

impl Told {
    fn take(&mut self, line: &str) -> Option<()> {
        match line.split_once(' ') {
            None if line == "left" => self.left = true,
            // Nothing was assigned, or nothing given away.
            None if line == "assigned" || line == "revoked" => self.changes += 1,
            Some(("assigned", partitions)) => {
                self.owned.extend(numbers(partitions)?);
                self.changes += 1;
            }
            Some(("revoked", partitions)) => {
                for partition in numbers(partitions)? {
                    self.owned.remove(&partition);
                    self.lost.insert(partition);
                }
                self.changes += 1;
            }
            Some(("record", rest)) => {
                let mut words = rest.split(' ').map(str::parse);
                let mut next = || words.next()?.ok();
                let seen = Seen { partition: next()?, offset: next()?, number: next()? };
                self.records.push(seen);
            }
            Some(("not", "offered")) => self.not_offered = true,
            _ => return None,
        }
        Some(())
    }
}

fn numbers(text: &str) -> Option<Vec<i64>> {
    text.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect()
}

/// Waits until the members own `partitions` between them, each one at one member only and each member as many as the
/// others, give or take one.
pub(crate) fn settled(members: &[&Member], partitions: i64) -> Result<()> {
    let mut owned = Vec::new();
    let balanced = eventually(LIMIT, || {
        owned = members.iter().map(|member| member.owned()).collect::<Result<Vec<_>>>()?;
        let (least, most) = (owned.iter().map(BTreeSet::len).min(), owned.iter().map(BTreeSet::len).max());
        let sum: usize = owned.iter().map(BTreeSet::len).sum();
        let all: BTreeSet<i64> = owned.iter().flatten().copied().collect();
        let whole = all == (0..partitions).collect() && sum == all.len();
        Ok((whole && most.unwrap_or(0) <= least.unwrap_or(0) + 1).then_some(()))
    })?;
    balanced.with_context(|| format!("the {partitions} partitions stay assigned as {owned:?}"))
}

/// Waits until the members, dead ones included, have seen every number up to `count`.
pub(crate) fn all_seen(members: &[&Member], count: i64) -> Result<()> {
    let mut missing = Vec::new();
    let done = eventually(LIMIT, || {
        let seen: BTreeSet<i64> = members.iter().flat_map(|m| m.records()).map(|seen| seen.number).collect();
        missing = (0..count).filter(|number| !seen.contains(number)).collect();
        Ok(missing.is_empty().then_some(()))
    })?;
    done.with_context(|| {
        let ended: Vec<_> = members.iter().filter(|m| m.with(|told| told.ended)).map(|m| &m.name).collect();
        format!(
            "{} of {count} records are not seen, first {:?}; members that have ended: {ended:?}",
            missing.len(),
            missing.first()
        )
    })
}

/// No record with a number below `limit` was seen twice, by whichever member.
pub(crate) fn each_once(members: &[&Member], limit: i64) -> Result<()> {
    let mut times = BTreeMap::<i64, usize>::new();
    let seen = members.iter().flat_map(|member| member.records());
    for seen in seen.filter(|seen| seen.number < limit) {
        *times.entry(seen.number).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).map(|(number, _)| number).collect();
    ensure!(twice.is_empty(), "{} records were seen more than once, first {:?}", twice.len(), twice.first());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_prints_is_kept_and_what_makes_no_sense_is_told() {
        let mut told = Told::default();
        for line in ["assigned 0,1,2", "record 1 7 42", "revoked 1", "assigned", "left"] {
            assert_eq!(told.take(line), Some(()), "{line}");
        }
        assert_eq!((told.owned, told.lost), (BTreeSet::from([0, 2]), BTreeSet::from([1])));
        assert_eq!((told.changes, told.left, told.records[0].number), (3, true, 42));
        for line in ["assigned x", "record 1 2", "hello", "recordings 1 2 3"] {
            assert_eq!(Told::default().take(line), None, "{line}");
        }
    }
}
