//! UpdateFeatures: which level of a feature the cluster works at (KIP-584, KIP-778).
//!
//! A rolling upgrade ends with this: every node can work at the new level before any does. All changes of a request are
//! made, or none.

use std::collections::BTreeSet;

use ottla_types::ErrorCode;

use super::{Controller, Decision, Refused};
use crate::record::codec::MAX_STRING;
use crate::record::{FeatureLevel, Record, SupportedFeature};

/// In which direction a level may go, by its number in UpdateFeatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum UpgradeType {
    /// Only up.
    Upgrade = 1,
    /// Down, if nothing is lost by it.
    SafeDowngrade = 2,
    /// Down, whatever is lost by it.
    UnsafeDowngrade = 3,
}

impl UpgradeType {
    /// The type with this number.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Upgrade),
            2 => Some(Self::SafeDowngrade),
            3 => Some(Self::UnsafeDowngrade),
            _ => None,
        }
    }
}

/// A level that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// Its level from now on; 0 switches it off.
    pub level: i16,
    /// Whether it may go down; `None` for a type that Kafka does not define.
    pub upgrade_type: Option<UpgradeType>,
}

impl Controller {
    /// Decides an UpdateFeatures. `own`: what this node can work at; what brokers can, they have registered. Refused with
    /// INVALID_UPDATE_VERSION, or INVALID_REQUEST for a feature that is named twice.
    ///
    /// Levels have no data of their own yet that going down could lose, so a safe downgrade is like an unsafe one.
    pub fn update_features(
        &mut self,
        updates: &[FeatureUpdate],
        own: &[SupportedFeature],
        validate_only: bool,
    ) -> Decision<Result<(), Refused>> {
        let mut names = BTreeSet::new();
        let mut records = Vec::new();
        for update in updates {
            if !names.insert(&update.name) {
                let message = format!("The feature {} is named twice.", update.name);
                return Decision::unchanged(Err(Refused::new(ErrorCode::InvalidRequest, message)));
            }
            if let Err(why) = self.check_feature(update, own) {
                let message =
                    format!("Invalid update version {} for feature {}. {why}", update.level, update.name);
                return Decision::unchanged(Err(Refused::new(ErrorCode::InvalidUpdateVersion, message)));
            }
            if self.speculative.feature(&update.name) != update.level {
                let (name, level) = (update.name.as_str().into(), update.level);
                records.push(Record::FeatureLevel(FeatureLevel { name, level }));
            }
        }
        let records = if validate_only { Vec::new() } else { records };
        self.decide(records, Ok(()))
    }

    fn check_feature(&self, update: &FeatureUpdate, own: &[SupportedFeature]) -> Result<(), String> {
        let Some(upgrade_type) = update.upgrade_type else {
            return Err("The controller does not support the given upgrade type.".to_owned());
        };
        if update.level < 0 {
            return Err("A feature version cannot be less than 0.".to_owned());
        }
        if update.name.len() > MAX_STRING {
            return Err(format!("The longest name has {MAX_STRING} bytes."));
        }
        check_supported("The controller", own, update)?;
        for broker in self.speculative.brokers().map(|broker| &broker.registration) {
            check_supported(&format!("Broker {}", broker.id), &broker.features, update)?;
        }
        let current = self.speculative.feature(&update.name);
        if update.level < current && upgrade_type == UpgradeType::Upgrade {
            return Err("Can't downgrade the version of this feature without setting the upgrade type to either safe \
                        or unsafe downgrade."
                .to_owned());
        }
        if update.level > current && upgrade_type != UpgradeType::Upgrade {
            return Err("Can't downgrade to a newer version.".to_owned());
        }
        Ok(())
    }
}

/// A node can work without any feature, and else at the levels that it names.
fn check_supported(node: &str, known: &[SupportedFeature], update: &FeatureUpdate) -> Result<(), String> {
    match known.iter().find(|feature| *feature.name == *update.name) {
        Some(feature) if (feature.min_level..=feature.max_level).contains(&update.level) => Ok(()),
        Some(feature) => {
            Err(format!("{node} only supports versions {}-{}", feature.min_level, feature.max_level))
        }
        None if update.level == 0 => Ok(()),
        None => Err(format!("{node} does not support this feature.")),
    }
}
