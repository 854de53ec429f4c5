//! ListGroups: each broker knows the groups that it coordinates, so all of them are asked.

use std::collections::BTreeMap;

use ottla_wire::ApiKey;
use ottla_wire::list_groups::{ListGroupsRequest, ListedGroup as Listed};

use crate::client::Client;
use crate::error::{Error, check};

/// The first version of ListGroups that tells and filters states (KIP-518).
const FIRST_WITH_STATES: i16 = 4;

/// The first version of ListGroups that tells and filters types (KIP-848).
const FIRST_WITH_TYPES: i16 = 5;

/// A group, as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: String,
    /// What its members speak: `consumer` for consumers; empty for a group that only has offsets.
    pub protocol_type: String,
    /// Its state, such as `Stable`, where the broker tells (Kafka 2.6 and later).
    pub state: Option<String>,
    /// Its type, such as `classic`, where the broker tells (Kafka 3.8 and later).
    pub group_type: Option<String>,
}

impl Client {
    /// All groups, by their ids; only those in one of the states and of one of the types, where any are given.
    ///
    /// # Errors
    /// If some broker does not answer, or is too old to know states or types that are asked for ([`Error::Encode`]): a list
    /// with groups missing would look like a whole one.
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<ListedGroup>, Error> {
        let mut retry = self.retry("listing the groups".to_owned());
        loop {
            match self.list_groups_once(states, types).await {
                Ok(groups) => return Ok(groups),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    async fn list_groups_once(&self, states: &[String], types: &[String]) -> Result<Vec<ListedGroup>, Error> {
        let metadata = self.refresh(&[]).await?;
        let mut groups = BTreeMap::new();
        for id in metadata.brokers.keys() {
            let connection = self.broker(*id).await?;
            let version = connection.version(ApiKey::ListGroups)?;
            let request = ListGroupsRequest {
                states_filter: states.iter().map(Into::into).collect(),
                types_filter: types.iter().map(Into::into).collect(),
                ..ListGroupsRequest::default()
            };
            let timeout = connection.request_timeout();
            let response = connection.start_at(request, version, timeout)?.wait().await?;
            check(connection.broker(), ApiKey::ListGroups, "", response.error_code, None)?;
            // A group that moves while brokers are asked may be told by two of them.
            let listed = response.groups.into_iter().map(|group| listed(group, version));
            groups.extend(listed.map(|group| (group.group.clone(), group)));
        }
        Ok(groups.into_values().collect())
    }
}

fn listed(group: Listed, version: i16) -> ListedGroup {
    ListedGroup {
        group: group.group_id.into(),
        protocol_type: group.protocol_type.into(),
        state: (version >= FIRST_WITH_STATES).then(|| group.group_state.into()),
        group_type: (version >= FIRST_WITH_TYPES).then(|| group.group_type.into()),
    }
}
