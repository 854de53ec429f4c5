//! What a controller does first, and from time to time: it finishes what an earlier one may have left undone.

use ottla_types::config::topic::MIN_INSYNC_REPLICAS;

use super::replication::is_active;
use super::{Controller, Cuts, Decision};
use crate::record::{Config, ConfigResource, Record};

impl Controller {
    /// Decides what a node that begins to lead does before anything else.
    ///
    /// - What it knew of brokers from their heartbeats is forgotten: it may be older than the other leaders' decisions.
    /// - `min.insync.replicas` becomes a replicated value, if it is none yet: the one of this node's settings. Leaders and
    ///   controller must count by the same number, or an ELR means nothing (KIP-966).
    /// - Brokers that may not be in sync are taken out of the ISRs: logs of earlier versions have them in there.
    /// - Partitions without a leader get one, if they can: a decision may have been cut in the middle.
    pub fn activate(&mut self) -> Decision<()> {
        self.forget_seen();
        let pinned = self.pin_min_isr();
        let image = &self.speculative;
        let inactive: Vec<_> = image.brokers().filter(|broker| !broker.is_active()).cloned().collect();
        let mut decision = pinned;
        for broker in inactive {
            decision = decision.then(self.take_leaderships(broker.registration.id));
        }
        let elected = self.elect_leaderless(usize::MAX);
        decision.then(elected).map(|_| ())
    }

    fn pin_min_isr(&mut self) -> Decision<()> {
        let key = MIN_INSYNC_REPLICAS.name();
        let resource = ConfigResource::ClusterDefault;
        if self.speculative.configs(&resource).is_some_and(|configs| configs.get(key).is_some()) {
            return Decision::unchanged(());
        }
        let layers = self.speculative.cluster_layers(&self.settings);
        let value: i32 = layers.topic_value(&(), &MIN_INSYNC_REPLICAS);
        let value = Some(value.to_string().into());
        let record = Record::Config(Config { resource, key: key.into(), value });
        self.decide_cut(vec![record], Cuts::Nowhere, ())
    }

    /// Looks for leaders of partitions that have none, and elects at most so many. Where the topic allows unclean
    /// elections, that is anybody. The answer is whether there may be more. The host calls this from time to time: a
    /// topic's configuration may allow now what it did not before.
    pub fn elect_leaderless(&mut self, most: usize) -> Decision<bool> {
        let image = &self.speculative;
        let partitions = image.leaderless().iter();
        let mut updates = self.updates(partitions, |broker| is_active(image, broker), |_| ());
        let has_more = updates.truncate(most);
        self.decide_updates(updates, has_more)
    }
}
