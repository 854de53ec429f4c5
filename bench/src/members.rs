//! Members of groups: each joins, and then heartbeats and commits at its times, whatever became of those before.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use ottla_client::Connection;
use ottla_wire::heartbeat::HeartbeatRequest;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_wire::{ApiKey, Str};
use serde_json::{Value, json};
use tokio::sync::{Barrier, watch};
use tokio::time::{Instant, sleep_until};

use crate::coordinator::is_not_yet;
use crate::{PATIENCE, group};

/// `heartbeat.interval.ms` of Kafka's consumers.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);

/// `session.timeout.ms` of Kafka's consumers.
const SESSION_TIMEOUT_MS: i32 = 45_000;

const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

/// The newest version that names topics by name.
const COMMIT_BY_NAME: i16 = 9;

/// The load, on connections that are there.
pub(crate) struct Load {
    pub(crate) topic: String,
    /// Of each group.
    pub(crate) members: usize,
    /// A second, over all groups.
    pub(crate) commits: u32,
    /// Seconds before times are taken.
    pub(crate) warmup: u64,
    /// Seconds in which they are.
    pub(crate) seconds: u64,
}

/// What was seen, in microseconds from when a request was due until its answer.
struct Seen {
    commits: Histogram<u64>,
    heartbeats: Histogram<u64>,
    rebalances: u64,
}

impl Load {
    /// Runs the load. Prints a line when all groups are stable, and one when the warm-up is over.
    pub(crate) async fn run(self, connections: Vec<Connection>) -> Result<Value> {
        let all = connections.len();
        let (begin, begun) = watch::channel(None);
        let stable = Rc::new(Barrier::new(all + 1));
        let seen = Rc::new(RefCell::new(Seen {
            commits: Histogram::new(3)?,
            heartbeats: Histogram::new(3)?,
            rebalances: 0,
        }));
        let started = Instant::now();
        let load = Rc::new(self);
        let tasks = tokio::task::LocalSet::new();
        let mut members = tokio::task::JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            let (load, stable, seen) = (Rc::clone(&load), Rc::clone(&stable), Rc::clone(&seen));
            let mut begun = begun.clone();
            let work = async move {
                let mut member = Member::new(connection, &load, number);
                member.join().await?;
                stable.wait().await;
                let begun = *begun.wait_for(Option::is_some).await?;
                let begin = begun.ok_or_else(|| anyhow!("no time to begin at"))?;
                member.live(begin, all, &load, &seen).await
            };
            members.spawn_local_on(work, &tasks);
        }
        tasks
            .run_until(async move {
                let ended = async {
                    while let Some(member) = members.join_next().await {
                        member??;
                    }
                    anyhow::Ok(())
                };
                tokio::pin!(ended);
                tokio::select! {
                    _ = stable.wait() => {}
                    result = &mut ended => return Err(result.err().unwrap_or_else(|| anyhow!("all members ended"))),
                }
                println!("{}", json!({ "stable": true, "seconds": started.elapsed().as_secs_f64() }));
                // Not before each of them has heard of it.
                let first = Instant::now() + Duration::from_secs(1);
                begin.send_replace(Some(first));
                let measured = async {
                    sleep_until(first + Duration::from_secs(load.warmup)).await;
                    println!("{}", json!({ "warm": true }));
                    anyhow::Ok(())
                };
                tokio::try_join!(ended, measured)?;
                Ok(seen.borrow().told(load.seconds))
            })
            .await
    }
}

impl Seen {
    fn told(&self, seconds: u64) -> Value {
        let percentiles = |times: &Histogram<u64>| {
            let ms = |part| times.value_at_quantile(part) as f64 / 1e3;
            json!({ "count": times.len(), "p50": ms(0.5), "p99": ms(0.99), "p99.9": ms(0.999) })
        };
        json!({
            "commits/s": self.commits.len() as f64 / seconds as f64,
            "commit, ms": percentiles(&self.commits),
            "heartbeat, ms": percentiles(&self.heartbeats),
            "rebalances": self.rebalances,
        })
    }
}

struct Member {
    connection: Connection,
    group: Str,
    topic: Str,
    /// Over all groups.
    number: usize,
    partition: i32,
    id: Str,
    generation: i32,
}

impl Member {
    fn new(connection: Connection, load: &Load, number: usize) -> Self {
        Self {
            connection,
            group: group(number / load.members).into(),
            topic: load.topic.as_str().into(),
            number,
            partition: i32::try_from(number % load.members).unwrap_or(0),
            id: Str::from(""),
            generation: -1,
        }
    }

    /// Joins until the group is stable with this member.
    async fn join(&mut self) -> Result<()> {
        loop {
            let joined = self.ask_to_join().await?;
            match joined.error_code {
                0 => {}
                MEMBER_ID_REQUIRED => {
                    self.id = joined.member_id;
                    continue;
                }
                error if is_not_yet(error) || error == REBALANCE_IN_PROGRESS => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                error => bail!("JoinGroup: error {error}"),
            }
            self.id = joined.member_id.clone();
            self.generation = joined.generation_id;
            match self.sync(&joined).await? {
                0 => return Ok(()),
                REBALANCE_IN_PROGRESS => {}
                error if is_not_yet(error) => {}
                error => bail!("SyncGroup: error {error}"),
            }
        }
    }

    async fn ask_to_join(&self) -> Result<JoinGroupResponse> {
        // A consumer's subscription, version 0: topics, and no user data.
        let mut metadata = vec![0, 0, 0, 0, 0, 1];
        metadata.extend_from_slice(&u16::try_from(self.topic.len())?.to_be_bytes());
        metadata.extend_from_slice(self.topic.as_bytes());
        metadata.extend_from_slice(&(-1_i32).to_be_bytes());
        let protocols = vec![JoinGroupRequestProtocol {
            name: Str::from("range"),
            metadata: Bytes::from(metadata),
            ..Default::default()
        }];
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.id.clone(),
            protocol_type: Str::from("consumer"),
            protocols,
            ..Default::default()
        };
        Ok(self.connection.start(request, PATIENCE)?.wait().await?)
    }

    async fn sync(&self, joined: &JoinGroupResponse) -> Result<i16> {
        // Nobody reads it: nothing is assigned.
        let assignment = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        let given = joined.members.iter().map(|member| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: assignment.clone(),
            ..Default::default()
        });
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments: given.collect(),
            ..Default::default()
        };
        Ok(self.connection.start(request, PATIENCE)?.wait().await?.error_code)
    }

    /// Heartbeats and commits from `begin` on, at moments that are spread over the members.
    async fn live(&mut self, begin: Instant, all: usize, load: &Load, seen: &RefCell<Seen>) -> Result<()> {
        let every = Duration::from_secs_f64(all as f64 / f64::from(load.commits.max(1)));
        let phase = self.number as f64 / all as f64;
        let counts = begin + Duration::from_secs(load.warmup);
        let end = counts + Duration::from_secs(load.seconds);
        let (mut commit_at, mut heartbeat_at) =
            (begin + every.mul_f64(phase), begin + HEARTBEAT_EVERY.mul_f64(phase));
        let mut offset = 0;
        loop {
            let due = commit_at.min(heartbeat_at);
            if due >= end {
                return Ok(());
            }
            sleep_until(due).await;
            let is_commit = commit_at <= heartbeat_at;
            let error = if is_commit {
                commit_at += every;
                offset += 1;
                self.commit(offset).await?
            } else {
                heartbeat_at += HEARTBEAT_EVERY;
                self.heartbeat().await?
            };
            if error == 0 && due >= counts {
                let mut seen = seen.borrow_mut();
                record(if is_commit { &mut seen.commits } else { &mut seen.heartbeats }, due)?;
            }
            match error {
                0 => {}
                REBALANCE_IN_PROGRESS => {
                    seen.borrow_mut().rebalances += 1;
                    self.join().await?;
                }
                error => bail!("a member of {} was refused: error {error}", &*self.group),
            }
        }
    }

    async fn heartbeat(&self) -> Result<i16> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        Ok(self.connection.start(request, PATIENCE)?.wait().await?.error_code)
    }

    async fn commit(&self, committed_offset: i64) -> Result<i16> {
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: self.partition,
            committed_offset,
            committed_metadata: Some(Str::from("")),
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: self.topic.clone(),
                partitions,
                ..Default::default()
            }],
            ..Default::default()
        };
        let version = self.connection.version_up_to(ApiKey::OffsetCommit, COMMIT_BY_NAME)?;
        let answer = self.connection.start_at(request, version, PATIENCE)?.wait().await?;
        let result = answer.topics.first().and_then(|topic| topic.partitions.first());
        ensure!(result.is_some(), "OffsetCommit: an answer without the partition");
        Ok(result.map_or(0, |result| result.error_code))
    }
}

fn record(times: &mut Histogram<u64>, due: Instant) -> Result<()> {
    times.record(u64::try_from(due.elapsed().as_micros())?)?;
    Ok(())
}
