//! `ottla group describe`: each partition with its lag and who reads it; or the members, or the state.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use ottla_client::{Client, CommittedOffset, DescribedGroup, GroupMember, ListedGroup, OffsetSpec};
use ottla_types::{ErrorCode, Offset, TopicPartition};
use serde::Serialize;

use super::{cell, known_groups};
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table, printable};

/// Arguments of `ottla group describe`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla group describe readers                # offset, end and lag of each partition, and who reads it\n  \
    ottla group describe readers --members\n  \
    ottla group describe --state                # all groups\n  \
    ottla group describe readers --json\n\n\
    A partition has no offset (-) before the group commits one, no end when its topic is gone, and no member while nobody reads it.")]
pub(crate) struct Arguments {
    /// The groups; all if none is given
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,

    /// Show the members, and which partitions each of them reads
    #[arg(long, conflicts_with = "state")]
    members: bool,

    /// Show the state of the group, its coordinator and its assignor
    #[arg(long)]
    state: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// The type of groups that DescribeGroups tells of.
const CLASSIC: &str = "classic";

/// All that can be said of a group.
#[derive(Debug, Serialize)]
struct Described {
    group: String,
    state: String,
    protocol_type: String,
    assignor: String,
    coordinator: String,
    members: Vec<DescribedMember>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<Vec<DescribedPartition>>,
}

#[derive(Debug, Serialize)]
struct DescribedMember {
    member: String,
    instance: Option<String>,
    client: String,
    host: String,
    partitions: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    topic: String,
    partition: i32,
    offset: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
    host: Option<String>,
    client: Option<String>,
}

/// Describes groups.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let names = match arguments.groups.as_slice() {
        [] => {
            let groups = known_groups(&client, &[], &[]).await?;
            groups.into_iter().filter(is_described).map(|group| group.group).collect()
        }
        named => named.to_vec(),
    };
    let mut described = Vec::new();
    for name in &names {
        let group = client.describe_group(name).await.map_err(explain)?;
        let mut one = Described::of(&group);
        if !arguments.members && !arguments.state {
            let committed = client.committed_offsets(name, None).await.map_err(explain)?;
            let ends = ends(&client, partitions(&group, &committed)).await?;
            one.partitions = Some(rows(&group, &committed, &ends));
        }
        described.push(one);
    }
    if arguments.json {
        return output::say_json(&described);
    }
    if arguments.state {
        return Ok(output::say(states(&described))?);
    }
    for (index, group) in described.iter().enumerate() {
        let space = if index > 0 { "\n" } else { "" };
        output::say(format_args!("{space}{}", group.text()))?;
    }
    Ok(())
}

/// Whether a group can be described here; of one that cannot this is said, since it is left out.
fn is_described(group: &ListedGroup) -> bool {
    match group.group_type.as_deref() {
        Some(other) if !other.eq_ignore_ascii_case(CLASSIC) => {
            tracing::warn!(
                "{} is left out: it is a {other} group, and only classic ones are described",
                group.group
            );
            false
        }
        _ => true,
    }
}

/// The partitions that the group has offsets in or reads.
fn partitions(
    group: &DescribedGroup,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> BTreeSet<TopicPartition> {
    let assigned = group.members.iter().flat_map(|member| &member.assignment);
    assigned.chain(committed.keys()).cloned().collect()
}

/// Where the logs end; topics that are gone have no logs.
async fn ends(
    client: &Client,
    mut partitions: BTreeSet<TopicPartition>,
) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let topics: Vec<_> =
        partitions.iter().map(|at| at.topic.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let metadata = client.refresh(&topics).await.map_err(explain)?;
    partitions.retain(|at| {
        let topic = metadata.topics.get(&at.topic).filter(|topic| topic.error == ErrorCode::None);
        topic.is_some_and(|topic| topic.partition(at.partition).is_some())
    });
    let latest = partitions.into_iter().map(|at| (at, OffsetSpec::Latest));
    let found = client.offsets(latest).await.map_err(explain)?;
    Ok(found.into_iter().filter_map(|(at, end)| Some((at, end?))).collect())
}

fn rows(
    group: &DescribedGroup,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ends: &BTreeMap<TopicPartition, Offset>,
) -> Vec<DescribedPartition> {
    let reader = |at: &TopicPartition| group.members.iter().find(|member| member.assignment.contains(at));
    let row = |at: TopicPartition| {
        let offset = committed.get(&at).map(|committed| committed.offset.0);
        let end = ends.get(&at).map(|end| end.0);
        let member = reader(&at);
        DescribedPartition {
            topic: at.topic.to_string(),
            partition: at.partition,
            offset,
            end,
            lag: offset.zip(end).map(|(offset, end)| end.saturating_sub(offset)),
            member: member.map(|member| member.member_id.clone()),
            host: member.map(|member| member.host.clone()),
            client: member.map(|member| member.client_id.clone()),
        }
    };
    partitions(group, committed).into_iter().map(row).collect()
}

impl Described {
    fn of(group: &DescribedGroup) -> Self {
        Self {
            group: group.group.clone(),
            state: group.state.clone(),
            protocol_type: group.protocol_type.clone(),
            assignor: group.protocol.clone(),
            coordinator: group.coordinator.to_string(),
            members: group.members.iter().map(DescribedMember::of).collect(),
            partitions: None,
        }
    }

    fn text(&self) -> String {
        let Self { group, state, members, .. } = self;
        let head = format!("{}  {}  members {}", printable(group), printable(state), members.len());
        let table = match &self.partitions {
            Some(partitions) if partitions.is_empty() => return format!("{head}\n  it has no offsets"),
            Some(partitions) => partition_table(partitions),
            None if members.is_empty() => return head,
            None => member_table(members),
        };
        format!("{head}\n{table}")
    }
}

impl DescribedMember {
    fn of(member: &GroupMember) -> Self {
        Self {
            member: member.member_id.clone(),
            instance: member.instance_id.clone(),
            client: member.client_id.clone(),
            host: member.host.clone(),
            partitions: member.assignment.iter().map(ToString::to_string).collect(),
        }
    }
}

fn partition_table(partitions: &[DescribedPartition]) -> String {
    let mut table = Table::new(&["topic", "partition", "offset", "end", "lag", "member", "host", "client"]);
    for row in partitions {
        table.add_row([
            row.topic.clone(),
            row.partition.to_string(),
            cell(row.offset),
            cell(row.end),
            cell(row.lag),
            cell(row.member.as_ref()),
            cell(row.host.as_ref()),
            cell(row.client.as_ref()),
        ]);
    }
    table.text()
}

fn member_table(members: &[DescribedMember]) -> String {
    let mut table = Table::new(&["member", "instance", "host", "client", "count", "partitions"]);
    for row in members {
        let partitions = Some(row.partitions.join(",")).filter(|text| !text.is_empty());
        table.add_row([
            row.member.clone(),
            cell(row.instance.as_ref()),
            row.host.clone(),
            row.client.clone(),
            row.partitions.len().to_string(),
            cell(partitions),
        ]);
    }
    table.text()
}

fn states(groups: &[Described]) -> String {
    let mut table = Table::new(&["group", "state", "members", "coordinator", "assignor"]);
    for group in groups {
        let assignor = Some(&group.assignor).filter(|name| !name.is_empty());
        let members = group.members.len().to_string();
        table.add_row([&group.group, &group.state, &members, &group.coordinator, &cell(assignor)]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use ottla_client::Address;
    use ottla_types::TopicName;

    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new("orders").unwrap(), partition }
    }

    fn group() -> DescribedGroup {
        DescribedGroup {
            group: "readers".to_owned(),
            state: "Stable".to_owned(),
            protocol_type: "consumer".to_owned(),
            protocol: "range".to_owned(),
            coordinator: Address::new("127.0.0.1", 9092),
            members: vec![GroupMember {
                member_id: "m-1".to_owned(),
                instance_id: None,
                client_id: "c".to_owned(),
                host: "/127.0.0.1".to_owned(),
                assignment: vec![at(1), at(2)],
            }],
        }
    }

    fn described() -> Described {
        let committed = BTreeMap::from([(at(0), Offset(3).into()), (at(1), Offset(4).into())]);
        let ends = BTreeMap::from([(at(1), Offset(10)), (at(2), Offset(5))]);
        let group = group();
        Described { partitions: Some(rows(&group, &committed, &ends)), ..Described::of(&group) }
    }

    fn words(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split_whitespace().collect()).collect()
    }

    #[test]
    fn each_partition_has_offset_end_lag_and_reader_where_there_are_any() {
        let text = described().text();
        assert_eq!(
            words(&text),
            [
                &["readers", "Stable", "members", "1"][..],
                &["topic", "partition", "offset", "end", "lag", "member", "host", "client"],
                &["orders", "0", "3", "-", "-", "-", "-", "-"],
                &["orders", "1", "4", "10", "6", "m-1", "/127.0.0.1", "c"],
                &["orders", "2", "-", "5", "-", "m-1", "/127.0.0.1", "c"],
            ],
            "{text}"
        );
    }

    #[test]
    fn groups_of_newer_types_are_left_out_and_those_of_old_brokers_are_not() {
        for (group_type, expected) in
            [(None, true), (Some("classic"), true), (Some("Classic"), true), (Some("consumer"), false)]
        {
            let group = ListedGroup {
                group: "readers".to_owned(),
                protocol_type: "consumer".to_owned(),
                state: None,
                group_type: group_type.map(str::to_owned),
            };
            assert_eq!(is_described(&group), expected, "{group_type:?}");
        }
    }

    #[test]
    fn members_have_their_partitions() {
        let text = Described::of(&group()).text();
        assert_eq!(words(&text)[2], ["m-1", "-", "/127.0.0.1", "c", "2", "orders-1,orders-2"], "{text}");
    }

    #[test]
    fn the_state_is_a_line_for_each_group() {
        let text = states(&[Described::of(&group())]);
        assert_eq!(words(&text)[1], ["readers", "Stable", "1", "127.0.0.1:9092", "range"], "{text}");
    }

    #[test]
    fn json_has_numbers_and_null_for_what_is_not_there() {
        let json = serde_json::to_value(described()).unwrap();
        assert_eq!(json["partitions"][1]["lag"], 6);
        assert_eq!(json["partitions"][0]["member"], serde_json::Value::Null);
        assert_eq!(json["members"][0]["partitions"][0], "orders-1");
        let json = serde_json::to_value(Described::of(&group())).unwrap();
        assert!(json.get("partitions").is_none());
    }
}
