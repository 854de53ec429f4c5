//! What can go wrong between a client and a cluster. Every error says which broker and which API.

use std::io;
use std::time::Duration;

use ottla_records::BatchError;
use ottla_types::{ErrorCode, Offset, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::schema::Versions;

use crate::address::Address;

/// Why a call failed.
///
/// Cheap enough to clone, since one failed request fails many records.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection came to stand.
    #[error("{message}")]
    Connect {
        /// The broker.
        broker: Address,
        /// What kind of failure: a refused connection is not a name that does not resolve.
        kind: io::ErrorKind,
        /// What the system says, with the address.
        message: String,
    },
    /// None of the brokers known by address could be reached.
    #[error("no broker can be reached: {}", list(.0))]
    Unreachable(Vec<Error>),
    /// The connection ended before the answer came: what was asked for may or may not have been done.
    #[error("the connection to {broker} ended before it answered {api}: {reason}")]
    Disconnected {
        /// The broker.
        broker: Address,
        /// What was asked for.
        api: ApiKey,
        /// How the connection ended.
        reason: String,
    },
    /// No answer came in time: what was asked for may or may not have been done.
    #[error("{broker} did not answer {api} within {} ms", .after.as_millis())]
    TimedOut {
        /// The broker.
        broker: Address,
        /// What was asked for.
        api: ApiKey,
        /// How long it was given.
        after: Duration,
    },
    /// The request cannot be written in the version agreed on.
    #[error("cannot send {api} to {broker}: {reason}")]
    Encode {
        /// The broker.
        broker: Address,
        /// What was to be asked for.
        api: ApiKey,
        /// Which field of which version.
        reason: ottla_wire::Error,
    },
    /// The answer is not what the protocol says.
    #[error("{broker} sent an answer to {api} that cannot be understood: {reason}")]
    BadAnswer {
        /// The broker.
        broker: Address,
        /// What was asked for.
        api: ApiKey,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker does not have the API, or no version of it that this client has.
    #[error(
        "{broker} does not serve {api} in a version that this client knows: it has {}, and this client {} to {}",
        range(.theirs), .ours.first, .ours.last
    )]
    UnsupportedApi {
        /// The broker.
        broker: Address,
        /// What was to be asked for.
        api: ApiKey,
        /// The versions this client has.
        ours: Versions,
        /// The versions the broker has, if any.
        theirs: Option<(i16, i16)>,
    },
    /// The broker answered with an error.
    #[error("{broker} answered {code} to {api}{}{}", of(.subject), because(.message))]
    Answered {
        /// The broker.
        broker: Address,
        /// What was asked for.
        api: ApiKey,
        /// Which topic, partition or resource; empty for the request as a whole.
        subject: String,
        /// The error.
        code: ErrorCode,
        /// What the broker says about it, if it does.
        message: Option<String>,
    },
    /// The cluster has no such partition, or it has no leader now.
    #[error("{partition} {reason}")]
    NoLeader {
        /// The partition.
        partition: TopicPartition,
        /// Whether it does not exist or has no leader.
        reason: &'static str,
    },
    /// Tried again and again, until the time was over.
    #[error("{what} did not succeed within {} ms: {last}", .after.as_millis())]
    GaveUp {
        /// What was tried.
        what: String,
        /// For how long.
        after: Duration,
        /// How the last attempt failed.
        last: Box<Error>,
    },
    /// A group has no offset of a partition, and nobody said where to start then.
    #[error("the group {group} has no offset of {partition}, and there is no rule where to start")]
    NoCommittedOffset {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },
    /// A commit of who is a member no more.
    #[error(
        "the group {group} goes on without this member, and what it has not committed others will read again"
    )]
    LeftOut {
        /// The group.
        group: String,
    },
    /// A position that the partition's log does not have.
    #[error("{partition} has no offset {offset}: its log starts at {log_start} and ends at {high_watermark}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        offset: Offset,
        /// The first offset there is.
        log_start: Offset,
        /// The end of what consumers may read.
        high_watermark: Offset,
    },
    /// The broker cannot read what it stores there: a file on its disk is damaged, and asking again does not help.
    #[error(
        "{broker} cannot read {partition} at offset {offset}: it answered CORRUPT_MESSAGE, and its log says where"
    )]
    CorruptAtBroker {
        /// The broker.
        broker: Address,
        /// The partition.
        partition: TopicPartition,
        /// Where reading was to go on.
        offset: Offset,
    },
    /// Record batches from a broker that are damaged or malformed.
    #[error("{broker} sent {partition} from offset {offset} in a batch that cannot be read: {reason}")]
    BadBatch {
        /// The broker.
        broker: Address,
        /// The partition.
        partition: TopicPartition,
        /// Where reading was to go on.
        offset: Offset,
        /// What is wrong with the batch.
        reason: BatchError,
    },
}

impl Error {
    /// Whether the same call may succeed when it is made again, perhaps at another broker.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Unreachable(_)
            | Self::Disconnected { .. }
            | Self::TimedOut { .. }
            | Self::NoLeader { .. } => true,
            Self::Answered { code, .. } => code.is_retriable(),
            _ => false,
        }
    }

    /// Whether it is unknown if the broker did what it was asked for.
    #[must_use]
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::TimedOut { .. } | Self::BadAnswer { .. } => true,
            // The leader has the records, and its followers may or may not: KIP-98 lets the producer find out by
            // sending again. Who does not lead any more may have done so when it appended them; and an append that failed
            // may have come to be.
            Self::Answered { code, .. } => matches!(
                code,
                ErrorCode::RequestTimedOut
                    | ErrorCode::NotEnoughReplicasAfterAppend
                    | ErrorCode::NotLeaderOrFollower
                    | ErrorCode::KafkaStorageError
            ),
            Self::GaveUp { last, .. } => last.leaves_doubt(),
            _ => false,
        }
    }

    /// The error code that a broker answered, if one did.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Answered { code, .. } => Some(*code),
            Self::OffsetOutOfRange { .. } => Some(ErrorCode::OffsetOutOfRange),
            Self::CorruptAtBroker { .. } => Some(ErrorCode::CorruptMessage),
            Self::GaveUp { last, .. } => last.code(),
            _ => None,
        }
    }

    /// The brokers that refused a connection: nothing listens there.
    #[must_use]
    pub fn refused(&self) -> Vec<&Address> {
        match self {
            Self::Connect { broker, kind: io::ErrorKind::ConnectionRefused, .. } => vec![broker],
            Self::Unreachable(attempts) => attempts.iter().flat_map(Self::refused).collect(),
            Self::GaveUp { last, .. } => last.refused(),
            _ => Vec::new(),
        }
    }
}

/// The error that a code in an answer stands for; `Ok` for 0.
pub(crate) fn check(
    broker: &Address,
    api: ApiKey,
    subject: impl std::fmt::Display,
    code: i16,
    message: Option<&str>,
) -> Result<(), Error> {
    if code == 0 {
        return Ok(());
    }
    let known = ErrorCode::from_code(code);
    let unknown = known.is_none().then(|| format!("error code {code}, which this client does not know"));
    Err(Error::Answered {
        broker: broker.clone(),
        api,
        subject: subject.to_string(),
        code: known.unwrap_or(ErrorCode::UnknownServerError),
        message: message.filter(|text| !text.is_empty()).map(str::to_owned).or(unknown),
    })
}

fn list(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join("; ")
}

fn range(versions: &Option<(i16, i16)>) -> String {
    versions.map_or_else(|| "none".to_owned(), |(first, last)| format!("{first} to {last}"))
}

fn of(subject: &str) -> String {
    if subject.is_empty() { String::new() } else { format!(" for {subject}") }
}

fn because(message: &Option<String>) -> String {
    message.as_ref().map_or_else(String::new, |message| format!(": {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_lost_its_leadership_or_its_disk_leaves_doubt_whether_it_appended() {
        let answered = |code| Error::Answered {
            broker: Address::new("a", 1),
            api: ApiKey::Produce,
            code,
            subject: String::new(),
            message: None,
        };
        for code in [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::KafkaStorageError,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicasAfterAppend,
        ] {
            assert!(answered(code).leaves_doubt(), "{code}");
        }
        assert!(!answered(ErrorCode::NotEnoughReplicas).leaves_doubt());
        assert!(!answered(ErrorCode::MessageTooLarge).leaves_doubt());
    }
}
