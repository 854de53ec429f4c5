//! DescribeCluster: the cluster's id and its brokers, fenced ones too where the broker tells (KIP-700, KIP-1073).

use ottla_types::BrokerId;
use ottla_wire::ApiKey;
use ottla_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest};

use crate::address::Address;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// The first version of DescribeCluster that tells of fenced brokers.
const FIRST_WITH_FENCED: i16 = 2;

/// A cluster, as one of its brokers describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: String,
    /// The broker that takes administrative requests, if one is named.
    pub controller: Option<BrokerId>,
    /// Its brokers, by their ids.
    pub brokers: Vec<ClusterBroker>,
}

/// A broker of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterBroker {
    /// Its id.
    pub id: BrokerId,
    /// Where it is reached.
    pub address: Address,
    /// The rack it stands in.
    pub rack: Option<String>,
    /// Whether the controller believes it to be dead, stopping or not ready. `None` where brokers do not tell (before
    /// Kafka 4.0), and then only those that are not fenced are named.
    pub is_fenced: Option<bool>,
}

impl Client {
    /// The cluster.
    ///
    /// # Errors
    /// If no broker answers, or the one that does is older than Kafka 2.8.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let mut retry = self.retry("describing the cluster".to_owned());
        loop {
            match self.describe_cluster_once().await {
                Ok(description) => return Ok(description),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    async fn describe_cluster_once(&self) -> Result<ClusterDescription, Error> {
        let connection = self.any_broker().await?;
        let version = connection.version(ApiKey::DescribeCluster)?;
        let tells_fenced = version >= FIRST_WITH_FENCED;
        let request = DescribeClusterRequest {
            include_fenced_brokers: tells_fenced,
            ..DescribeClusterRequest::default()
        };
        let response = connection.start_at(request, version, connection.request_timeout())?.wait().await?;
        let message = response.error_message.as_deref();
        check(connection.broker(), ApiKey::DescribeCluster, "", response.error_code, message)?;
        let read = |broker: &DescribeClusterBroker| read_broker(&connection, broker, tells_fenced);
        let mut brokers = response.brokers.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            id: response.cluster_id.into(),
            controller: Some(BrokerId(response.controller_id)).filter(|id| id.0 >= 0),
            brokers,
        })
    }
}

fn read_broker(
    connection: &Connection,
    broker: &DescribeClusterBroker,
    tells_fenced: bool,
) -> Result<ClusterBroker, Error> {
    let id = BrokerId(broker.broker_id);
    let port = u16::try_from(broker.port).map_err(|_| Error::BadAnswer {
        broker: connection.broker().clone(),
        api: ApiKey::DescribeCluster,
        reason: format!("broker {id} claims port {}", broker.port),
    })?;
    Ok(ClusterBroker {
        id,
        address: Address::new(&broker.host, port),
        rack: broker.rack.as_deref().map(str::to_owned),
        is_fenced: tells_fenced.then_some(broker.is_fenced),
    })
}
