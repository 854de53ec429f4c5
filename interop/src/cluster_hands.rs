//! What a library client's program does to a cluster of several brokers, beside what [`Hands`] do to one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::hands::Hands;

/// A partition as the client describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    /// -1 for none.
    pub(crate) leader: i64,
    pub(crate) replicas: Vec<i64>,
    pub(crate) isr: Vec<i64>,
}

impl Hands {
    /// Creates a topic whose replicas lie where `assignments` says, partition by partition.
    pub(crate) fn create_assigned(&mut self, topic: &str, assignments: &[&[i64]]) -> Result<()> {
        self.ask("create_assigned", json!({"topic": topic, "assignments": assignments})).map(|_| ())
    }

    /// The partitions of a topic, by their numbers.
    pub(crate) fn placed(&mut self, topic: &str) -> Result<BTreeMap<i64, Placed>> {
        let told = self.ask("describe", json!({"topic": topic}))?;
        let partition = |p: &Value| {
            let leader = p["leader"].as_i64()?;
            Some((p["id"].as_i64()?, Placed { leader, replicas: ids(&p["replicas"])?, isr: ids(&p["isr"])? }))
        };
        let partitions = told.as_array().context("partitions are not a list")?.iter().map(partition);
        partitions.collect::<Option<_>>().context("a partition that cannot be read")
    }

    /// The brokers that are registered, fenced ones too.
    pub(crate) fn registered(&mut self) -> Result<Vec<i64>> {
        let mut registered = ids(&self.ask("registered", json!({}))?).context("ids are not a list")?;
        registered.sort_unstable();
        Ok(registered)
    }

    /// The finalized level of each feature, with the range that is supported.
    pub(crate) fn features(&mut self) -> Result<BTreeMap<String, [i64; 3]>> {
        let told = self.ask("features", json!({}))?;
        let feature = |(name, f): (&String, &Value)| {
            Some((name.clone(), [f["level"].as_i64()?, f["min"].as_i64()?, f["max"].as_i64()?]))
        };
        let features = told.as_object().context("features are not an object")?.iter().map(feature);
        features.collect::<Option<_>>().context("a feature that cannot be read")
    }

    /// Elects preferred leaders of partitions, or of all where none are given: Kafka's error for each, 0 for a new leader.
    pub(crate) fn elect(&mut self, topic: &str, partitions: Option<&[i64]>) -> Result<BTreeMap<i64, i64>> {
        let told = self.ask("elect", json!({"topic": topic, "partitions": partitions}))?;
        let pairs = told.as_object().context("results are not an object")?.iter();
        let pair = |(partition, code): (&String, &Value)| Some((partition.parse().ok()?, code.as_i64()?));
        pairs.map(pair).collect::<Option<_>>().context("a result that cannot be read")
    }

    /// Says where a partition is to lie; `None` gives up what is under way.
    pub(crate) fn reassign(&mut self, topic: &str, partition: i64, replicas: Option<&[i64]>) -> Result<()> {
        let arguments = json!({"topic": topic, "partition": partition, "replicas": replicas});
        self.ask("reassign", arguments).map(|_| ())
    }

    /// Replicas, those to come and those to go of each partition of a topic that is moving.
    pub(crate) fn reassignments(&mut self, topic: &str) -> Result<BTreeMap<i64, [Vec<i64>; 3]>> {
        let told = self.ask("reassignments", json!({"topic": topic}))?;
        let moving = |p: &Value| {
            Some((p["id"].as_i64()?, [ids(&p["replicas"])?, ids(&p["adding"])?, ids(&p["removing"])?]))
        };
        let all = told.as_array().context("reassignments are not a list")?.iter().map(moving);
        all.collect::<Option<_>>().context("a reassignment that cannot be read")
    }

    /// Forgets a broker.
    pub(crate) fn unregister(&mut self, broker: i64) -> Result<()> {
        self.ask("unregister", json!({"broker": broker})).map(|_| ())
    }
}

fn ids(json: &Value) -> Option<Vec<i64>> {
    json.as_array()?.iter().map(Value::as_i64).collect()
}
