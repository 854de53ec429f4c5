//! `ottla consume --group`: reads as a member of a group. What was printed is committed, and nothing else.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use ottla_client::{Client, ConsumedRecord, GroupConsumer, GroupConsumerOptions, OffsetSpec, Start};
use ottla_types::{Offset, TopicPartition};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::format::Printer;
use super::{Arguments, Ends, find_ends, is_before_end};
use crate::cluster::explain;

/// How long one look for records lasts where reading is to stop at the end: after each it is seen whether that is reached.
const LOOK_FOR_END: Duration = Duration::from_millis(100);

/// Reads as a member until the end, if that is to stop it, or until the operator stops it.
pub(super) async fn run(arguments: &Arguments, client: Client, group: &str) -> anyhow::Result<()> {
    let options = GroupConsumerOptions {
        instance_id: arguments.instance_id.clone(),
        reset: Some(arguments.reset()?),
        ..GroupConsumerOptions::default()
    };
    let ends = match arguments.follows() {
        true => None,
        false => Some(ends(arguments, &client).await?),
    };
    let mut stops = Stops::new()?;
    let mut consumer = GroupConsumer::new(client, group, vec![arguments.topic.clone()], options);
    let printer = arguments.printer();
    let printed = read(&mut consumer, ends.as_ref(), arguments.count, &printer, &mut stops).await;
    // Also after an error: what was printed before it need not be printed again.
    let closed = consumer.close().await.map_err(explain);
    printed.and(closed)
}

/// What the operator stops it with: Ctrl-C or SIGTERM. The member leaves its group then, in order.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The ends of all partitions: which of them the member gets is not known yet.
async fn ends(arguments: &Arguments, client: &Client) -> anyhow::Result<Ends> {
    let topic = client.topic(&arguments.topic).await.map_err(explain)?;
    let at = |partition| TopicPartition { topic: topic.name.clone(), partition };
    let partitions: Vec<TopicPartition> = topic.partitions.iter().map(|one| at(one.index)).collect();
    find_ends(client, &partitions, None).await
}

async fn read(
    consumer: &mut GroupConsumer,
    ends: Option<&Ends>,
    count: Option<u64>,
    printer: &Printer,
    stops: &mut Stops,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = count.unwrap_or(u64::MAX);
    let look = if ends.is_some() { LOOK_FOR_END } else { super::LOOK };
    loop {
        if ends.is_some_and(|ends| is_at_end(consumer, ends)) {
            return Ok(());
        }
        let records = tokio::select! {
            polled = consumer.poll(look) => polled.map_err(explain)?,
            () = stops.any() => return Ok(()),
        };
        let mut takes = |record: &&ConsumedRecord| {
            let is_wanted = left > 0 && is_before_end(record, ends);
            left -= u64::from(is_wanted);
            is_wanted
        };
        let (wanted, rest): (Vec<&ConsumedRecord>, Vec<_>) = records.iter().partition(&mut takes);
        if let Err(error) = print(&mut out, &wanted, printer) {
            go_back(consumer, records.iter());
            return Err(error);
        }
        go_back(consumer, rest.into_iter());
        if left == 0 {
            return Ok(());
        }
    }
}

fn print(out: &mut impl Write, records: &[&ConsumedRecord], printer: &Printer) -> anyhow::Result<()> {
    for record in records {
        printer.print(out, record)?;
    }
    // Whoever follows a topic wants to see what has come, not what fills a buffer.
    out.flush()?;
    Ok(())
}

/// Makes records that were not printed count as not read, and reads their partitions no further.
fn go_back<'a>(consumer: &mut GroupConsumer, records: impl Iterator<Item = &'a ConsumedRecord>) {
    let mut firsts: BTreeMap<&TopicPartition, Offset> = BTreeMap::new();
    for record in records {
        firsts.entry(&record.partition).or_insert(record.offset);
    }
    for (partition, offset) in firsts {
        consumer.seek(partition, offset);
        consumer.pause(partition);
    }
}

/// Whether the member has its partitions, and is at the end of each.
fn is_at_end(consumer: &GroupConsumer, ends: &Ends) -> bool {
    let is_read = |partition: &TopicPartition| {
        let stop = ends.get(partition).map(|end| end.stop);
        stop.is_none_or(|stop| consumer.position(partition) >= Some(stop))
    };
    consumer.is_reading() && consumer.assignment().iter().all(is_read)
}

impl Arguments {
    /// Where to start partitions that the group has no offset of.
    fn reset(&self) -> anyhow::Result<OffsetSpec> {
        match self.from.0 {
            Start::Earliest => Ok(OffsetSpec::Earliest),
            Start::Latest => Ok(OffsetSpec::Latest),
            Start::Timestamp(timestamp_ms) => Ok(OffsetSpec::Timestamp(timestamp_ms)),
            Start::Offset(offset) => anyhow::bail!(
                "a group reads on where it was, and --from is for partitions that it has not read: earliest, latest or a \
                 time, not {offset}. `ottla group reset-offsets` sets its offsets"
            ),
        }
    }
}
