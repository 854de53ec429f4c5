//! UpdateFeatures (key 57): raises or lowers the versions of the cluster's features (KIP-584, KIP-778).
//!
//! Version 1 says how the version may change and can only try it, 2 has no result for each feature (KIP-1022).

use crate::{Message, Str, UnknownTags};

/// Changes features.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 57, versions = "0..=2", flexible = "0..")]
pub struct UpdateFeaturesRequest {
    /// How long the controller may take, in milliseconds.
    #[wire(name = "timeoutMs", default = 60000)]
    pub timeout_ms: i32,
    /// The features.
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Whether only to try it.
    #[wire(since = 1)]
    pub validate_only: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A feature, and what it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FeatureUpdateKey {
    /// The feature's name.
    pub feature: Str,
    /// Its version to be; below 1 to remove the feature.
    pub max_version_level: i16,
    /// Whether the version may get lower.
    #[wire(until = 0)]
    pub allow_downgrade: bool,
    /// How the version may change: 1 up, 2 down without a loss, 3 down even so.
    #[wire(since = 1, default = 1)]
    pub upgrade_type: i8,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 57, versions = "0..=2", flexible = "0..")]
pub struct UpdateFeaturesResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code where it is one of the whole request, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// The features.
    #[wire(until = 1, ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct UpdatableFeatureResult {
    /// The feature's name.
    pub feature: Str,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
