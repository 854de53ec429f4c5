//! The follower's side of replication: this broker's replicas that others lead are copied from their leaders.
//!
//! - [`pool`]: which fetchers there are, and which partitions each has. [`slots`]: which fetcher a partition goes to.
//! - [`fetcher`]: the task with the connection; [`state`]: what it knows of its partitions; [`orders`]: what it is told.
//! - [`session`], [`request`]: what a request says (KIP-227, KIP-516, KIP-903). [`following`]: what an answer does.
//! - [`rests`]: when to try again. [`troubles`]: what the log is told. [`settings`]: `replica.fetch.*`.
//!
//! What is not here: what an answer means, which the machine in crate `replica` decides; the leader's side (`partition`,
//! the Fetch handler); and who is to follow whom (`replicas`).

#[cfg(test)]
mod fake_leader;
mod fetcher;
mod following;
mod orders;
mod pool;
mod request;
mod rests;
mod session;
mod settings;
mod slots;
mod state;
#[cfg(test)]
mod tests;
mod troubles;

use std::sync::Arc;

use ottla_client::Address;
use ottla_env::Env;
use ottla_types::config::Settings;
use ottla_types::config::listeners::ListenerProblem;
use ottla_types::{BrokerEpoch, BrokerId};

pub(crate) use self::pool::Fetchers;
use self::request::Follower;
use self::settings::FetchSettings;
use crate::cluster::Metadata;
use crate::replication::throttle::Throttles;

/// What all fetchers of a broker share.
struct Shared {
    env: Env,
    me: Follower,
    settings: FetchSettings,
    throttles: Arc<Throttles>,
    /// Where a broker is reached by brokers, as far as it is known now.
    address_of: Box<dyn Fn(BrokerId) -> Option<Address> + Send + Sync>,
}

impl Fetchers {
    /// Those of the broker `me`, in the run of its registration's epoch.
    ///
    /// # Errors
    /// Mistakes in the settings of listeners. Settings that were loaded have none.
    pub(crate) fn new(
        env: &Env,
        settings: &Settings,
        metadata: &Arc<Metadata>,
        throttles: &Arc<Throttles>,
        me: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Self, Vec<ListenerProblem>> {
        let listener = settings.listeners()?.inter_broker;
        let metadata = Arc::clone(metadata);
        let address_of = move |broker| {
            let image = metadata.image();
            let endpoints = &image.broker(broker)?.registration.endpoints;
            let endpoint = endpoints.iter().find(|endpoint| *endpoint.listener == *listener)?;
            Some(Address::new(&endpoint.host, endpoint.port))
        };
        Ok(Self::over(Shared {
            env: env.clone(),
            me: Follower { broker: me, epoch },
            settings: settings.into(),
            throttles: Arc::clone(throttles),
            address_of: Box::new(address_of),
        }))
    }
}
