//! What is said where nobody leads: why the metadata cannot change now.
//!
//! Kafka's clients take NOT_CONTROLLER as a reason to ask again, for a minute, and keep what was said to themselves. That is
//! right while a majority is there, for it will elect. Where it is not, they are told REQUEST_TIMED_OUT, which is also Kafka's
//! answer to a request that found no active controller: calls that change something fail with it at once, and with the text.
//! Nothing was done either way, unless a leader was asked first that was lost then. Before that the broker itself waits as long
//! as an election may take: `Quorum::patience`.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;

use ottla_metadata::controller::Refused;
use ottla_types::{BrokerId, ErrorCode};

use super::channel::Channel;
use super::links::Links;

/// How long a voter may take to show that it is there.
const REACH_TIMEOUT: Duration = Duration::from_millis(500);

impl Channel {
    /// Why there is no active controller for a request that came to this node; `None` where this node is it.
    pub(crate) async fn leaderless(&self) -> Option<Refused> {
        let links = self.links.as_deref().filter(|_| !self.controller.metadata.is_leading())?;
        let me = self.controller.metadata.node_id();
        let mut voters: Vec<BrokerId> = self.quorum.members().into_iter().map(|voter| voter.key.id).collect();
        let of_whom = if voters.is_empty() {
            // Who does not vote knows of those who do by their addresses, and perhaps not of all.
            voters = links.known();
            "voters that this broker knows of"
        } else {
            "voters"
        };
        let reached = join_all(voters.iter().map(async |id| (*id, reach(links, me, *id).await))).await;
        Some(explain(of_whom, &reached))
    }
}

async fn reach(links: &Links, me: BrokerId, voter: BrokerId) -> io::Result<()> {
    if voter == me { Ok(()) } else { links.reach(voter, REACH_TIMEOUT).await }
}

fn explain(of_whom: &str, voters: &[(BrokerId, io::Result<()>)]) -> Refused {
    let reached = voters.iter().filter(|(_, reached)| reached.is_ok()).count();
    let missing = voters.iter().filter_map(|(id, reached)| {
        let error = reached.as_ref().err()?;
        Some(format!("node {id}: {error}"))
    });
    let missing = missing.collect::<Vec<_>>().join("; ");
    let missing = if missing.is_empty() { missing } else { format!(" ({missing})") };
    let count = voters.len();
    let (error, none) = if reached * 2 > count {
        (ErrorCode::NotController, "the metadata quorum has no leader yet, or none that this node reaches")
    } else {
        (ErrorCode::RequestTimedOut, "the metadata quorum has no leader")
    };
    Refused { error, message: format!("{none}: {reached} of {count} {of_whom} can be reached{missing}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(reached: [Result<(), &str>; 3]) -> Vec<(BrokerId, io::Result<()>)> {
        let voter =
            |(id, reached): (i32, Result<(), &str>)| (BrokerId(id), reached.map_err(io::Error::other));
        (1..).zip(reached).map(voter).collect()
    }

    #[test]
    fn a_lost_majority_is_told_with_who_is_missing_and_why() {
        let refused = explain("voters", &voters([Ok(()), Err("connection refused"), Err("no answer")]));
        assert_eq!(refused.error, ErrorCode::RequestTimedOut);
        assert_eq!(
            refused.message,
            "the metadata quorum has no leader: 1 of 3 voters can be reached (node 2: connection refused; node 3: no answer)"
        );
    }

    #[test]
    fn a_majority_that_is_there_is_not_said_to_be_lost() {
        let refused = explain("voters", &voters([Ok(()), Err("connection refused"), Ok(())]));
        assert_eq!(refused.error, ErrorCode::NotController, "clients ask again");
        let text = refused.message;
        assert!(text.contains("yet") && text.contains("2 of 3 voters can be reached (node 2:"), "{text}");
        let text = explain("voters", &voters([Ok(()), Ok(()), Ok(())])).message;
        assert!(text.ends_with("3 of 3 voters can be reached"), "{text}");
    }

    #[test]
    fn who_may_not_know_of_all_voters_does_not_say_how_many_there_are() {
        let text =
            explain("voters that this broker knows of", &voters([Ok(()), Err("no"), Err("no")])).message;
        assert!(text.contains("1 of 3 voters that this broker knows of can be reached (node 2:"), "{text}");
    }
}
