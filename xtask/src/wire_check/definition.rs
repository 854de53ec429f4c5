//! Kafka's message definitions: JSON with `//` comments, one message to a file.
//!
//! The format is described in `clients/src/main/resources/common/message/README.md` of Apache Kafka. A key that is not
//! known here is an error, for it might mean something.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::message::{Direction, Field, Message, Versions, default_of};

/// A parsed definition, before unstable versions are taken off.
pub(super) struct Parsed {
    pub(super) message: Message,
    latest_version_unstable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    api_key: Option<i16>,
    valid_versions: String,
    #[serde(default = "none")]
    flexible_versions: String,
    #[serde(default)]
    latest_version_unstable: bool,
    #[serde(default)]
    fields: Vec<RawField>,
    #[serde(default)]
    common_structs: Vec<CommonStruct>,
    #[serde(rename = "about")]
    _about: Option<Value>,
    #[serde(rename = "listeners")]
    _listeners: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CommonStruct {
    name: String,
    #[serde(rename = "versions")]
    _versions: String,
    #[serde(rename = "about")]
    _about: Option<Value>,
    fields: Vec<RawField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawField {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    /// A field without them has those of what it is in.
    versions: Option<String>,
    #[serde(default = "none")]
    nullable_versions: String,
    #[serde(default = "none")]
    tagged_versions: String,
    tag: Option<u32>,
    #[serde(default)]
    ignorable: bool,
    default: Option<Value>,
    #[serde(default)]
    fields: Vec<RawField>,
    #[serde(rename = "flexibleVersions")]
    flexible_versions: Option<String>,
    #[serde(rename = "about")]
    _about: Option<Value>,
    #[serde(rename = "entityType")]
    _entity_type: Option<Value>,
    #[serde(rename = "mapKey")]
    _map_key: Option<Value>,
    #[serde(rename = "zeroCopy")]
    _zero_copy: Option<Value>,
}

fn none() -> String {
    "none".to_owned()
}

/// The message that `text` defines; nothing for headers and records.
pub(super) fn parse(text: &str) -> Result<Option<Parsed>> {
    let text = without_comments(text);
    // Some definitions of data have a form of their own; what a file is decides whether to read on.
    let value: Value = serde_json::from_str(&text).context("it is not JSON")?;
    let direction = match value.get("type").and_then(Value::as_str) {
        Some("request") => Direction::Request,
        Some("response") => Direction::Response,
        Some("data") => Direction::Neither,
        _ => return Ok(None),
    };
    let file: File = serde_json::from_value(value)?;
    let commons: BTreeMap<&str, &[RawField]> =
        file.common_structs.iter().map(|common| (common.name.as_str(), common.fields.as_slice())).collect();
    let api_key = match direction {
        Direction::Neither => -1,
        _ => file.api_key.with_context(|| format!("a {} without an API key", file.kind))?,
    };
    let message = Message {
        api_key,
        direction,
        versions: versions(&file.valid_versions)?,
        flexible: versions(&file.flexible_versions)?,
        fields: fields(&file.fields, &commons)?,
        name: file.name,
    };
    Ok(Some(Parsed { message, latest_version_unstable: file.latest_version_unstable }))
}

/// A version that Kafka calls unstable is not offered to clients. Only the request's definition says so, and it holds
/// for the response too.
pub(super) fn leave_out_unstable(messages: &mut [Parsed]) {
    let unstable = messages.iter().filter(|parsed| parsed.latest_version_unstable);
    let keys: Vec<i16> = unstable.map(|parsed| parsed.message.api_key).collect();
    for parsed in messages.iter_mut().filter(|parsed| keys.contains(&parsed.message.api_key)) {
        parsed.message.versions.last -= 1;
    }
}

fn fields(raw: &[RawField], commons: &BTreeMap<&str, &[RawField]>) -> Result<Vec<Field>> {
    raw.iter().map(|one| field(one, commons).with_context(|| format!("in its field {}", one.name))).collect()
}

fn field(raw: &RawField, commons: &BTreeMap<&str, &[RawField]>) -> Result<Field> {
    if raw.flexible_versions.is_some() {
        anyhow::bail!("flexible versions of one field are known in headers only");
    }
    let element = raw.ty.trim_start_matches("[]");
    let inner = commons.get(element).copied().unwrap_or(&raw.fields);
    let default = match &raw.default {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Ok(Field {
        name: raw.name.clone(),
        ty: raw.ty.clone(),
        versions: raw.versions.as_deref().map_or(Ok(Versions { first: 0, last: i16::MAX }), versions)?,
        nullable: versions(&raw.nullable_versions)?,
        tag: raw.tag,
        tagged: versions(&raw.tagged_versions)?,
        ignorable: raw.ignorable,
        default: default_of(&raw.ty, &default),
        fields: fields(inner, commons)?,
    })
}

fn versions(text: &str) -> Result<Versions> {
    Versions::parse(text).with_context(|| format!("`{text}` is no range of versions"))
}

/// `text` without what follows `//` on a line, unless that stands in a string.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let (mut in_string, mut escaped, mut end) = (false, false, line.len());
        for (at, c) in line.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                '/' if !in_string && line[at..].starts_with("//") => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        kept.push_str(&line[..end]);
        kept.push('\n');
    }
    kept
}
