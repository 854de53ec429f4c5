//! The form that both sides are brought into before they are compared.

use std::{fmt, ops::RangeInclusive};

/// A request or response, or what bytes in them hold.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) api_key: i16,
    pub(super) direction: Direction,
    pub(super) versions: Versions,
    pub(super) flexible: Versions,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
    Neither,
}

/// A field; `fields` are those of the structure that it is, or is an array of.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// As Kafka writes it: `int32`, `[]string`, `[]FetchTopic`.
    pub(super) ty: String,
    pub(super) versions: Versions,
    pub(super) nullable: Versions,
    pub(super) tag: Option<u32>,
    /// The versions in which it is a tagged field.
    pub(super) tagged: Versions,
    pub(super) ignorable: bool,
    /// In the form that [`default_of`] makes.
    pub(super) default: String,
    pub(super) fields: Vec<Field>,
}

/// An inclusive range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) first: i16,
    pub(super) last: i16,
}

impl Versions {
    pub(super) const NONE: Self = Self { first: 0, last: -1 };

    pub(super) fn contains(self, version: i16) -> bool {
        self.iter().contains(&version)
    }

    pub(super) fn iter(self) -> RangeInclusive<i16> {
        self.first..=self.last
    }

    /// Kafka's notation: `3`, `3-5`, `3+`, `none`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Some(Self { first: first.parse().ok()?, last: i16::MAX });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(Self { first: first.parse().ok()?, last: last.parse().ok()? })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { first, last } if first > last => f.write_str("none"),
            Self { first, last: i16::MAX } => write!(f, "{first}+"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// One spelling for each default of a type: `0x10` and `16` are the same, and so are "" and `0` for a number.
pub(super) fn default_of(ty: &str, written: &str) -> String {
    let written = written.trim();
    let hexadecimal = written.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok());
    match (ty, hexadecimal) {
        ("bool", _) if written.is_empty() => "false".to_owned(),
        (number, _) if is_number(number) && written.is_empty() => "0".to_owned(),
        (number, Some(value)) if is_number(number) => value.to_string(),
        _ => written.to_owned(),
    }
}

fn is_number(ty: &str) -> bool {
    ty.starts_with("int") || ty.starts_with("uint") || ty.starts_with("float")
}
