//! Brokers: registration, fencing, and the leaderships that follow from them (KIP-631).
//!
//! Who is alive is not decided here: a failure detector says so by fencing and unfencing.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, TopicId};

use super::{Controller, Decision, Refused};
use crate::image::Image;
use crate::record::codec::MAX_STRING;
use crate::record::{
    BrokerFencing, Endpoint, IncarnationId, PartitionChange, PartitionState, Record, RegisterBroker,
};

/// What a starting broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Drawn at this start.
    pub incarnation: IncarnationId,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Its log directories.
    pub directories: Vec<DirectoryId>,
}

impl Registration {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let endpoints = self.endpoints.iter().flat_map(|endpoint| [&*endpoint.listener, &*endpoint.host]);
        endpoints.chain(self.rack.as_deref())
    }
}

impl Controller {
    /// Registers a broker. It is fenced until [`Controller::set_fenced`] says otherwise. A broker that asks again for
    /// the same incarnation gets the same epoch.
    pub fn register_broker(&mut self, broker: &Registration) -> Decision<Result<BrokerEpoch, Refused>> {
        if broker.id.0 < 0 {
            let message = format!("{} is not a broker's id: it must not be negative.", broker.id);
            return refuse(Refused::new(ErrorCode::InvalidRequest, message));
        }
        if let Some(text) = broker.texts().find(|text| text.len() > MAX_STRING) {
            let message =
                format!("A host, listener or rack has {} bytes, and {MAX_STRING} is the most.", text.len());
            return refuse(Refused::new(ErrorCode::InvalidRequest, message));
        }
        let epoch = self.speculative.next_broker_epoch();
        let registration = RegisterBroker {
            id: broker.id,
            epoch,
            incarnation: broker.incarnation,
            endpoints: broker.endpoints.clone(),
            rack: broker.rack.as_deref().map(Arc::from),
            directories: broker.directories.clone(),
            ..RegisterBroker::default()
        };
        if let Some(known) = self.speculative.broker(broker.id) {
            let known = &known.registration;
            if *known == (RegisterBroker { epoch: known.epoch, ..registration.clone() }) {
                return Decision { records: Vec::new(), answer: Ok(known.epoch) };
            }
        }
        // What an earlier incarnation led has no leader until this one is unfenced: its log may have lost its end, and
        // a new leader epoch is what tells.
        let mut records = without(&self.speculative, broker.id, |_, _| true);
        records.insert(0, Record::RegisterBroker(registration));
        self.decide(records, Ok(epoch))
    }

    /// Fences or unfences a registered broker, and moves leaderships accordingly.
    pub fn set_fenced(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        fenced: bool,
    ) -> Decision<Result<(), Refused>> {
        if let Err(refused) = self.check_registration(id, epoch) {
            return refuse(refused);
        }
        if self.speculative.broker(id).is_some_and(|broker| broker.fenced == fenced) {
            return Decision { records: Vec::new(), answer: Ok(()) };
        }
        let changes =
            if fenced { without(&self.speculative, id, |_, _| true) } else { with(&self.speculative, id) };
        let mut records = vec![Record::BrokerFencing(BrokerFencing { id, epoch, fenced })];
        records.extend(changes);
        self.decide(records, Ok(()))
    }

    /// Takes note of replicas that a broker cannot open: it does not lead those partitions any more. They are in what
    /// [`Self::set_fenced`] gives back to it when it starts again.
    pub fn take_offline(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        replicas: &BTreeSet<(TopicId, i32)>,
    ) -> Decision<Result<(), Refused>> {
        if let Err(refused) = self.check_registration(id, epoch) {
            return refuse(refused);
        }
        let is_lost = |topic, index| replicas.contains(&(topic, index));
        let records = without(&self.speculative, id, is_lost);
        self.decide(records, Ok(()))
    }

    /// Whether a broker speaks for its newest registration.
    pub(super) fn check_registration(&self, id: BrokerId, epoch: BrokerEpoch) -> Result<(), Refused> {
        match self.speculative.broker(id).map(|broker| broker.registration.epoch) {
            None => {
                Err(Refused::new(ErrorCode::BrokerIdNotRegistered, format!("Broker {id} is not registered.")))
            }
            Some(known) if known != epoch => Err(Refused::new(
                ErrorCode::StaleBrokerEpoch,
                format!("Broker {id} is registered with epoch {known}, and the request has {epoch}."),
            )),
            Some(_) => Ok(()),
        }
    }
}

fn refuse<T>(refused: Refused) -> Decision<Result<T, Refused>> {
    Decision { records: Vec::new(), answer: Err(refused) }
}

fn partitions(image: &Image) -> impl Iterator<Item = (TopicId, i32, &Arc<PartitionState>)> {
    image.topics().flat_map(|topic| topic.partitions().map(|(index, state)| (topic.id, index, state)))
}

/// The changes when a broker may not lead some partitions any more: it leaves their ISRs, but never empties one, and
/// leads none of them.
fn without(image: &Image, id: BrokerId, concerns: impl Fn(TopicId, i32) -> bool) -> Vec<Record> {
    let can_lead = |other: BrokerId| other != id && image.broker(other).is_some_and(|b| !b.fenced);
    partitions(image)
        .filter(|(topic, index, _)| concerns(*topic, *index))
        .filter_map(|(topic, index, state)| {
            let others: Vec<_> = state.isr.iter().copied().filter(|other| *other != id).collect();
            let isr = (others.len() < state.isr.len() && !others.is_empty()).then_some(others);
            let leader = (state.leader == Some(id)).then(|| {
                state.replicas.iter().copied().find(|other| state.isr.contains(other) && can_lead(*other))
            });
            if isr.is_none() && leader.is_none() {
                return None;
            }
            let isr = isr.map(Arc::from);
            Some(Record::PartitionChange(PartitionChange { topic, index, isr, leader, ..Default::default() }))
        })
        .collect()
}

/// The changes when a broker may lead again: it leads what has no leader and it is in sync with.
fn with(image: &Image, id: BrokerId) -> Vec<Record> {
    partitions(image)
        .filter(|(_, _, state)| state.leader.is_none() && state.isr.contains(&id))
        .map(|(topic, index, _)| {
            let leader = Some(Some(id));
            Record::PartitionChange(PartitionChange { topic, index, leader, ..Default::default() })
        })
        .collect()
}
