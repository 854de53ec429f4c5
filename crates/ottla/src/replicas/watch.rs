//! `ottla replicas --watch`: look after look. On a terminal the state is drawn anew, with what happened last below it; anywhere
//! else each thing that happens is a line.

use std::collections::{BTreeSet, VecDeque};
use std::io::IsTerminal as _;
use std::time::Duration;

use jiff::Zoned;
use ottla_client::Client;
use serde::Serialize;
use tokio::time::Instant;

use super::changes::{Change, Kind, changes};
use super::gather::Gathered;
use super::state::PartitionState;
use super::{Arguments, table};
use crate::output::{self, printable};

/// Clears the screen, and goes to its upper left.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// How many of the things that happened last are kept on a screen.
const REMEMBERED: usize = 12;

/// Up to so many partitions all are drawn, and of more only those that are not whole.
const DRAWN: usize = 12;

/// Something that happened, and when.
#[derive(Debug, Serialize)]
struct Event {
    time: String,
    #[serde(flatten)]
    change: Change,
    /// How many partitions lack a replica that is in sync.
    under_replicated: usize,
}

/// Looks until somebody ends it.
pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let draws = !arguments.json && std::io::stdout().is_terminal();
    let mut watch = Watch::default();
    let mut happened = VecDeque::new();
    let began = Instant::now();
    loop {
        let look = arguments.look(client).await;
        let is_first = watch.is_first();
        if is_first && look.is_err() {
            // A topic that is not there, or a cluster that never answers: told once and for all.
            return look.map(drop);
        }
        let new = match &look {
            Ok(gathered) => watch.looks(gathered, began.elapsed()),
            Err(error) => watch.hears_nothing(&format!("{error:#}")),
        };
        let events: Vec<Event> = new.into_iter().map(|change| watch.event(change)).collect();
        if draws {
            happened.extend(events);
            while happened.len() > REMEMBERED {
                happened.pop_front();
            }
            output::say(screen(arguments, &look, &happened))?;
        } else {
            if let (Ok(gathered), true, false) = (&look, is_first, arguments.json) {
                gathered.missing.iter().for_each(output::remark);
                output::say(line(&table::summary(&gathered.partitions)))?;
            }
            for event in &events {
                say(event, arguments.json)?;
            }
        }
        tokio::time::sleep(Duration::from_millis(arguments.interval)).await;
    }
}

fn say(event: &Event, json: bool) -> anyhow::Result<()> {
    if json {
        output::say(serde_json::to_string(event)?)?;
    } else {
        output::say(format_args!("{}  {}", event.time, printable(&event.change.what)))?;
    }
    Ok(())
}

fn line(text: &str) -> String {
    format!("{}  {text}", now())
}

/// The time of day, where this runs.
fn now() -> String {
    Zoned::now().strftime("%H:%M:%S%.3f").to_string()
}

fn screen(arguments: &Arguments, look: &anyhow::Result<Gathered>, happened: &VecDeque<Event>) -> String {
    let state = match look {
        Ok(gathered) => {
            let mut shown = arguments.shown(gathered);
            if shown.len() > DRAWN {
                shown.retain(|partition| !partition.is_whole());
                shown.truncate(DRAWN);
            }
            let missing = gathered.missing.iter().map(|missing| format!("\n{}", printable(missing)));
            format!("{}{}", table::text(&gathered.partitions, &shown), missing.collect::<String>())
        }
        Err(error) => printable(&format!("{error:#}")),
    };
    let happened =
        happened.iter().map(|event| format!("\n{}  {}", event.time, printable(&event.change.what)));
    format!("{CLEAR}{}\n\n{state}\n{}", now(), happened.collect::<String>())
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<Vec<PartitionState>>,
    /// Since when some replica is not in sync.
    lacking_since: Option<Duration>,
    /// Whether the last look failed.
    is_deaf: bool,
    /// What could not be told at the last look: the words before the reason, which may differ from look to look.
    missing: BTreeSet<String>,
}

impl Watch {
    fn is_first(&self) -> bool {
        self.seen.is_none()
    }

    fn event(&self, change: Change) -> Event {
        let seen = self.seen.as_deref().unwrap_or_default();
        let under_replicated = seen.iter().filter(|partition| !partition.is_whole()).count();
        Event { time: now(), change, under_replicated }
    }

    /// Takes a look, and tells what happened since the one before; also to those who could be asked then.
    fn looks(&mut self, gathered: &Gathered, now: Duration) -> Vec<Change> {
        let subject = |missing: &String| missing.split(':').next().unwrap_or_default().to_owned();
        let known = std::mem::take(&mut self.missing);
        self.missing = gathered.missing.iter().map(subject).collect();
        let is_first = self.is_first();
        let mut happened = self.sees(gathered.partitions.clone(), now);
        if is_first {
            // It was said with the first look.
            return happened;
        }
        let new = gathered.missing.iter().filter(|missing| !known.contains(&subject(missing)));
        happened.extend(new.map(|missing| about_all(Kind::Unanswered, missing.clone())));
        let over = known.iter().filter(|missing| !self.missing.contains(*missing));
        happened.extend(over.map(|missing| about_all(Kind::Unanswered, format!("no longer so: {missing}"))));
        happened
    }

    /// Takes how partitions are, and tells what happened since the look before.
    fn sees(&mut self, partitions: Vec<PartitionState>, now: Duration) -> Vec<Change> {
        let mut happened = self.seen.as_ref().map_or_else(Vec::new, |seen| changes(seen, &partitions));
        if std::mem::take(&mut self.is_deaf) {
            happened.insert(0, about_all(Kind::Unanswered, "brokers answer again".to_owned()));
        }
        let is_whole = partitions.iter().all(PartitionState::is_whole);
        match (is_whole, self.lacking_since) {
            (false, None) => self.lacking_since = Some(now),
            (true, Some(since)) => {
                self.lacking_since = None;
                let ms = u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
                let all = table::summary(&partitions);
                let what = format!("{all} again, after {}", table::duration(ms));
                happened.push(about_all(Kind::Whole, what));
            }
            _ => {}
        }
        self.seen = Some(partitions);
        happened
    }

    /// Takes note that nobody could be asked; told once, until somebody answers.
    fn hears_nothing(&mut self, why: &str) -> Vec<Change> {
        if std::mem::replace(&mut self.is_deaf, true) {
            return Vec::new();
        }
        vec![about_all(Kind::Unanswered, format!("nobody could be asked: {why}"))]
    }
}

fn about_all(kind: Kind, what: String) -> Change {
    Change { kind, broker: None, partitions: Vec::new(), what }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::of;
    use super::*;

    fn told(changes: Vec<Change>) -> Vec<String> {
        changes.into_iter().map(|change| change.what).collect()
    }

    #[test]
    fn from_a_death_to_the_time_when_all_is_whole_again() {
        let at = Duration::from_millis;
        let (whole, lacking) = (|| vec![of(0, &[1, 2, 3], &[])], || vec![of(0, &[1, 2], &[3])]);
        let mut watch = Watch::default();
        assert_eq!(told(watch.sees(whole(), at(0))), Vec::<String>::new(), "the first look is no news");
        assert_eq!(
            told(watch.sees(lacking(), at(1_000))),
            ["replica 3 is out of sync in orders-0: its broker is fenced"]
        );
        assert_eq!(told(watch.sees(lacking(), at(2_000))), Vec::<String>::new());
        assert_eq!(
            told(watch.sees(whole(), at(5_200))),
            ["replica 3 is in sync in orders-0", "1 partition: all replicas are in sync again, after 4.2 s"]
        );
    }

    #[test]
    fn silence_is_told_once_and_its_end_too() {
        let mut watch = Watch::default();
        assert_eq!(told(watch.hears_nothing("refused")), ["nobody could be asked: refused"]);
        assert!(watch.hears_nothing("refused").is_empty());
        let news = told(watch.sees(vec![of(0, &[1, 2, 3], &[])], Duration::ZERO));
        assert_eq!(news, ["brokers answer again"]);
    }

    #[test]
    fn a_leader_that_does_not_answer_is_told_once_though_its_reason_differs_and_when_it_does() {
        let look = |missing: &[&str]| Gathered {
            partitions: vec![of(0, &[1, 2, 3], &[])],
            told_by_leaders: true,
            missing: missing.iter().map(|text| (*text).to_owned()).collect(),
        };
        let mut watch = Watch::default();
        assert!(watch.looks(&look(&["broker 1 does not tell: refused"]), Duration::ZERO).is_empty());
        let new = watch
            .looks(&look(&["broker 1 does not tell: late", "broker 2 does not tell: late"]), Duration::ZERO);
        assert_eq!(told(new), ["broker 2 does not tell: late"]);
        let over = told(watch.looks(&look(&[]), Duration::ZERO));
        assert_eq!(over, ["no longer so: broker 1 does not tell", "no longer so: broker 2 does not tell"]);
    }

    #[test]
    fn an_event_is_one_json_object() {
        let mut watch = Watch::default();
        watch.sees(vec![of(0, &[1, 2, 3], &[])], Duration::ZERO);
        let change = watch.sees(vec![of(0, &[1, 2], &[3])], Duration::ZERO).remove(0);
        let json = serde_json::to_value(watch.event(change)).unwrap();
        assert_eq!((&json["kind"], &json["broker"]), (&"left_isr".into(), &3.into()));
        assert_eq!((&json["partitions"][0], &json["under_replicated"]), (&"orders-0".into(), &1.into()));
    }
}
