//! UpdateFeatures: the levels at which the cluster works (KIP-584, KIP-778, KIP-1022).

use ottla_metadata::controller::features::{FeatureUpdate, UpgradeType};
use ottla_wire::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use crate::broker::Core;
use crate::context::RequestContext;
use crate::features;

/// The first version that names the type of an upgrade, and can only try one.
const TYPES_SINCE: i16 = 1;

/// The last version that has a result for each feature.
const RESULTS_UNTIL: i16 = 1;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let updates: Vec<_> = request.feature_updates.iter().map(|key| update(context.version, key)).collect();
    let validate_only = request.validate_only;
    let own = features::supported();
    let outcome = core.change(|controller| controller.update_features(&updates, &own, validate_only)).await;
    match outcome.and_then(|outcome| outcome) {
        Ok(()) => UpdateFeaturesResponse {
            error_message: None,
            results: if context.version <= RESULTS_UNTIL {
                request.feature_updates.into_iter().map(done).collect()
            } else {
                Vec::new()
            },
            ..UpdateFeaturesResponse::default()
        },
        Err(refused) => UpdateFeaturesResponse {
            error_code: refused.error.code(),
            error_message: Some(
                format!(
                    "The update failed for all features since the following feature had an error: {}",
                    refused.message
                )
                .into(),
            ),
            ..UpdateFeaturesResponse::default()
        },
    }
}

fn update(version: i16, key: &FeatureUpdateKey) -> FeatureUpdate {
    let upgrade_type = match version {
        TYPES_SINCE.. => UpgradeType::from_code(key.upgrade_type),
        // Version 0 says of a feature only that it is to go down.
        _ if key.allow_downgrade => Some(UpgradeType::SafeDowngrade),
        _ => Some(UpgradeType::Upgrade),
    };
    FeatureUpdate { name: key.feature.to_string(), level: key.max_version_level, upgrade_type }
}

fn done(key: FeatureUpdateKey) -> UpdatableFeatureResult {
    UpdatableFeatureResult { feature: key.feature, error_message: None, ..UpdatableFeatureResult::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_0_has_one_way_down_and_the_others_name_it() {
        let key = |allow_downgrade, upgrade_type| FeatureUpdateKey {
            feature: "f".into(),
            max_version_level: 1,
            allow_downgrade,
            upgrade_type,
            ..FeatureUpdateKey::default()
        };
        let kind = |version, key: FeatureUpdateKey| update(version, &key).upgrade_type;
        assert_eq!(kind(0, key(false, 1)), Some(UpgradeType::Upgrade));
        assert_eq!(kind(0, key(true, 1)), Some(UpgradeType::SafeDowngrade));
        assert_eq!(kind(1, key(false, 1)), Some(UpgradeType::Upgrade));
        assert_eq!(kind(2, key(false, 3)), Some(UpgradeType::UnsafeDowngrade));
        assert_eq!(kind(2, key(false, 9)), None);
    }
}
