//! kcat as a balanced consumer (`-G`): a process for each member of a group.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::{Kcat, LIMIT, lines};
use crate::{
    broker::NUM_PARTITIONS,
    command::{Owned, eventually, open_log},
};

/// A member, and the files that its output goes to.
struct Member {
    process: Owned,
    printed: PathBuf,
    told: PathBuf,
}

impl Member {
    fn start(kcat: &Kcat, folder: &Path, name: &str, topic: &str) -> Result<Self> {
        let (printed, told) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let settings =
            ["auto.offset.reset=earliest", "session.timeout.ms=3000", "auto.commit.interval.ms=50"];
        let mut command = kcat.command(&["-G", topic, "-u"]);
        for setting in settings {
            command.args(["-X", setting]);
        }
        command.arg(topic).stdin(Stdio::null()).stdout(open_log(&printed)?).stderr(open_log(&told)?);
        Ok(Self { process: Owned(command.spawn().context("cannot run kcat -G")?), printed, told })
    }

    /// How many partitions it has by the last that it told.
    fn owned(&self) -> Result<usize> {
        let told = fs::read_to_string(&self.told).context("cannot read what kcat tells")?;
        let mut rebalances = told.lines().filter(|line| line.contains(" rebalanced (memberid"));
        let last = rebalances.next_back().and_then(|line| line.split_once("): assigned: "));
        Ok(last.map_or(0, |(_, partitions)| partitions.matches('[').count()))
    }

    fn lines(&self) -> Result<Vec<String>> {
        let printed = fs::read_to_string(&self.printed).context("cannot read what kcat prints")?;
        // One that is killed may have half a line written.
        let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole.lines().map(str::to_owned).collect())
    }
}

fn expect_owned(members: &[(&Member, usize)]) -> Result<()> {
    let mut owned = Vec::new();
    let as_expected = eventually(LIMIT, || {
        owned = members.iter().map(|(member, _)| member.owned()).collect::<Result<Vec<_>>>()?;
        Ok(owned.iter().eq(members.iter().map(|(_, expected)| expected)).then_some(()))
    })?;
    as_expected.with_context(|| format!("members own {owned:?} partitions"))
}

/// Waits until every line has come to some member; gives how many were printed of these, repetitions included.
fn expect_all(members: &[&Member], expected: &str) -> Result<usize> {
    let (mut printed, mut missing) = (0, BTreeSet::new());
    let all = eventually(LIMIT, || {
        let lines = members.iter().map(|member| member.lines()).collect::<Result<Vec<_>>>()?.concat();
        missing = expected.lines().map(str::to_owned).collect();
        printed = lines.iter().filter(|line| missing.contains(*line)).count();
        for line in &lines {
            missing.remove(line);
        }
        Ok(missing.is_empty().then_some(()))
    })?;
    all.with_context(|| format!("{} lines are missing, first {:?}", missing.len(), missing.first()))?;
    Ok(printed)
}

impl Kcat {
    /// Produces one record a line, to partitions that the client draws.
    fn scatter(&self, topic: &str, input: &str) -> Result<()> {
        self.kcat(&["-P", "-t", topic], input.as_bytes())?.ok().map(|_| ()).context("kcat -P")
    }

    /// The lines that a balanced consumer, the only one of its group, reads up to the end of all partitions.
    fn consume_in_group(&self, group: &str, topic: &str) -> Result<String> {
        let arguments = ["-G", group, "-e", "-q", "-X", "auto.offset.reset=earliest", topic];
        let printed = self.kcat(&arguments, b"")?.ok().context("kcat -G")?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    pub(super) fn group_resume(&self) -> Result<()> {
        let topic = "group-resume";
        for part in [lines(40), lines(25), String::new(), lines(7)] {
            if !part.is_empty() {
                self.produce(topic, &[], &part)?;
            }
            let read = self.consume_in_group(topic, topic)?;
            let (count, expected) = (read.lines().count(), part.lines().count());
            ensure!(read == part, "{count} of {expected} lines were read: {read:?}");
        }
        Ok(())
    }

    pub(super) fn group_two_members(&self) -> Result<()> {
        let topic = "group-two-members";
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        self.scatter(topic, &lines(100))?;
        let one = Member::start(self, folder.path(), "one", topic)?;
        expect_owned(&[(&one, NUM_PARTITIONS)])?;
        expect_all(&[&one], &lines(100))?;
        let two = Member::start(self, folder.path(), "two", topic)?;
        expect_owned(&[(&one, NUM_PARTITIONS / 2), (&two, NUM_PARTITIONS / 2)])?;
        // kcat commits at its end, so what came before the second member may be read again; what comes now may not.
        let more = lines(400).replace("line", "later");
        self.scatter(topic, &more)?;
        let printed = expect_all(&[&one, &two], &more)?;
        ensure!(printed == 400, "{printed} of 400 lines were printed");
        Ok(())
    }

    pub(super) fn group_member_killed(&self) -> Result<()> {
        let topic = "group-member-killed";
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        self.scatter(topic, &lines(1))?;
        let mut one = Member::start(self, folder.path(), "one", topic)?;
        let two = Member::start(self, folder.path(), "two", topic)?;
        expect_owned(&[(&one, NUM_PARTITIONS / 2), (&two, NUM_PARTITIONS / 2)])?;
        one.process.kill()?;
        self.scatter(topic, &lines(300))?;
        expect_owned(&[(&two, NUM_PARTITIONS)])?;
        expect_all(&[&one, &two], &lines(300)).map(|_| ())
    }
}
