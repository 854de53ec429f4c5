//! Claims about the levels of features (KIP-584, KIP-778).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, registration};
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::controller::features::{FeatureUpdate, UpgradeType};
use ottla_metadata::record::SupportedFeature;
use ottla_types::{BrokerId, ErrorCode};

const NAME: &str = "some.version";

fn supported(min_level: i16, max_level: i16) -> Vec<SupportedFeature> {
    vec![SupportedFeature { name: NAME.into(), min_level, max_level }]
}

/// Broker 1 works at levels 0 to 5, broker 2 at 1 to 4.
fn two() -> Cluster {
    let mut cluster = Cluster::new("");
    for (id, features) in [(1, supported(0, 5)), (2, supported(1, 4))] {
        let asked = Registration { features, ..registration(id, id as u8, None) };
        let decision = cluster.controller.register_broker(&asked, false);
        cluster.commit(decision).unwrap();
    }
    cluster
}

fn update(level: i16, upgrade_type: UpgradeType) -> FeatureUpdate {
    FeatureUpdate { name: NAME.to_owned(), level, upgrade_type: Some(upgrade_type) }
}

fn ask(cluster: &mut Cluster, updates: &[FeatureUpdate]) -> Result<(), (ErrorCode, String)> {
    let decision = cluster.controller.update_features(updates, &supported(0, 9), false);
    cluster.commit(decision).map_err(|refused| (refused.error, refused.message))
}

#[test]
fn a_level_rises_to_what_every_node_can_work_at() {
    let mut cluster = two();
    let (error, message) = ask(&mut cluster, &[update(5, UpgradeType::Upgrade)]).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidUpdateVersion);
    assert_eq!(
        message,
        "Invalid update version 5 for feature some.version. Broker 2 only supports versions 1-4"
    );
    ask(&mut cluster, &[update(4, UpgradeType::Upgrade)]).unwrap();
    assert_eq!(cluster.image().feature(NAME), 4);
    let before = cluster.log.len();
    ask(&mut cluster, &[update(4, UpgradeType::Upgrade)]).unwrap();
    assert_eq!(cluster.log.len(), before, "it is so already");
}

#[test]
fn a_level_falls_only_where_that_is_meant() {
    let mut cluster = two();
    ask(&mut cluster, &[update(3, UpgradeType::Upgrade)]).unwrap();
    let (_, message) = ask(&mut cluster, &[update(2, UpgradeType::Upgrade)]).unwrap_err();
    assert!(message.contains("without setting the upgrade type"), "{message}");
    let (_, message) = ask(&mut cluster, &[update(4, UpgradeType::SafeDowngrade)]).unwrap_err();
    assert!(message.contains("Can't downgrade to a newer version."), "{message}");
    ask(&mut cluster, &[update(2, UpgradeType::SafeDowngrade)]).unwrap();
    ask(&mut cluster, &[update(1, UpgradeType::UnsafeDowngrade)]).unwrap();
    let (_, message) = ask(&mut cluster, &[update(0, UpgradeType::UnsafeDowngrade)]).unwrap_err();
    assert!(message.contains("Broker 2 only supports versions 1-4"), "{message}");
    let decision = cluster.controller.unregister_broker(BrokerId(2));
    cluster.commit(decision).unwrap();
    ask(&mut cluster, &[update(0, UpgradeType::UnsafeDowngrade)]).unwrap();
    assert_eq!(cluster.image().features().count(), 0);
}

#[test]
fn all_changes_of_a_request_are_made_or_none() {
    let mut cluster = two();
    let unknown = FeatureUpdate { name: "other".to_owned(), ..update(1, UpgradeType::Upgrade) };
    let (error, message) = ask(&mut cluster, &[update(2, UpgradeType::Upgrade), unknown]).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidUpdateVersion);
    assert!(message.contains("The controller does not support this feature."), "{message}");
    assert_eq!(cluster.image().features().count(), 0);
    let twice = [update(2, UpgradeType::Upgrade), update(3, UpgradeType::Upgrade)];
    assert_eq!(ask(&mut cluster, &twice).unwrap_err().0, ErrorCode::InvalidRequest);
    let unknown =
        FeatureUpdate { upgrade_type: UpgradeType::from_code(9), ..update(2, UpgradeType::Upgrade) };
    assert!(ask(&mut cluster, &[unknown]).is_err());
    assert!(ask(&mut cluster, &[update(-1, UpgradeType::Upgrade)]).is_err());
    let dry = cluster.controller.update_features(&[update(2, UpgradeType::Upgrade)], &supported(0, 9), true);
    assert!(dry.records.is_empty() && dry.answer.is_ok(), "only validated");
}
