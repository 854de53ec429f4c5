//! Members of groups, each a process of its own: they join, leave, die and come back.

use anyhow::{Result, ensure};

use super::restarting::while_producing;
use crate::{
    broker::Broker,
    command::eventually,
    driver::NotOffered,
    hands::{Hands, Producing, SOON},
    members::{Member, Membership, all_seen, each_once, settled},
    scenario::Fate,
};

/// How soon a member that is silent is taken for dead where a scenario kills one.
const SHORT_SESSION_MS: u32 = 3000;

pub(super) fn two_members(hands: &mut Hands) -> Result<()> {
    let name = "group-two-members";
    hands.create(name, 6, &[])?;
    hands.produce_numbers(name, 6, 0, 600)?;
    let membership = Membership::of(name, name);
    let mut one = hands.member("one", &membership)?;
    settled(&[&one], 6)?;
    all_seen(&[&one], 600)?;
    let mut two = hands.member("two", &membership)?;
    settled(&[&one, &two], 6)?;
    hands.produce_numbers(name, 6, 600, 600)?;
    all_seen(&[&one, &two], 1200)?;
    one.leave()?;
    settled(&[&two], 6)?;
    hands.produce_numbers(name, 6, 1200, 600)?;
    all_seen(&[&one, &two], 1800)?;
    two.leave()?;
    each_once(&[&one, &two], 1800)?;
    expect_all_committed(hands, name, 6, 1800)
}

pub(super) fn ten_members(hands: &mut Hands) -> Result<()> {
    let name = "group-ten-members";
    hands.create(name, 20, &[])?;
    let membership = Membership::of(name, name);
    let mut members = Vec::new();
    for number in 0..10 {
        members.push(hands.member(&number.to_string(), &membership)?);
    }
    settled(&members.iter().collect::<Vec<_>>(), 20)?;
    hands.produce_numbers(name, 20, 0, 2000)?;
    all_seen(&members.iter().collect::<Vec<_>>(), 2000)?;
    each_once(&members.iter().collect::<Vec<_>>(), 2000)?;
    // All at once, so that each does not wait for a rebalance of those before it.
    std::thread::scope(|scope| {
        let leaving: Vec<_> = members.iter_mut().map(|member| scope.spawn(|| member.leave())).collect();
        leaving.into_iter().try_for_each(|left| left.join().unwrap_or(Ok(())))
    })?;
    expect_all_committed(hands, name, 20, 2000)
}

pub(super) fn join_and_leave(hands: &mut Hands) -> Result<()> {
    let name = "group-join-leave";
    hands.create(name, 6, &[])?;
    let membership = Membership::of(name, name);
    let [mut one, mut two] = [hands.member("one", &membership)?, hands.member("two", &membership)?];
    settled(&[&one, &two], 6)?;
    // The process that produces is busy meanwhile; those of members are not its.
    let mut later =
        [hands.member_later("three", &membership), hands.member_later("four", &membership)].into_iter();
    let mut begin =
        || later.next().map_or_else(|| anyhow::bail!("no member is left to begin"), |begin| begin());
    let mut members = Vec::new();
    let count = while_producing(hands, name, 6, Producing::default(), |produced| {
        produced.wait_for(100)?;
        let three = begin()?;
        settled(&[&one, &two, &three], 6)?;
        produced.wait_for(100)?;
        one.leave()?;
        settled(&[&two, &three], 6)?;
        let four = begin()?;
        settled(&[&two, &three, &four], 6)?;
        produced.wait_for(100)?;
        two.leave()?;
        settled(&[&three, &four], 6)?;
        members.extend([three, four]);
        produced.wait_for(100)
    })?;
    let everyone: Vec<&Member> = [&one, &two].into_iter().chain(&members).collect();
    all_seen(&everyone, count)?;
    in_order(&everyone)?;
    members.iter_mut().try_for_each(Member::leave)?;
    expect_all_committed(hands, name, 6, count)
}

/// What one member reads of one partition never goes back, but for what was not committed when the partition moved.
fn in_order(members: &[&Member]) -> Result<()> {
    for member in members {
        let mut last = std::collections::BTreeMap::new();
        for seen in member.records() {
            let before = last.insert(seen.partition, seen.offset).unwrap_or(-1);
            ensure!(seen.offset > before, "partition {}: {} after {before}", seen.partition, seen.offset);
        }
    }
    Ok(())
}

pub(super) fn member_killed(hands: &mut Hands) -> Result<()> {
    let name = "group-member-killed";
    hands.create(name, 6, &[])?;
    let membership = Membership { session_timeout_ms: SHORT_SESSION_MS, ..Membership::of(name, name) };
    let [mut one, mut two] = [hands.member("one", &membership)?, hands.member("two", &membership)?];
    settled(&[&one, &two], 6)?;
    hands.produce_numbers(name, 6, 0, 600)?;
    all_seen(&[&one, &two], 600)?;
    one.kill()?;
    hands.produce_numbers(name, 6, 600, 600)?;
    settled(&[&two], 6)?;
    all_seen(&[&one, &two], 1200)?;
    two.leave()?;
    expect_all_committed(hands, name, 6, 1200)
}

pub(super) fn static_restart(hands: &mut Hands) -> Result<()> {
    let name = "group-static-restart";
    hands.create(name, 6, &[])?;
    let membership = |instance| Membership {
        instance: Some(instance),
        session_timeout_ms: 45_000,
        ..Membership::of(name, name)
    };
    let mut one = hands.member("one", &membership("a"))?;
    let mut two = hands.member("two", &membership("b"))?;
    settled(&[&one, &two], 6)?;
    hands.produce_numbers(name, 6, 0, 600)?;
    all_seen(&[&one, &two], 600)?;
    let (owned, changes) = (one.owned()?, two.changes());
    one.kill()?;
    let mut again = hands.member("one again", &membership("a"))?;
    settled(&[&again, &two], 6)?;
    ensure!(again.owned()? == owned, "it had {owned:?} and now has {:?}", again.owned()?);
    hands.produce_numbers(name, 6, 600, 600)?;
    all_seen(&[&one, &two, &again], 1200)?;
    ensure!(
        two.changes() == changes,
        "the other member's partitions changed, in {} steps",
        two.changes() - changes
    );
    again.leave()?;
    two.leave()
}

pub(super) fn cooperative(hands: &mut Hands) -> Result<()> {
    let name = "group-cooperative";
    hands.create(name, 6, &[])?;
    hands.produce_numbers(name, 6, 0, 600)?;
    let membership = Membership { cooperative: true, ..Membership::of(name, name) };
    let mut one = hands.member("one", &membership)?;
    settled(&[&one], 6)?;
    all_seen(&[&one], 600)?;
    let mut two = hands.member("two", &membership)?;
    settled(&[&one, &two], 6)?;
    ensure!(one.lost() == two.owned()?, "it lost {:?}, and {:?} went to the other", one.lost(), two.owned()?);
    hands.produce_numbers(name, 6, 600, 600)?;
    all_seen(&[&one, &two], 1200)?;
    each_once(&[&one, &two], 1200)?;
    one.leave()?;
    settled(&[&two], 6)?;
    ensure!(two.lost().is_empty(), "the one that stays lost {:?}", two.lost());
    two.leave()?;
    expect_all_committed(hands, name, 6, 1200)
}

pub(super) fn resume(hands: &mut Hands) -> Result<()> {
    let name = "group-resume";
    hands.create(name, 3, &[])?;
    hands.produce_numbers(name, 3, 0, 300)?;
    let membership = Membership::of(name, name);
    let mut first = hands.member("first", &membership)?;
    all_seen(&[&first], 300)?;
    first.leave()?;
    expect_all_committed(hands, name, 3, 300)?;
    hands.produce_numbers(name, 3, 300, 300)?;
    let mut second = hands.member("second", &membership)?;
    all_seen(&[&first, &second], 600)?;
    second.leave()?;
    each_once(&[&first, &second], 600)?;
    expect_all_committed(hands, name, 3, 600)
}

/// Members stay, the broker ends and comes back, and they go on; nothing that was committed is read again.
pub(super) fn over_a_broker(hands: &mut Hands, broker: &mut Broker, fate: Fate) -> Result<()> {
    let name = match fate {
        Fate::Killed => "group-over-kill",
        Fate::Restarted | Fate::Undisturbed => "group-over-restart",
    };
    hands.create(name, 6, &[])?;
    let membership = Membership::of(name, name);
    let [mut one, mut two] = [hands.member("one", &membership)?, hands.member("two", &membership)?];
    settled(&[&one, &two], 6)?;
    hands.produce_numbers(name, 6, 0, 600)?;
    all_seen(&[&one, &two], 600)?;
    one.leave()?;
    settled(&[&two], 6)?;
    // It reads from all its partitions before the broker ends: a client that still asks where to begin is another matter.
    // aiokafka 0.14 overlooks an error beside the partitions, as OffsetFetch has it from version 2 on, and then begins at
    // the earliest record.
    hands.produce_numbers(name, 6, 600, 60)?;
    all_seen(&[&one, &two], 660)?;
    await_all_committed(hands, name, 6, 660)?;
    broker.meet(fate)?;
    await_all_committed(hands, name, 6, 660)?;
    hands.produce_numbers(name, 6, 660, 540)?;
    all_seen(&[&one, &two], 1200)?;
    let mut three = hands.member("three", &membership)?;
    settled(&[&two, &three], 6)?;
    hands.produce_numbers(name, 6, 1200, 600)?;
    all_seen(&[&one, &two, &three], 1800)?;
    two.leave()?;
    three.leave()?;
    each_once(&[&one, &two, &three], 660)?;
    expect_all_committed(hands, name, 6, 1800)
}

/// Waits until every partition is committed to its end: members commit after they have printed, and not every client asks
/// again while the broker is not ready. One question may take as long as SOON.
fn await_all_committed(hands: &mut Hands, name: &str, partitions: i64, count: i64) -> Result<()> {
    let mut last = Ok(());
    eventually(3 * SOON, || {
        last = expect_all_committed(hands, name, partitions, count);
        let is_final = last.as_ref().err().is_none_or(|error| error.downcast_ref::<NotOffered>().is_some());
        Ok(is_final.then_some(()))
    })?;
    last
}

/// Every partition is committed to its end.
fn expect_all_committed(hands: &mut Hands, name: &str, partitions: i64, count: i64) -> Result<()> {
    let committed = hands.committed(name, name, partitions)?;
    let sum: i64 = committed.values().sum();
    let each = i64::try_from(committed.len())? == partitions;
    ensure!(each && sum == count, "of {count} records are committed: {committed:?}");
    Ok(())
}
