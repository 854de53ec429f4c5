//! ListGroups: each broker knows the groups that it coordinates, so all of them are asked, and what they do not tell is told.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::ApiKey;
use ottla_wire::list_groups::{ListGroupsRequest, ListedGroup as Listed};

use crate::client::Client;
use crate::error::{Error, check};

/// The first version of ListGroups that tells and filters states (KIP-518).
const FIRST_WITH_STATES: i16 = 4;

/// The first version of ListGroups that tells and filters types (KIP-848).
const FIRST_WITH_TYPES: i16 = 5;

/// How long brokers are asked again that cannot tell of all groups. One that was just started, or lost its connection, can
/// soon.
const GAPS_PATIENCE: Duration = Duration::from_secs(5);

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

/// What groups there are, as far as brokers tell.
#[derive(Debug)]
pub struct GroupList {
    /// The groups, by their ids.
    pub groups: Vec<ListedGroup>,
    /// Why groups may be missing: for each broker that does not tell of all that it coordinates. COORDINATOR_NOT_AVAILABLE
    /// says that a partition of `__consumer_offsets` cannot be read, for one.
    pub gaps: Vec<Error>,
}

impl Client {
    /// All groups; only those in one of the states and of one of the types, where any are given. What some broker cannot
    /// tell, such as those of a damaged partition, does not keep the others from being told.
    ///
    /// # Errors
    /// If there is nothing to tell but that groups may be missing; or a broker is too old to know states or types that are
    /// asked for ([`Error::Encode`]).
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<GroupList, Error> {
        let what = "listing the groups".to_owned();
        let (mut retry, mut retry_gaps) = (self.retry(what.clone()), self.retry_within(what, GAPS_PATIENCE));
        loop {
            let mut list = match self.list_groups_once(states, types).await {
                Ok(list) => list,
                Err(error) => {
                    retry.after(error).await?;
                    continue;
                }
            };
            if list.gaps.is_empty() {
                return Ok(list);
            }
            let at = worth_waiting_for(&list.gaps);
            let gap = list.gaps.remove(at);
            let again = if is_loading(&gap) { retry.after(gap).await } else { retry_gaps.after(gap).await };
            if let Err(gap) = again {
                if list.groups.is_empty() {
                    return Err(gap);
                }
                list.gaps.insert(at, gap);
                return Ok(list);
            }
        }
    }

    async fn list_groups_once(&self, states: &[String], types: &[String]) -> Result<GroupList, Error> {
        let metadata = self.refresh(&[]).await?;
        let mut groups = BTreeMap::new();
        let mut gaps = Vec::new();
        for id in metadata.brokers.keys() {
            match self.list_groups_of(*id, states, types).await {
                Ok((listed, gap)) => {
                    // A group that moves while brokers are asked may be told by two of them.
                    groups.extend(listed.into_iter().map(|group| (group.group.clone(), group)));
                    gaps.extend(gap);
                }
                // It is the request that is wrong.
                Err(error @ Error::Encode { .. }) => return Err(error),
                Err(error) => gaps.push(error),
            }
        }
        Ok(GroupList { groups: groups.into_values().collect(), gaps })
    }

    /// The groups of one broker, and why there may be more.
    async fn list_groups_of(
        &self,
        id: BrokerId,
        states: &[String],
        types: &[String],
    ) -> Result<(Vec<ListedGroup>, Option<Error>), Error> {
        let connection = self.broker(id).await?;
        let version = connection.version(ApiKey::ListGroups)?;
        let request = ListGroupsRequest {
            states_filter: states.iter().map(Into::into).collect(),
            types_filter: types.iter().map(Into::into).collect(),
            ..ListGroupsRequest::default()
        };
        let timeout = connection.request_timeout();
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        let gap = check(connection.broker(), ApiKey::ListGroups, "", response.error_code, None).err();
        Ok((response.groups.into_iter().map(|group| listed(group, version)).collect(), gap))
    }
}

/// What is being loaded will be there. Anything else may last for as long as nobody mends it.
fn is_loading(gap: &Error) -> bool {
    gap.code() == Some(ErrorCode::CoordinatorLoadInProgress)
}

/// Which of the gaps decides for how long all brokers are asked again: one that surely closes before one that may, and that
/// before one that will not.
fn worth_waiting_for(gaps: &[Error]) -> usize {
    let first = |is_it: fn(&Error) -> bool| gaps.iter().position(is_it);
    first(is_loading).or_else(|| first(Error::is_retriable)).unwrap_or(0)
}

fn listed(group: Listed, version: i16) -> ListedGroup {
    ListedGroup {
        group: group.group_id.into(),
        protocol_type: group.protocol_type.into(),
        state: (version >= FIRST_WITH_STATES).then(|| group.group_state.into()),
        group_type: (version >= FIRST_WITH_TYPES).then(|| group.group_type.into()),
    }
}
