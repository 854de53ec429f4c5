//! Fencing and unfencing, and controlled shutdown: how a broker loses and regains what it leads (KIP-631, KIP-841).
//!
//! The order of the records is told in [`super::super::decision`].

use std::collections::BTreeSet;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, TopicId};

use super::super::replication::is_active;
use super::super::{Controller, Cuts, Decision, Refused};
use crate::record::{BrokerChange, BrokerFencing, LOST_DIRECTORY, Record};

impl Controller {
    /// Fences or unfences a registered broker, and moves leaderships accordingly. The failure detector fences by this; a
    /// broker is unfenced by its heartbeats, except where it is known to have replayed its registration.
    ///
    /// The answer is STALE_BROKER_EPOCH or BROKER_ID_NOT_REGISTERED if the registration is not that one any more.
    pub fn set_fenced(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        fenced: bool,
    ) -> Decision<Result<(), Refused>> {
        if let Err(refused) = self.check_registration(id, epoch) {
            return Decision::unchanged(Err(refused));
        }
        let decision = if fenced { self.fence(id, epoch) } else { self.unfence(id, epoch) };
        decision.map(Ok)
    }

    /// Takes note of replicas that a broker cannot open: they leave the ISR, count as lost, and are not led by it before
    /// it says where they lie, or registers again.
    pub fn take_offline(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        replicas: &BTreeSet<(TopicId, i32)>,
    ) -> Decision<Result<(), Refused>> {
        if let Err(refused) = self.check_registration(id, epoch) {
            return Decision::unchanged(Err(refused));
        }
        let image = &self.speculative;
        let held = replicas.iter().copied().filter(|(topic, index)| {
            image.partition(*topic, *index).is_some_and(|state| state.replicas.contains(&id))
        });
        let updates = self.updates(
            held,
            |other| is_active(image, other),
            |target| {
                target.make_stranger(id);
                target.set_directory(id, LOST_DIRECTORY);
            },
        );
        self.decide_updates(updates, Ok(()))
    }

    /// First the partitions go to others, then the broker is fenced.
    pub(super) fn fence(&mut self, id: BrokerId, epoch: BrokerEpoch) -> Decision<()> {
        if self.speculative.broker(id).is_none_or(|broker| broker.fenced) {
            return Decision::unchanged(());
        }
        let taken = match is(Sabotage::FencedBrokerLeads) {
            true => Decision::unchanged(()),
            false => self.take_leaderships(id),
        };
        let fencing = BrokerFencing { id, epoch, fenced: true };
        taken.then(self.decide_cut(vec![Record::BrokerFencing(fencing)], Cuts::Nowhere, ()))
    }

    /// First the broker is unfenced, then it leads what nobody else can.
    pub(super) fn unfence(&mut self, id: BrokerId, epoch: BrokerEpoch) -> Decision<()> {
        if self.speculative.broker(id).is_none_or(|broker| !broker.fenced) {
            return Decision::unchanged(());
        }
        let fencing = BrokerFencing { id, epoch, fenced: false };
        let unfenced = self.decide_cut(vec![Record::BrokerFencing(fencing)], Cuts::Nowhere, ());
        let image = &self.speculative;
        let waiting = image.hosted(id).into_iter().flat_map(|hosted| {
            image.leaderless().iter().filter(|(topic, index)| hosted.replicas.contains(*topic, *index))
        });
        let updates = self.updates(waiting, |broker| is_active(image, broker), |_| ());
        unfenced.then(self.decide_updates(updates, ()))
    }

    /// First the partitions go to others, then the broker is marked, so that it joins no ISR any more (KIP-841).
    pub(super) fn begin_shutdown(&mut self, id: BrokerId, epoch: BrokerEpoch) -> Decision<()> {
        let taken = self.take_leaderships(id);
        if self.speculative.broker(id).is_none_or(|broker| broker.in_controlled_shutdown) {
            return taken;
        }
        let change = BrokerChange { id, epoch, in_controlled_shutdown: true, directories: None };
        taken.then(self.decide_cut(vec![Record::BrokerChange(change)], Cuts::Nowhere, ()))
    }

    /// Takes a broker out of all ISRs, and so of all leaderships.
    pub(in super::super) fn take_leaderships(&mut self, id: BrokerId) -> Decision<()> {
        let image = &self.speculative;
        let updates = self.updates(
            self.hosted_by(id),
            |other| other != id && is_active(image, other),
            |target| target.leave_isr(id),
        );
        self.decide_updates(updates, ())
    }
}
