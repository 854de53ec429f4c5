//! Groups as their administrator sees them: listed, described, deleted, and their offsets set and taken away.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    command::eventually,
    hands::{Hands, Offsets, SOON, codes, refused},
    members::{Member, Membership, all_seen, settled},
};

/// A topic of three partitions with 300 records, and a group that has offsets for it but no member.
fn idle_group(hands: &mut Hands, name: &str) -> Result<Offsets> {
    hands.create(name, 3, &[])?;
    hands.produce_numbers(name, 3, 0, 300)?;
    let offsets = Offsets::from([(0, 10), (1, 20), (2, 30)]);
    hands.commit(name, name, &offsets, "")?;
    Ok(offsets)
}

/// A group of the name with one member that has read and committed everything.
fn busy_group(hands: &mut Hands, name: &str) -> Result<Member> {
    hands.create(name, 3, &[])?;
    hands.produce_numbers(name, 3, 0, 300)?;
    let member = hands.member("only", &Membership::of(name, name))?;
    settled(&[&member], 3)?;
    all_seen(&[&member], 300)?;
    Ok(member)
}

fn expect_committed(hands: &mut Hands, name: &str, expected: &Offsets) -> Result<()> {
    let committed = hands.committed(name, name, 3)?;
    ensure!(committed == *expected, "committed are {committed:?}, not {expected:?}");
    Ok(())
}

pub(super) fn simple_commit(hands: &mut Hands) -> Result<()> {
    let name = "simple-commit";
    hands.create(name, 3, &[])?;
    hands.produce_numbers(name, 3, 0, 300)?;
    expect_committed(hands, name, &Offsets::new())?;
    hands.commit(name, name, &Offsets::from([(0, 7), (2, 90)]), "where I was")?;
    expect_committed(hands, name, &Offsets::from([(0, 7), (2, 90)]))?;
    let note = hands.committed_note(name, name)?;
    ensure!(note.as_deref().is_none_or(|note| note == "where I was"), "the metadata is {note:?}");
    // Back is allowed: what to read again is the consumer's to say.
    hands.commit(name, name, &Offsets::from([(0, 3), (1, 0)]), "")?;
    expect_committed(hands, name, &Offsets::from([(0, 3), (1, 0), (2, 90)]))
}

pub(super) fn list(hands: &mut Hands) -> Result<()> {
    let (idle, busy) = ("group-list-idle", "group-list-busy");
    idle_group(hands, idle)?;
    let mut member = busy_group(hands, busy)?;
    let groups = hands.groups()?;
    let of = |name| groups.get(name).with_context(|| format!("{name} is not among {groups:?}"));
    let (protocol_type, state) = of(busy)?;
    ensure!(protocol_type == "consumer", "{busy} has protocol type {protocol_type:?}");
    ensure!(state.as_deref().is_none_or(|state| state == "Stable"), "{busy} is {state:?}");
    let (_, state) = of(idle)?;
    ensure!(state.as_deref().is_none_or(|state| state == "Empty"), "{idle} is {state:?}");
    member.leave()?;
    let (_, state) = hands.groups()?.remove(busy).with_context(|| format!("{busy} is gone"))?;
    ensure!(state.as_deref().is_none_or(|state| state == "Empty"), "{busy} is {state:?} after its end");
    Ok(())
}

pub(super) fn describe(hands: &mut Hands) -> Result<()> {
    let name = "group-describe";
    let mut one = busy_group(hands, name)?;
    let mut two = hands.member("two", &Membership::of(name, name))?;
    settled(&[&one, &two], 3)?;
    let mut described = Value::Null;
    // A member knows its partitions a moment before the group is all synced.
    let stable = eventually(SOON, || {
        described = hands.describe_group(name)?;
        Ok((described["state"] == "Stable").then_some(()))
    })?;
    stable.with_context(|| format!("described as {described}"))?;
    ensure!(described["protocol"].as_str().is_some_and(|p| !p.is_empty()), "no assignor: {described}");
    let members = described["members"].as_array().context("no members")?.clone();
    let mut partitions: Vec<_> = members
        .iter()
        .filter_map(|member| member["partitions"].as_array())
        .flatten()
        .map(Value::as_i64)
        .collect();
    partitions.sort_unstable();
    ensure!(members.len() == 2, "{} members: {described}", members.len());
    ensure!(partitions == [Some(0), Some(1), Some(2)], "partitions of all members: {described}");
    for member in &members {
        let host = member["host"].as_str().unwrap_or_default();
        ensure!(host.contains("127.0.0.1"), "host {host:?}");
        ensure!(member["id"].as_str().is_some_and(|id| !id.is_empty()), "no member id: {described}");
    }
    one.leave()?;
    two.leave()?;
    let described = hands.describe_group(name)?;
    ensure!(described["state"] == "Empty", "after its end described as {described}");
    ensure!(described["members"].as_array().is_some_and(Vec::is_empty), "members are left: {described}");
    Ok(())
}

pub(super) fn delete(hands: &mut Hands) -> Result<()> {
    let name = "group-delete";
    let mut member = busy_group(hands, name)?;
    refused("deleting a group in use", codes::NON_EMPTY_GROUP, hands.delete_group(name))?;
    member.leave()?;
    hands.delete_group(name)?;
    expect_committed(hands, name, &Offsets::new())?;
    ensure!(!hands.groups()?.contains_key(name), "it is still listed");
    refused("deleting it again", codes::GROUP_ID_NOT_FOUND, hands.delete_group(name))
}

pub(super) fn delete_offsets(hands: &mut Hands) -> Result<()> {
    let name = "group-delete-offsets";
    let mut member = busy_group(hands, name)?;
    let in_use = hands.delete_group_offsets(name, name, &[0]);
    refused("offsets of a topic in use", codes::GROUP_SUBSCRIBED_TO_TOPIC, in_use)?;
    member.leave()?;
    hands.delete_group_offsets(name, name, &[0, 2])?;
    expect_committed(hands, name, &Offsets::from([(1, 100)]))?;
    let nowhere = hands.delete_group_offsets("group-nowhere", name, &[0]);
    refused("offsets of no group", codes::GROUP_ID_NOT_FOUND, nowhere)
}

pub(super) fn alter_offsets(hands: &mut Hands) -> Result<()> {
    let name = "group-alter-offsets";
    let mut member = busy_group(hands, name)?;
    let in_use = hands.alter_group_offsets(name, name, &Offsets::from([(0, 5)]));
    refused("offsets of a group in use", codes::UNKNOWN_MEMBER_ID, in_use)?;
    member.leave()?;
    hands.alter_group_offsets(name, name, &Offsets::from([(0, 5), (1, 100), (2, 0)]))?;
    expect_committed(hands, name, &Offsets::from([(0, 5), (1, 100), (2, 0)]))?;
    let mut again = hands.member("again", &Membership::of(name, name))?;
    settled(&[&again], 3)?;
    // What follows offset 5 of partition 0 and all of partition 2 is read again.
    let read_again = eventually(SOON, || Ok((again.records().len() >= 195).then_some(())))?;
    read_again.with_context(|| format!("{} of 195 records are read again", again.records().len()))?;
    again.leave()?;
    ensure!(again.records().len() == 195, "{} records are read again, not 195", again.records().len());
    Ok(())
}
