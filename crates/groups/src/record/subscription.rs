//! `ConsumerProtocolSubscription`: what a consumer tells its group under a protocol of type `consumer`.
//!
//! Only the topics are of interest here. They are the first field of every version, so that all versions are read as
//! version 0, as in Kafka.

use std::collections::BTreeSet;

use super::RecordError;
use super::bytes::Reader;

/// The protocol type whose metadata this is.
pub const CONSUMER_PROTOCOL: &str = "consumer";

/// The topics that the member subscribes to.
///
/// # Errors
/// The metadata is not a subscription.
pub fn subscribed_topics(metadata: &[u8]) -> Result<BTreeSet<Box<str>>, RecordError> {
    let mut reader = Reader::new(metadata, "subscription of a member");
    if reader.i16("version")? < 0 {
        return Err(reader.invalid("version", "it is negative"));
    }
    let mut topics = BTreeSet::new();
    for _ in 0..reader.count("topics", false)? {
        topics.insert(reader.string("topic", false)?.into());
    }
    Ok(topics)
}
