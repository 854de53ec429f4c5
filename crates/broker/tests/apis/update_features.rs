//! UpdateFeatures on one node, in all its versions. What three brokers make of it is in `cluster_administration.rs`.

use ottla_types::ErrorCode;
use ottla_wire::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};

use crate::common::{TestBroker, error};

const FEATURE: &str = "ottla.metadata.version";

fn to(feature: &str, level: i16) -> FeatureUpdateKey {
    FeatureUpdateKey { feature: feature.into(), max_version_level: level, ..FeatureUpdateKey::default() }
}

fn request(feature_updates: Vec<FeatureUpdateKey>) -> UpdateFeaturesRequest {
    UpdateFeaturesRequest { feature_updates, ..UpdateFeaturesRequest::default() }
}

#[tokio::test]
async fn a_level_goes_up_and_down_in_every_version_and_the_older_ones_tell_of_each_feature() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=2 {
        let down = match version {
            0 => FeatureUpdateKey { allow_downgrade: true, ..to(FEATURE, 0) },
            _ => FeatureUpdateKey { upgrade_type: 2, ..to(FEATURE, 0) },
        };
        for update in [to(FEATURE, 1), down] {
            let response = client.call(version, request(vec![update])).await;
            assert_eq!((error(response.error_code), response.error_message), (ErrorCode::None, None));
            let results: Vec<_> = response.results.iter().map(|r| (&*r.feature, r.error_code)).collect();
            let expected = if version <= 1 { vec![(FEATURE, 0)] } else { Vec::new() };
            assert_eq!(results, expected, "version {version}");
        }
    }
}

#[tokio::test]
async fn one_feature_that_is_refused_keeps_all_from_changing() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=2 {
        let response = client.call(version, request(vec![to(FEATURE, 1), to("no.such.feature", 1)])).await;
        assert_eq!(error(response.error_code), ErrorCode::InvalidUpdateVersion);
        let message = response.error_message.unwrap();
        assert!(message.starts_with("The update failed for all features"), "{message}");
        assert!(message.contains("no.such.feature"), "{message}");
        // Had it been raised, it could not be tried again without going down.
        let down = FeatureUpdateKey { upgrade_type: 1, ..to(FEATURE, 0) };
        let tried = UpdateFeaturesRequest { validate_only: version > 0, ..request(vec![down]) };
        assert_eq!(error(client.call(version, tried).await.error_code), ErrorCode::None);
    }
}
