//! A record as a line of JSON: what `ottla consume --json` prints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The fields of a line. All may be missing; others are a mistake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonRecord {
    #[serde(default)]
    pub(super) key: Option<JsonBytes>,
    #[serde(default)]
    pub(super) value: Option<JsonBytes>,
    #[serde(default)]
    pub(super) headers: Vec<JsonHeader>,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(super) timestamp: Option<i64>,
    // Where the record was read, which is not where it goes.
    #[serde(default, rename = "topic")]
    _topic: IgnoredAny,
    #[serde(default, rename = "partition")]
    _partition: IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: IgnoredAny,
    #[serde(default, rename = "timestamp_type")]
    _timestamp_type: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonHeader {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: Option<JsonBytes>,
}

/// Bytes as text, or as base64 where they are none.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, or {\"base64\": \"...\"}")]
pub(super) enum JsonBytes {
    Text(String),
    Base64(Base64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base64 {
    base64: String,
}

impl JsonRecord {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| format!("it is no record in JSON: {error}"))
    }
}

impl JsonBytes {
    pub(super) fn into_bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Base64(Base64 { base64 }) => {
                let bytes = STANDARD.decode(&base64);
                bytes.map(Bytes::from).map_err(|error| format!("{base64:?} is no base64: {error}"))
            }
        }
    }
}
