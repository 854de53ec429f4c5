//! The features of this cluster that have levels: what this build can work at (KIP-584).
//!
//! A build registers them with the controller, and ApiVersions tells of them. At which level the cluster works is in the
//! image, and changed by UpdateFeatures.

use ottla_metadata::Image;
use ottla_metadata::record::SupportedFeature;
use ottla_wire::api_versions::{ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey};

/// The records of the metadata log. Level 1 is those of the first release; one that adds to them adds a level, and writes
/// what is new only where the cluster is at it, so that during a rolling upgrade every node can read every record. At level 0,
/// where a new cluster is, the same records are written; at level 1 and above no node may join that knows no levels.
const METADATA_VERSION: &str = "ottla.metadata.version";

/// The highest level of it that this build knows.
const METADATA_VERSION_MAX: i16 = 1;

/// What this build can work at.
pub(crate) fn supported() -> Vec<SupportedFeature> {
    vec![SupportedFeature { name: METADATA_VERSION.into(), min_level: 0, max_level: METADATA_VERSION_MAX }]
}

/// The first version of ApiVersions whose readers understand a feature that may be at level 0.
const LEVEL_0_SINCE: i16 = 4;

/// Tells of the features in an answer to ApiVersions.
pub(crate) fn tell(response: &mut ApiVersionsResponse, version: i16, image: &Image) {
    let is_understood = |feature: &SupportedFeature| version >= LEVEL_0_SINCE || feature.min_level > 0;
    response.supported_features = supported()
        .into_iter()
        .filter(is_understood)
        .map(|feature| SupportedFeatureKey {
            name: (&*feature.name).into(),
            min_version: feature.min_level,
            max_version: feature.max_level,
            ..SupportedFeatureKey::default()
        })
        .collect();
    response.finalized_features_epoch = image.offset().map_or(-1, |offset| offset.0);
    response.finalized_features = image
        .features()
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.into(),
            max_version_level: level,
            min_version_level: level,
            ..FinalizedFeatureKey::default()
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{FeatureLevel, Record};
    use ottla_types::Offset;

    use super::*;

    #[test]
    fn features_that_may_be_off_are_told_to_those_who_understand_that() {
        let mut image = Image::default();
        let level = FeatureLevel { name: METADATA_VERSION.into(), level: 1 };
        image.replay(Offset(0), &Record::FeatureLevel(level)).unwrap();
        for (version, supported) in [(3, 0), (4, 1)] {
            let mut response = ApiVersionsResponse::default();
            tell(&mut response, version, &image);
            assert_eq!(response.supported_features.len(), supported, "version {version}");
            let finalized = &response.finalized_features[0];
            assert_eq!((&*finalized.name, finalized.max_version_level), (METADATA_VERSION, 1));
            assert_eq!(response.finalized_features_epoch, 0);
        }
    }
}
