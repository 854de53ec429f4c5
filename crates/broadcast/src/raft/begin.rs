//! The first entry of a log: who votes.

use std::collections::BTreeMap;

use openraft::errors::{InitializeError, RaftError};
use ottla_types::BrokerId;

use super::Raft;
use crate::quorum::Voter;

/// Why a quorum was not formed.
#[derive(Debug, thiserror::Error)]
pub enum InitialiseError {
    /// This node has a log or a vote: it is in a quorum, or was.
    #[error("this node has a metadata log or a vote already, and forms no new quorum")]
    NotEmpty,
    /// The list of voters is not one.
    #[error("no quorum can be formed of these voters: {0}")]
    Voters(String),
    /// The storage failed, or the log was closed.
    #[error("the quorum cannot be formed: {0}")]
    Stopped(String),
}

impl Raft {
    /// Forms a quorum of these voters, this node among them. Every one of them may do so; and none that is not sure that all
    /// the others are as empty as itself.
    ///
    /// The first entry of the log is written by the voter with the lowest id, and the others wait for it: two that had not
    /// heard of the same directories would write different ones under the same id, and each count its own majority.
    ///
    /// # Errors
    /// Nothing has changed, unless the storage failed.
    pub async fn initialise(&self, voters: Vec<Voter>) -> Result<(), InitialiseError> {
        let is_first = voters.iter().map(|voter| voter.key).min() == Some(self.me);
        self.check(&voters)?;
        if is_first { self.begin(voters).await } else { Ok(()) }
    }

    /// The same for a voter that knows that all the others begin their logs with these voters too, if they do: because one
    /// decided on them, and each has kept that durably ([`crate::founding`]). So it waits for nobody, and who is elected first
    /// does not matter.
    ///
    /// # Errors
    /// Nothing has changed, unless the storage failed.
    pub async fn begin(&self, voters: Vec<Voter>) -> Result<(), InitialiseError> {
        self.check(&voters)?;
        let voters: BTreeMap<_, _> = voters.into_iter().map(|voter| (voter.key, voter.endpoints)).collect();
        match self.raft.initialize(voters).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(InitialiseError::NotEmpty),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(not_among_them()),
            Err(RaftError::Fatal(error)) => Err(InitialiseError::Stopped(error.to_string())),
        }
    }

    fn check(&self, voters: &[Voter]) -> Result<(), InitialiseError> {
        if !self.is_empty() {
            return Err(InitialiseError::NotEmpty);
        }
        let mut ids: Vec<BrokerId> = voters.iter().map(|voter| voter.key.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != voters.len() {
            return Err(InitialiseError::Voters("a node is named twice".to_owned()));
        }
        if voters.iter().any(|voter| voter.key == self.me) { Ok(()) } else { Err(not_among_them()) }
    }
}

fn not_among_them() -> InitialiseError {
    InitialiseError::Voters("this node is not among them".to_owned())
}
