//! Being a member: who one is, the connection to the coordinator, and the requests of a member that need no more than that.
//!
//! The connection is the member's own. JoinGroup and SyncGroup are answered when the whole group is ready, and whatever
//! is asked behind them waits as long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_types::{ErrorCode, TopicName, TopicPartition};
use ottla_wire::heartbeat::HeartbeatRequest;
use ottla_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_wire::{ApiKey, Str};
use tokio::sync::watch;

use super::options::GroupConsumerOptions;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};
use crate::groups::coordinator::may_have_moved;
use crate::groups::offsets::{Identity, Offsets, commit, fetch};
use crate::groups::subject;
use crate::retry::Retry;

/// The first version of LeaveGroup in which several members may leave, and static ones (KIP-345).
const FIRST_BATCHED_LEAVE: i16 = 3;

/// Why a member has to join again.
#[derive(Debug, Clone)]
pub(super) enum Rejoin {
    /// The group rebalances, or its leader wants it to. The member may still commit.
    Rebalance,
    /// The group goes on without the member: what it had belongs to others.
    Lost,
    /// Joining again does not help.
    Failed(Error),
}

/// A member of a group, or who wants to become one.
pub(super) struct Membership {
    pub(super) client: Client,
    pub(super) group: String,
    pub(super) topics: Vec<TopicName>,
    pub(super) options: GroupConsumerOptions,
    connection: tokio::sync::Mutex<Option<Connection>>,
    identity: Mutex<Identity>,
    rejoin: watch::Sender<Option<Rejoin>>,
}

impl Membership {
    pub(super) fn new(
        client: Client,
        group: String,
        topics: Vec<TopicName>,
        options: GroupConsumerOptions,
    ) -> Self {
        let instance_id = options.instance_id.as_deref().map(Str::from);
        let identity = Identity { instance_id, ..Identity::outsider(&group) };
        Self {
            client,
            group,
            topics,
            options,
            connection: tokio::sync::Mutex::default(),
            identity: Mutex::new(identity),
            rejoin: watch::Sender::new(None),
        }
    }

    /// Who the member is now.
    pub(super) fn identity(&self) -> Identity {
        self.lock_identity().clone()
    }

    /// The member has an id now, and a generation if the group let it in.
    pub(super) fn is_now(&self, member_id: Str, generation: i32) {
        let mut identity = self.lock_identity();
        identity.member_id = member_id;
        identity.generation = generation;
    }

    /// The generation is over for the member, and where the coordinator does not know it, its id as well.
    pub(super) fn loses(&self, keeps_member_id: bool) {
        let mut identity = self.lock_identity();
        identity.generation = -1;
        if !keeps_member_id {
            identity.member_id = Str::default();
        }
    }

    fn lock_identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the member join again. Of several reasons the gravest stays.
    pub(super) fn has_to_rejoin(&self, why: Rejoin) {
        self.rejoin.send_if_modified(|known| {
            let is_news =
                !matches!((&*known, &why), (Some(_), Rejoin::Rebalance) | (Some(Rejoin::Failed(_)), _));
            if is_news {
                tracing::debug!(group = self.group, ?why, "has to join again");
                *known = Some(why);
            }
            is_news
        });
    }

    /// Whether the member has to join again, and why; to be waited for.
    pub(super) fn rejoins(&self) -> watch::Receiver<Option<Rejoin>> {
        self.rejoin.subscribe()
    }

    /// Forgets why the member had to join again, since it does.
    pub(super) fn joins(&self) {
        self.rejoin.send_replace(None);
    }

    /// What an error in answer to a member's request means for its membership.
    pub(super) fn judge(&self, error: &Error) {
        match error.code() {
            Some(ErrorCode::RebalanceInProgress) => self.has_to_rejoin(Rejoin::Rebalance),
            Some(ErrorCode::IllegalGeneration) => {
                self.loses(true);
                self.has_to_rejoin(Rejoin::Lost);
            }
            Some(ErrorCode::UnknownMemberId) => {
                self.loses(false);
                self.has_to_rejoin(Rejoin::Lost);
            }
            Some(ErrorCode::FencedInstanceId | ErrorCode::GroupAuthorizationFailed) => {
                self.has_to_rejoin(Rejoin::Failed(error.clone()));
            }
            _ => {}
        }
    }

    /// The connection to the coordinator, made if there is none.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let address = self.client.coordinator_address(&self.group).await?;
        let connection = self.client.own_connection(&address).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Has the coordinator looked up again, where the error says that it may have moved.
    pub(super) async fn may_have_moved(&self, error: &Error) {
        if may_have_moved(error) {
            self.client.forget_coordinator(&self.group);
            self.hang_up().await;
        }
    }

    /// Has the next request go over another connection.
    pub(super) async fn hang_up(&self) {
        *self.connection.lock().await = None;
    }

    /// The rhythm in which to try something again.
    pub(super) fn retry(&self, what: &str) -> Retry {
        self.client.retry(format!("{what} the group {}", self.group))
    }

    /// Tells the coordinator that the member is alive.
    pub(super) async fn heartbeat(&self) -> Result<(), Error> {
        let connection = self.connection().await?;
        let who = self.identity();
        let request = HeartbeatRequest {
            group_id: who.group,
            generation_id: who.generation,
            member_id: who.member_id,
            group_instance_id: who.instance_id,
            ..HeartbeatRequest::default()
        };
        let version = connection.version(ApiKey::Heartbeat)?;
        let pending = connection.start_at(request, version, self.options.session_timeout)?;
        let response = pending.wait().await?;
        check(connection.broker(), ApiKey::Heartbeat, subject(&self.group), response.error_code, None)
    }

    /// Commits offsets as the member that this is, trying again for as long as calls may take. Who is a member no more is
    /// refused here: a coordinator whose group is empty would take it for somebody who does without a group, and set back
    /// what others have committed since.
    pub(super) async fn commit(&self, offsets: &Offsets) -> Result<(), Error> {
        let mut retry = self.retry("committing offsets of");
        loop {
            let who = self.identity();
            if who.generation < 0 {
                return Err(Error::LeftOut { group: self.group.clone() });
            }
            let result = match self.connection().await {
                Ok(connection) => commit(connection, &who, offsets).await,
                Err(error) => Err(error),
            };
            let Err(error) = result else { return Ok(()) };
            self.judge(&error);
            self.may_have_moved(&error).await;
            retry.after(error).await?;
        }
    }

    /// The offsets that the group keeps for these partitions, waiting for transactions that are about to change them.
    pub(super) async fn committed(&self, partitions: &[TopicPartition]) -> Result<Offsets, Error> {
        let mut retry = self.retry("reading the offsets of");
        loop {
            let result = match self.connection().await {
                Ok(connection) => fetch(connection, &self.group, Some(partitions), true).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(offsets) => return Ok(offsets),
                Err(error) => {
                    self.may_have_moved(&error).await;
                    retry.after(error).await?;
                }
            }
        }
    }

    /// Leaves the group, once. A static member stays: it is to come back (KIP-345).
    pub(super) async fn leave(&self, reason: &str) -> Result<(), Error> {
        let who = self.identity();
        if who.instance_id.is_some() || who.member_id.is_empty() {
            return Ok(());
        }
        self.loses(false);
        let connection = self.connection().await?;
        let version = connection.version(ApiKey::LeaveGroup)?;
        let mut request = LeaveGroupRequest { group_id: who.group, ..LeaveGroupRequest::default() };
        if version >= FIRST_BATCHED_LEAVE {
            let reason = Some(reason.into());
            let member = MemberIdentity { member_id: who.member_id, reason, ..MemberIdentity::default() };
            request.members = vec![member];
        } else {
            request.member_id = who.member_id;
        }
        let timeout: Duration = connection.request_timeout();
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        let codes = response.members.iter().map(|member| member.error_code);
        for code in [response.error_code].into_iter().chain(codes) {
            check(connection.broker(), ApiKey::LeaveGroup, subject(&self.group), code, None)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("group", &self.group).field("topics", &self.topics).finish()
    }
}
