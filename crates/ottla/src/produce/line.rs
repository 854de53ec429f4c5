//! How a line becomes a record.

use bytes::Bytes;
use ottla_client::ProducerRecord;
use ottla_types::TopicName;

use super::json::{JsonBytes, JsonRecord};

/// What the options say of every line.
#[derive(Debug, Clone)]
pub(super) struct LineFormat {
    pub(super) topic: TopicName,
    pub(super) partition: Option<i32>,
    /// The timestamp of all records; their own, or now, if not said.
    pub(super) timestamp_ms: Option<i64>,
    /// Whether lines are what `ottla consume --json` prints.
    pub(super) json: bool,
    pub(super) key_separator: Option<String>,
    pub(super) null_marker: Option<String>,
    pub(super) headers: Vec<(String, Option<Bytes>)>,
}

impl LineFormat {
    /// The record of a line, or why it is none.
    pub(super) fn record(&self, line: &[u8]) -> Result<ProducerRecord, String> {
        if self.json { self.json_record(line) } else { self.text_record(line) }
    }

    fn json_record(&self, line: &[u8]) -> Result<ProducerRecord, String> {
        let record = JsonRecord::parse(line)?;
        let bytes = |bytes: Option<JsonBytes>| bytes.map(JsonBytes::into_bytes).transpose();
        let mut headers = self.headers.clone();
        for header in record.headers {
            headers.push((header.key, bytes(header.value)?));
        }
        Ok(ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            timestamp_ms: self.timestamp_ms.or(record.timestamp),
            key: bytes(record.key)?,
            value: bytes(record.value)?,
            headers,
        })
    }

    fn text_record(&self, line: &[u8]) -> Result<ProducerRecord, String> {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => {
                let at = find(line, separator.as_bytes())
                    .ok_or_else(|| format!("the key separator \"{separator}\" is not in it"))?;
                let (key, rest) = line.split_at(at);
                (self.bytes(key), rest.get(separator.len()..).unwrap_or_default())
            }
        };
        Ok(ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            timestamp_ms: self.timestamp_ms,
            key,
            value: self.bytes(value),
            headers: self.headers.clone(),
        })
    }

    /// The bytes, or null where they are the marker.
    fn bytes(&self, bytes: &[u8]) -> Option<Bytes> {
        let is_null = self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == bytes);
        (!is_null).then(|| Bytes::copy_from_slice(bytes))
    }
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    line.windows(separator.len()).position(|window| window == separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(key_separator: Option<&str>, null_marker: Option<&str>) -> LineFormat {
        LineFormat {
            topic: TopicName::new("orders").unwrap(),
            partition: None,
            timestamp_ms: None,
            json: false,
            key_separator: key_separator.map(str::to_owned),
            null_marker: null_marker.map(str::to_owned),
            headers: Vec::new(),
        }
    }

    fn key_and_value(format: &LineFormat, line: &str) -> (Option<Bytes>, Option<Bytes>) {
        let record = format.record(line.as_bytes()).unwrap();
        (record.key, record.value)
    }

    #[test]
    fn without_a_separator_the_line_is_the_value() {
        assert_eq!(key_and_value(&format(None, None), "a:b"), (None, Some("a:b".into())));
        assert_eq!(key_and_value(&format(None, None), ""), (None, Some("".into())));
    }

    #[test]
    fn the_first_separator_ends_the_key() {
        let format = format(Some("::"), None);
        assert_eq!(key_and_value(&format, "a::b::c"), (Some("a".into()), Some("b::c".into())));
        assert_eq!(key_and_value(&format, "::"), (Some("".into()), Some("".into())));
        assert!(format.record(b"a:b").unwrap_err().contains("\"::\""));
    }

    #[test]
    fn the_null_marker_stands_for_null_and_only_as_a_whole() {
        let format = format(Some(":"), Some("NULL"));
        assert_eq!(key_and_value(&format, "a:NULL"), (Some("a".into()), None));
        assert_eq!(key_and_value(&format, "NULL:NULLs"), (None, Some("NULLs".into())));
    }

    fn json(line: &str) -> Result<ProducerRecord, String> {
        let header = ("all".to_owned(), Some("1".into()));
        LineFormat { json: true, headers: vec![header], ..format(None, None) }.record(line.as_bytes())
    }

    #[test]
    fn what_consume_prints_as_json_is_a_record_with_all_that_it_had() {
        let record = json(concat!(
            r#"{"topic":"users","partition":3,"offset":42,"timestamp":1000,"timestamp_type":"CreateTime","key":null,"#,
            r#""value":{"base64":"/w=="},"headers":[{"key":"a","value":"b"},{"key":"a","value":null}]}"#
        ))
        .unwrap();
        assert_eq!((record.topic.as_str(), record.partition), ("orders", None));
        assert_eq!((record.timestamp_ms, record.key), (Some(1000), None));
        assert_eq!(record.value.as_deref(), Some(&[0xff][..]));
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["all", "a", "a"]);
        assert_eq!(record.headers[2].1, None);
    }

    #[test]
    fn a_line_of_json_may_lack_all_and_have_nothing_else() {
        let record = json("{}").unwrap();
        assert_eq!((record.key, record.value, record.timestamp_ms), (None, None, None));
        for (line, named) in [
            ("x", "no record in JSON"),
            (r#"{"valeu":"x"}"#, "valeu"),
            (r#"{"value":5}"#, "expected a string"),
            (r#"{"value":{"base64":"?"}}"#, "no base64"),
        ] {
            let error = json(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
