//! Topics of which what is known has turned out to be old. They are asked for together, by one question at a time.

use std::collections::BTreeSet;

use ottla_types::TopicName;

use crate::client::Client;

/// The topics, and whether a question about others is on its way.
#[derive(Debug, Default)]
pub(crate) struct StaleTopics {
    topics: BTreeSet<TopicName>,
    is_refreshing: bool,
}

impl StaleTopics {
    /// Notes that what is known of a topic is old.
    pub(crate) fn insert(&mut self, topic: TopicName) {
        self.topics.insert(topic);
    }

    /// The question about all of them, if there are any and none is on its way. [`Self::refreshed`] is told of its end.
    pub(crate) fn refresh(&mut self, client: &Client) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.is_refreshing || self.topics.is_empty() {
            return None;
        }
        self.is_refreshing = true;
        let topics: Vec<TopicName> = std::mem::take(&mut self.topics).into_iter().collect();
        let client = client.clone();
        Some(async move {
            if let Err(error) = client.refresh(&topics).await {
                tracing::debug!(%error, "metadata could not be refreshed");
            }
        })
    }

    /// The question was answered, or will not be.
    pub(crate) fn refreshed(&mut self) {
        self.is_refreshing = false;
    }
}
