//! What the derive says of each message, as data: enough to compare it, field by field and version by version, with
//! the definitions that Apache Kafka publishes.

/// An inclusive range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The first version in the range.
    pub first: i16,
    /// The last version in the range; `i16::MAX` where it is open.
    pub last: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self { first: 0, last: -1 };

    /// Whether `version` lies in the range.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// Whether the range is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.first > self.last
    }
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    Request,
    /// To a client.
    Response,
    /// It is no request or response, but what bytes in them hold.
    Neither,
}

/// A whole message.
#[derive(Debug, Clone, Copy)]
pub struct MessageSchema {
    /// The message's name as Kafka spells it: `FetchRequest`.
    pub name: &'static str,
    /// Its API key; -1 for what is of no API.
    pub api_key: i16,
    /// Request, response, or what bytes in them hold.
    pub direction: Direction,
    /// The versions that are implemented.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields (KIP-482).
    pub flexible: Versions,
    /// Its fields in wire order.
    pub fields: &'static [FieldSchema],
}

/// The first API key of those that no message of Kafka's has, nor will have soon: the project's own.
pub const PRIVATE_FROM: i16 = 16_000;

impl MessageSchema {
    /// Whether the message is the project's own, so that Kafka has no definition to compare it with.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.api_key >= PRIVATE_FROM
    }
}

/// One field of a message or of a structure in it.
#[derive(Debug, Clone, Copy)]
pub struct FieldSchema {
    /// The name as Kafka spells it: `MaxWaitMs`.
    pub name: &'static str,
    /// The field's type.
    pub ty: FieldType,
    /// The versions that have the field.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Versions,
    /// The tag, where the field is a tagged one (KIP-482).
    pub tag: Option<u32>,
    /// Whether a value other than the default may be dropped silently when a version without the field is written.
    pub ignorable: bool,
    /// The default as Kafka's definition writes it; empty for the type's own (0, false, "", empty).
    pub default: &'static str,
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub enum FieldType {
    /// `bool`, one byte.
    Bool,
    /// `int8`.
    Int8,
    /// `int16`.
    Int16,
    /// `uint16`.
    Uint16,
    /// `int32`.
    Int32,
    /// `uint32`.
    Uint32,
    /// `int64`.
    Int64,
    /// `float64`.
    Float64,
    /// `uuid`, 16 bytes.
    Uuid,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `records`: bytes that hold record batches.
    Records,
    /// A structure.
    Struct {
        /// Its name as Kafka spells it.
        name: &'static str,
        /// Its fields in wire order.
        fields: &'static [FieldSchema],
    },
    /// An array of elements of one type.
    Array(&'static FieldType),
}
