//! DeleteGroups.

use ottla_wire::ApiKey;
use ottla_wire::delete_groups::DeleteGroupsRequest;

use super::subject;
use crate::admin::one;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

impl Client {
    /// Forgets a group without members, and its offsets.
    ///
    /// # Errors
    /// [`Error::Answered`] says why not: NON_EMPTY_GROUP while it has members, GROUP_ID_NOT_FOUND where there is none, which
    /// after a lost connection may be this call's own doing.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let what = format!("deleting the group {group}");
        self.with_coordinator(what, group, |connection| delete(connection, group)).await
    }
}

async fn delete(connection: Connection, group: &str) -> Result<(), Error> {
    let request = DeleteGroupsRequest { groups_names: vec![group.into()], ..DeleteGroupsRequest::default() };
    let result = one(&connection, ApiKey::DeleteGroups, connection.call(request).await?.results)?;
    check(connection.broker(), ApiKey::DeleteGroups, subject(group), result.error_code, None)
}
