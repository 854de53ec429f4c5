//! Brokers: registration, and whether they live (KIP-631, KIP-841, KIP-966).
//!
//! - here: registration and its end;
//! - [`heartbeat`]: what a broker says of itself, and is told to do;
//! - [`fencing`]: how a broker loses and regains what it leads.
//!
//! Who is alive is not decided here: a failure detector says so by fencing.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode};

use super::replication::is_active;
use super::{Controller, Cuts, Decision, Refused};
use crate::image::Broker;
use crate::record::codec::MAX_STRING;
use crate::record::{
    Endpoint, IncarnationId, LOST_DIRECTORY, LastRun, Record, RegisterBroker, SupportedFeature,
    UNASSIGNED_DIRECTORY, UnregisterBroker, is_reserved_directory,
};

pub mod fencing;
pub mod heartbeat;

/// What a starting broker says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Drawn at this start.
    pub incarnation: IncarnationId,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Its log directories that work.
    pub directories: Vec<DirectoryId>,
    /// The features that it knows, with their levels.
    pub features: Vec<SupportedFeature>,
    /// How its run before this one ended. The epoch is that of the run's registration, from the marker that the run left:
    /// a clean shutdown's, or the one written at registration, when boot, mounts and directories are the same as then.
    pub last_run: LastRun,
}

impl Registration {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let endpoints = self.endpoints.iter().flat_map(|endpoint| [&*endpoint.listener, &*endpoint.host]);
        let features = self.features.iter().map(|feature| &*feature.name);
        endpoints.chain(features).chain(self.rack.as_deref())
    }
}

impl Controller {
    /// Registers a broker. It is fenced until a heartbeat says that it has replayed this.
    ///
    /// A broker that asks again in the same run gets the same epoch; what it says anew is taken over. Another run gets a
    /// new epoch, and what the last one led and was in sync with is taken from it: its log may have lost its end, and a
    /// new leader epoch is what tells. Whether it still counts as one that holds everything follows from how its last run
    /// ended (KIP-966).
    ///
    /// `has_session`: whether the failure detector holds the broker's last run for alive. Two processes with one
    /// `node.id` must not take turns.
    ///
    /// The answer is the epoch, or DUPLICATE_BROKER_REGISTRATION, INVALID_REGISTRATION, UNSUPPORTED_VERSION for a feature
    /// at a level that the broker cannot work at, or INVALID_REQUEST.
    pub fn register_broker(
        &mut self,
        broker: &Registration,
        has_session: bool,
    ) -> Decision<Result<BrokerEpoch, Refused>> {
        if let Err(refused) = self.check_registering(broker) {
            return Decision::unchanged(Err(refused));
        }
        let epoch = self.speculative.next_broker_epoch();
        let registration = RegisterBroker {
            id: broker.id,
            epoch,
            incarnation: broker.incarnation,
            endpoints: broker.endpoints.clone(),
            rack: broker.rack.as_deref().map(Arc::from),
            directories: broker.directories.clone(),
            features: broker.features.clone(),
            last_run: broker.last_run,
        };
        let Some(known) = self.speculative.broker(broker.id).cloned() else {
            return self.register_anew(registration, false);
        };
        if known.registration.incarnation == broker.incarnation {
            return self.amend_registration(&known, registration);
        }
        if has_session && !known.fenced {
            let message = format!(
                "Another broker is registered with that broker id: {} (epoch {}) is alive. Each node needs a node.id of \
                 its own.",
                broker.id, known.registration.epoch
            );
            return Decision::unchanged(Err(Refused::new(ErrorCode::DuplicateBrokerRegistration, message)));
        }
        let is_whole = is_whole(&known, broker.last_run);
        self.register_anew(registration, is_whole)
    }

    fn register_anew(
        &mut self,
        registration: RegisterBroker,
        is_whole: bool,
    ) -> Decision<Result<BrokerEpoch, Refused>> {
        let (id, epoch) = (registration.id, registration.epoch);
        let image = &self.speculative;
        let works = |directory: DirectoryId| {
            directory.is_zero()
                || directory == UNASSIGNED_DIRECTORY
                || registration.directories.contains(&directory)
        };
        let others = |other: BrokerId| other != id && is_active(image, other);
        let updates = self.updates(self.hosted_by(id), others, |target| {
            let directory = target.state().directory(id).unwrap_or(UNASSIGNED_DIRECTORY);
            if is_whole && works(directory) {
                target.leave_isr(id);
            } else {
                target.make_stranger(id);
            }
            // Which directory failed under an earlier run says nothing about this one: it will tell.
            if directory == LOST_DIRECTORY {
                target.set_directory(id, UNASSIGNED_DIRECTORY);
            }
        });
        let taken = match is(Sabotage::RestartStaysInSync) {
            true => Decision::unchanged(()),
            false => self.decide_updates(updates, ()),
        };
        taken.then(self.decide_cut(vec![Record::RegisterBroker(registration)], Cuts::Nowhere, Ok(epoch)))
    }

    /// The same run says something else of itself. A directory that it does not name any more has failed since.
    fn amend_registration(
        &mut self,
        known: &Broker,
        asked: RegisterBroker,
    ) -> Decision<Result<BrokerEpoch, Refused>> {
        let RegisterBroker { id, epoch, last_run, .. } = known.registration;
        let missing = |directory: &&DirectoryId| !asked.directories.contains(directory);
        let gone: Vec<_> = known.registration.directories.iter().filter(missing).copied().collect();
        let failed = self.fail_directories(id, epoch, &gone);
        let amended = RegisterBroker { epoch, last_run, ..asked };
        let is_known = self.speculative.broker(id).is_some_and(|known| known.registration == amended);
        let records = if is_known { Vec::new() } else { vec![Record::RegisterBroker(amended)] };
        failed.then(self.decide_cut(records, Cuts::Nowhere, Ok(epoch)))
    }

    /// Ends a broker's registration. What it held counts as lost: it leaves ISR and ELR of its partitions, and stays
    /// their replica. The answer is BROKER_ID_NOT_REGISTERED if there is none.
    pub fn unregister_broker(&mut self, id: BrokerId) -> Decision<Result<(), Refused>> {
        let Some(known) = self.speculative.broker(id) else {
            let message = format!("Broker ID {id} is not currently registered");
            return Decision::unchanged(Err(Refused::new(ErrorCode::BrokerIdNotRegistered, message)));
        };
        let epoch = known.registration.epoch;
        let image = &self.speculative;
        let updates = self.updates(
            self.hosted_by(id),
            |other| other != id && is_active(image, other),
            |target| target.make_stranger(id),
        );
        let taken = self.decide_updates(updates, ());
        let gone = vec![Record::UnregisterBroker(UnregisterBroker { id, epoch })];
        taken.then(self.decide_cut(gone, Cuts::Nowhere, Ok(())))
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

    fn check_registering(&self, broker: &Registration) -> Result<(), Refused> {
        let refused = |error, message: String| Err(Refused::new(error, message));
        if broker.id.0 < 0 {
            let message = format!("{} is not a broker's id: it must not be negative.", broker.id);
            return refused(ErrorCode::InvalidRequest, message);
        }
        if let Some(text) = broker.texts().find(|text| text.len() > MAX_STRING) {
            let message = format!(
                "A host, listener, feature or rack has {} bytes, and {MAX_STRING} is the most.",
                text.len()
            );
            return refused(ErrorCode::InvalidRequest, message);
        }
        self.check_directories(broker)?;
        self.check_features(broker)
    }

    /// Each directory belongs to one broker, or two processes write into the same place (KIP-858).
    fn check_directories(&self, broker: &Registration) -> Result<(), Refused> {
        let invalid = |message: String| Err(Refused::new(ErrorCode::InvalidRegistration, message));
        if broker.directories.is_empty() {
            return invalid("No directories specified in request".to_owned());
        }
        let mut seen = BTreeSet::new();
        for directory in &broker.directories {
            if is_reserved_directory(*directory) {
                return invalid("Reserved directory ID in request".to_owned());
            }
            if !seen.insert(directory) {
                return invalid("Duplicate directory ID in request".to_owned());
            }
        }
        for other in self.speculative.brokers().map(|other| &other.registration) {
            if other.id == broker.id {
                continue;
            }
            if let Some(shared) = other.directories.iter().find(|directory| seen.contains(directory)) {
                return invalid(format!("Broker {} is already registered with directory {shared}", other.id));
            }
        }
        Ok(())
    }

    /// A broker must be able to work at the level of every feature that is on (KIP-584).
    fn check_features(&self, broker: &Registration) -> Result<(), Refused> {
        for (name, level) in self.speculative.features() {
            let known = broker.features.iter().find(|feature| &*feature.name == name);
            let (min, max) = known.map_or((0, 0), |feature| (feature.min_level, feature.max_level));
            if !(min..=max).contains(&level) {
                return Err(Refused::new(
                    ErrorCode::UnsupportedVersion,
                    format!(
                        "Unable to register because the broker does not support finalized version {level} of {name}. The \
                         broker wants a version between {min} and {max}, inclusive."
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Whether a broker's logs are known to hold everything that its last run, of which `known` tells, had in them.
///
/// A marker speaks for the run of one registration. It also speaks for a later run that was never unfenced, since that
/// one took no records: such a run may have ended before it could write a marker of its own.
fn is_whole(known: &Broker, last_run: LastRun) -> bool {
    if is(Sabotage::UncleanStaysEligible) {
        return true;
    }
    let Some(marked) = last_run.whole() else { return false };
    let run = &known.registration;
    run.epoch == marked || !known.was_unfenced && run.last_run.whole() == Some(marked)
}
