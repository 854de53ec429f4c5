//! `meta.properties`: whose directory it is (KIP-853's version 1, with `directory.id` of KIP-858).

use ottla_types::{BrokerId, DirectoryId};

/// Who a log directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetaProperties {
    pub(crate) cluster_id: String,
    pub(crate) node_id: BrokerId,
    /// Kafka before 3.7 wrote none.
    pub(crate) directory_id: Option<DirectoryId>,
}

pub(crate) const CLUSTER_ID: &str = "cluster.id";
pub(crate) const NODE_ID: &str = "node.id";
const DIRECTORY_ID: &str = "directory.id";
const BROKER_ID: &str = "broker.id";
const VERSION: &str = "version";

impl MetaProperties {
    pub(crate) fn encode(&self) -> String {
        let Self { cluster_id, node_id, directory_id } = self;
        let mut text = format!("{CLUSTER_ID}={cluster_id}\n");
        if let Some(id) = directory_id {
            text.push_str(&format!("{DIRECTORY_ID}={id}\n"));
        }
        text.push_str(&format!("{NODE_ID}={node_id}\n{VERSION}=1\n"));
        text
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let value = |key: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
            lines
                .filter_map(|line| line.split_once('='))
                .find(|(k, _)| k.trim() == key)
                .map(|(_, v)| v.trim())
        };
        let required = |key: &str| value(key).ok_or_else(|| format!("the property {key} is missing"));
        // Version 0 is that of brokers on ZooKeeper, which call the node's id broker.id.
        let node_key = match required(VERSION)? {
            "1" => NODE_ID,
            "0" => BROKER_ID,
            other => return Err(format!("version={other}, and 0 or 1 was expected")),
        };
        let node_id = required(node_key)?;
        let directory_id =
            value(DIRECTORY_ID).map(|id| id.parse().map_err(|e| format!("{DIRECTORY_ID}: {e}")));
        Ok(Self {
            cluster_id: required(CLUSTER_ID)?.to_owned(),
            node_id: BrokerId(node_id.parse().map_err(|_| format!("{node_key}={node_id} is not a number"))?),
            directory_id: directory_id.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_writes_is_read() {
        let text = b"#\n#Thu Nov 20 10:00:00 UTC 2025\ncluster.id=q1Sh-9_ISia_zwGINzRvyQ\n\
            directory.id=AQEBAQEBAQEBAQEBAQEBAQ\nnode.id=1\nversion=1\n";
        let meta = MetaProperties::decode(text).unwrap();
        assert_eq!(meta.cluster_id, "q1Sh-9_ISia_zwGINzRvyQ");
        assert_eq!((meta.node_id, meta.directory_id), (BrokerId(1), Some(DirectoryId([1; 16]))));
        assert_eq!(MetaProperties::decode(meta.encode().as_bytes()), Ok(meta));
    }

    #[test]
    fn a_property_that_is_missing_or_wrong_is_named() {
        for (text, names) in [
            ("", "version"),
            ("version=2\n", "version=2"),
            ("version=1\ncluster.id=x\n", "node.id"),
            ("version=1\nnode.id=1\n", "cluster.id"),
            ("version=1\nnode.id=one\ncluster.id=x\n", "node.id=one"),
            ("version=1\nnode.id=1\ncluster.id=x\ndirectory.id=short\n", "directory.id"),
        ] {
            let error = MetaProperties::decode(text.as_bytes()).unwrap_err();
            assert!(error.contains(names), "{text:?}: {error}");
        }
    }
}
