//! How a record is printed: by a format string in the letters of kcat, or as a line of JSON.

use std::io::{self, Write};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ottla_client::ConsumedRecord;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

/// A format string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    KeyLength,
    ValueLength,
    Headers,
}

impl Default for Format {
    /// The value, and the end of its line.
    fn default() -> Self {
        Self(vec![Part::Value, Part::Text("\n".to_owned())])
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            let part = match char {
                '%' => part(rest.next(), &mut plain)?,
                '\\' => {
                    plain.push(escaped(rest.next())?);
                    None
                }
                char => {
                    plain.push(char);
                    None
                }
            };
            if let Some(part) = part {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(part);
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }
}

/// What a letter after `%` stands for; `%%` is plain text.
fn part(letter: Option<char>, plain: &mut String) -> Result<Option<Part>, String> {
    Ok(Some(match letter {
        Some('t') => Part::Topic,
        Some('p') => Part::Partition,
        Some('o') => Part::Offset,
        Some('T') => Part::Timestamp,
        Some('k') => Part::Key,
        Some('s') => Part::Value,
        Some('K') => Part::KeyLength,
        Some('S') => Part::ValueLength,
        Some('h') => Part::Headers,
        Some('%') => {
            plain.push('%');
            return Ok(None);
        }
        Some(other) => return Err(format!("%{other} stands for nothing")),
        None => return Err("it ends with a % that stands for nothing (%% prints one)".to_owned()),
    }))
}

fn escaped(letter: Option<char>) -> Result<char, String> {
    match letter {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('\\') => Ok('\\'),
        Some(other) => Err(format!("\\{other} stands for nothing")),
        None => Err("it ends with a single \\ (\\\\ prints one)".to_owned()),
    }
}

/// Prints records.
#[derive(Debug)]
pub(super) enum Printer {
    /// By a format string.
    Text {
        /// The format.
        format: Format,
        /// What stands for a null key or value.
        null: String,
    },
    /// As lines of JSON.
    Json,
}

impl Printer {
    /// Prints one record.
    pub(super) fn print(&self, out: &mut impl Write, record: &ConsumedRecord) -> anyhow::Result<()> {
        match self {
            Self::Text { format, null } => {
                format.0.iter().try_for_each(|part| print_part(out, part, record, null))?;
            }
            Self::Json => {
                // Not `to_writer`, whose error would hide that nobody reads any more.
                writeln!(out, "{}", serde_json::to_string(&Json::of(record))?)?;
            }
        }
        Ok(())
    }
}

fn print_part(out: &mut impl Write, part: &Part, record: &ConsumedRecord, null: &str) -> io::Result<()> {
    let bytes = |bytes: &Option<Bytes>| bytes.clone().unwrap_or_else(|| null.to_owned().into());
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
    match part {
        Part::Text(text) => out.write_all(text.as_bytes()),
        Part::Topic => write!(out, "{}", record.partition.topic),
        Part::Partition => write!(out, "{}", record.partition.partition),
        Part::Offset => write!(out, "{}", record.offset),
        Part::Timestamp => write!(out, "{}", record.timestamp_ms),
        Part::Key => out.write_all(&bytes(&record.key)),
        Part::Value => out.write_all(&bytes(&record.value)),
        Part::KeyLength => write!(out, "{}", length(&record.key)),
        Part::ValueLength => write!(out, "{}", length(&record.value)),
        Part::Headers => print_headers(out, record, null),
    }
}

/// Headers as kcat prints them: `a=1,b=2`.
fn print_headers(out: &mut impl Write, record: &ConsumedRecord, null: &str) -> io::Result<()> {
    for (index, (key, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(key)?;
        out.write_all(b"=")?;
        out.write_all(value.as_deref().unwrap_or(null.as_bytes()))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Json<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'static str,
    key: Option<JsonBytes<'a>>,
    value: Option<JsonBytes<'a>>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    key: JsonBytes<'a>,
    value: Option<JsonBytes<'a>>,
}

/// Bytes as a string where they are text, else as `{"base64": "..."}`, so that nothing is lost.
pub(crate) struct JsonBytes<'a>(pub(crate) &'a [u8]);

impl Serialize for JsonBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(self.0))?;
        map.end()
    }
}

impl<'a> Json<'a> {
    fn of(record: &'a ConsumedRecord) -> Self {
        let bytes = |bytes: &'a Option<Bytes>| bytes.as_deref().map(JsonBytes);
        Self {
            topic: record.partition.topic.as_str(),
            partition: record.partition.partition,
            offset: record.offset.0,
            timestamp: record.timestamp_ms,
            timestamp_type: record.timestamp_type.name(),
            key: bytes(&record.key),
            value: bytes(&record.value),
            headers: record
                .headers
                .iter()
                .map(|(key, value)| JsonHeader { key: JsonBytes(key), value: bytes(value) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_records::TimestampType;
    use ottla_types::{Offset, TopicName, TopicPartition};

    use super::*;

    fn record() -> ConsumedRecord {
        ConsumedRecord {
            partition: TopicPartition { topic: TopicName::new("orders").unwrap(), partition: 3 },
            offset: Offset(42),
            timestamp_ms: 1000,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: Some(Bytes::from_static(b"caf\xc3\xa9")),
            headers: vec![
                (Bytes::from_static(b"a"), Some(Bytes::from_static(b"\xff"))),
                (Bytes::from_static(b"a"), None),
            ],
        }
    }

    fn print(printer: &Printer) -> Vec<u8> {
        let mut out = Vec::new();
        printer.print(&mut out, &record()).unwrap();
        out
    }

    fn text(format: &str) -> Vec<u8> {
        print(&Printer::Text { format: format.parse().unwrap(), null: "NULL".to_owned() })
    }

    #[test]
    fn by_default_a_record_is_its_value_on_a_line() {
        assert_eq!(
            print(&Printer::Text { format: Format::default(), null: String::new() }),
            "café\n".as_bytes()
        );
    }

    #[test]
    fn letters_stand_for_parts_and_bytes_come_out_as_they_are() {
        assert_eq!(text("%t-%p@%o %T %k %K %S 100%%\\t"), b"orders-3@42 1000 NULL -1 5 100%\t");
        assert_eq!(text("%h"), b"a=\xff,a=NULL");
    }

    #[test]
    fn what_stands_for_nothing_is_named() {
        for (format, named) in [("%q", "%q"), ("100%", "%%"), ("\\x", "\\x"), ("\\", "\\\\")] {
            let error = format.parse::<Format>().unwrap_err();
            assert!(error.contains(named), "{format}: {error}");
        }
    }

    #[test]
    fn json_keeps_null_duplicates_and_bytes_that_are_no_text() {
        assert_eq!(
            String::from_utf8(print(&Printer::Json)).unwrap(),
            concat!(
                r#"{"topic":"orders","partition":3,"offset":42,"timestamp":1000,"timestamp_type":"CreateTime","#,
                r#""key":null,"value":"café","headers":[{"key":"a","value":{"base64":"/w=="}},{"key":"a","value":null}]}"#,
                "\n"
            )
        );
    }
}
