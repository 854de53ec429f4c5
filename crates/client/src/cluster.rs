//! DescribeCluster: the cluster's id and its brokers, fenced ones too where the broker tells (KIP-700, KIP-1073). And
//! UnregisterBroker: one of them forgotten (KIP-631).

use ottla_types::BrokerId;
use ottla_wire::ApiKey;
use ottla_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest};
use ottla_wire::unregister_broker::UnregisterBrokerRequest;

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
    /// Has the cluster forget a broker. One that lives comes back when it is started again.
    ///
    /// # Errors
    /// [`Error::Answered`] says why not. After a lost connection the request is sent again, so that BROKER_ID_NOT_REGISTERED may
    /// then be its own doing.
    pub async fn unregister_broker(&self, id: BrokerId) -> Result<(), Error> {
        let mut retry = self.retry(format!("forgetting broker {id}"));
        loop {
            match self.unregister_broker_once(id).await {
                Ok(()) => return Ok(()),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn unregister_broker_once(&self, id: BrokerId) -> Result<(), Error> {
        let connection = self.controller().await?;
        let request = UnregisterBrokerRequest { broker_id: id.0, ..UnregisterBrokerRequest::default() };
        let response = connection.call(request).await?;
        let message = response.error_message.as_deref();
        let subject = format!("broker {id}");
        check(connection.broker(), ApiKey::UnregisterBroker, subject, response.error_code, message)
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
