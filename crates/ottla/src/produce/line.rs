//! How a line becomes a record.

use bytes::Bytes;
use ottla_client::ProducerRecord;
use ottla_types::TopicName;

/// What the options say of every line.
#[derive(Debug, Clone)]
pub(super) struct LineFormat {
    pub(super) topic: TopicName,
    pub(super) partition: Option<i32>,
    pub(super) key_separator: Option<String>,
    pub(super) null_marker: Option<String>,
    pub(super) headers: Vec<(String, Option<Bytes>)>,
}

impl LineFormat {
    /// The record of a line, or why it is none.
    pub(super) fn record(&self, line: &[u8]) -> Result<ProducerRecord, String> {
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
            timestamp_ms: None,
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
}
