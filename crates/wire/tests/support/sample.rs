//! The bytes of a message, from its schema and a seed, in the one form that encoders write: a tagged field only where
//! it is not at its default, tags in order, varints as short as they can be (KIP-482).

use ottla_wire::schema::{FieldSchema, FieldType, MessageSchema};

use super::Random;

/// How the fields of a message are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Anything that is allowed.
    Any,
    /// One of everything, nothing null, every tagged field and an unknown one: as many places to go wrong as there are.
    Full,
    /// As many elements as given in every outermost array of structures, each as small as it can be: the most work for
    /// the fewest bytes.
    Dense(usize),
}

/// The bytes of a message, and the places in them that say how much follows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    /// Where a length or a count stands, and how many bytes it takes.
    pub(crate) lengths: Vec<Length>,
}

/// A length or a count, of a string, bytes, an array, tagged fields or one tagged field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) varint: bool,
}

/// Makes samples.
pub(crate) struct Samples {
    random: Random,
    filling: Filling,
    version: i16,
    flexible: bool,
    /// How many arrays we are in.
    depth: usize,
    out: Sample,
}

/// What a value must not be: a tagged field is written only when it differs from its default.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Differ {
    /// Any value will do.
    Never,
    /// Any value but this default, as the schema writes it.
    From(&'static str),
}

impl Samples {
    pub(crate) fn new(seed: u64, filling: Filling) -> Self {
        let random = Random::new(seed);
        Self { random, filling, version: 0, flexible: false, depth: 0, out: Sample::default() }
    }

    /// The bytes of a message.
    pub(crate) fn message(&mut self, schema: &MessageSchema, version: i16) -> Sample {
        self.version = version;
        self.flexible = schema.flexible.contains(version);
        self.depth = 0;
        self.structure(schema.fields, Differ::Never);
        std::mem::take(&mut self.out)
    }

    fn structure(&mut self, fields: &'static [FieldSchema], differ: Differ) {
        let version = self.version;
        let there = fields.iter().filter(|field| field.versions.contains(version));
        let (tagged, plain): (Vec<&FieldSchema>, Vec<&FieldSchema>) =
            there.partition(|field| field.tag.is_some());
        for (index, field) in plain.iter().enumerate() {
            // One field that differs makes the structure differ.
            let differ = if index == 0 && differ != Differ::Never {
                Differ::From(field.default)
            } else {
                Differ::Never
            };
            self.field(field, differ);
        }
        if self.flexible {
            self.tags(&tagged);
        }
    }

    fn field(&mut self, field: &'static FieldSchema, differ: Differ) {
        let nullable = field.nullable.contains(self.version);
        if nullable && differ != Differ::From("null") && self.is_null() {
            return self.null(&field.ty);
        }
        if let (FieldType::Struct { .. }, true) = (&field.ty, nullable) {
            self.out.bytes.push(1);
        }
        // Where null is the default, whatever is there differs from it.
        let differ = if differ == Differ::From("null") { Differ::Never } else { differ };
        self.value(&field.ty, differ);
    }

    fn is_null(&mut self) -> bool {
        match self.filling {
            Filling::Any => self.random.once_in(3),
            Filling::Full => false,
            Filling::Dense(_) => self.depth > 0,
        }
    }

    fn null(&mut self, ty: &FieldType) {
        match ty {
            FieldType::Struct { .. } => self.out.bytes.push(0xff),
            _ if self.flexible => self.out.bytes.push(0),
            FieldType::String => self.out.bytes.extend((-1_i16).to_be_bytes()),
            _ => self.out.bytes.extend((-1_i32).to_be_bytes()),
        }
    }

    fn value(&mut self, ty: &'static FieldType, differ: Differ) {
        let must_differ = differ != Differ::Never;
        match ty {
            FieldType::Bool => {
                let value = self.number(0, 1, differ);
                self.out.bytes.push(u8::try_from(value).unwrap());
            }
            FieldType::Int8 => self.integer(i8::MIN.into(), i8::MAX.into(), 1, differ),
            FieldType::Int16 => self.integer(i16::MIN.into(), i16::MAX.into(), 2, differ),
            FieldType::Uint16 => self.integer(0, u16::MAX.into(), 2, differ),
            FieldType::Int32 => self.integer(i32::MIN.into(), i32::MAX.into(), 4, differ),
            FieldType::Uint32 => self.integer(0, u32::MAX.into(), 4, differ),
            FieldType::Int64 => self.integer(i64::MIN, i64::MAX, 8, differ),
            FieldType::Float64 => {
                let value = self.random.below(1000) as f64 + 0.5;
                self.out.bytes.extend(value.to_be_bytes());
            }
            FieldType::Uuid => {
                let bytes = self.random.bytes(16);
                self.out.bytes.extend(bytes);
            }
            FieldType::String => {
                let text = self.text(must_differ);
                self.length(text.len(), 2);
                self.out.bytes.extend(text.as_bytes());
            }
            FieldType::Bytes | FieldType::Records => {
                let size = self.size(must_differ);
                self.length(size, 4);
                let bytes = self.random.bytes(size);
                self.out.bytes.extend(bytes);
            }
            FieldType::Struct { fields, .. } => self.structure(fields, differ),
            FieldType::Array(element) => self.array(element, must_differ),
        }
    }

    fn array(&mut self, element: &'static FieldType, must_differ: bool) {
        let least = usize::from(must_differ);
        let count = match self.filling {
            Filling::Any => least + self.random.below(3),
            Filling::Full => 1,
            Filling::Dense(count) if self.depth == 0 => count,
            Filling::Dense(_) => least,
        };
        self.length(count, 4);
        self.depth += 1;
        for _ in 0..count {
            self.value(element, Differ::Never);
        }
        self.depth -= 1;
    }

    fn integer(&mut self, least: i64, most: i64, size: usize, differ: Differ) {
        let value = self.number(least, most, differ).to_be_bytes();
        self.out.bytes.extend(&value[8 - size..]);
    }

    fn number(&mut self, least: i64, most: i64, differ: Differ) -> i64 {
        let avoided = match differ {
            Differ::Never => None,
            Differ::From(default) => Some(number_of(default)),
        };
        loop {
            let random = least.wrapping_add((self.random.next() & 0xffff_ffff) as i64);
            let value = match self.random.below(6) {
                0 => least,
                1 => most,
                2 => 0,
                3 => 1,
                _ => random,
            };
            let value = value.clamp(least, most);
            if Some(value) != avoided {
                return value;
            }
        }
    }

    fn text(&mut self, must_differ: bool) -> String {
        const LETTERS: [char; 6] = ['a', 'Z', '-', 'é', '漢', '😀'];
        let size = self.size(must_differ);
        (0..size).map(|_| LETTERS[self.random.below(LETTERS.len())]).collect()
    }

    /// Of a string or bytes; now and then so large that a compact length takes a second byte.
    fn size(&mut self, must_differ: bool) -> usize {
        let least = usize::from(must_differ);
        match self.filling {
            Filling::Any if self.random.once_in(20) => 100 + self.random.below(200),
            Filling::Any => least + self.random.below(8),
            Filling::Full => 3,
            Filling::Dense(_) => least,
        }
    }

    /// The tagged fields of a structure, and perhaps some from a version that we do not know.
    fn tags(&mut self, known: &[&'static FieldSchema]) {
        let mut fields: Vec<(u32, Sample)> = Vec::new();
        for field in known {
            if self.has_tag() {
                let outer = std::mem::take(&mut self.out);
                self.field(field, Differ::From(field.default));
                fields.push((field.tag.unwrap(), std::mem::replace(&mut self.out, outer)));
            }
        }
        let mut unknown = 1000;
        while self.has_unknown_tag(unknown) {
            let size = self.random.below(5);
            fields.push((unknown, Sample { bytes: self.random.bytes(size), lengths: Vec::new() }));
            unknown += 100_000;
        }
        fields.sort_by_key(|(tag, _)| *tag);
        self.varint(fields.len());
        for (tag, value) in fields {
            self.varint(tag as usize);
            // A tag says nothing of what follows.
            self.out.lengths.pop();
            self.varint(value.bytes.len());
            let start = self.out.bytes.len();
            self.out.bytes.extend(value.bytes);
            let moved = |length: Length| Length { at: start + length.at, ..length };
            self.out.lengths.extend(value.lengths.into_iter().map(moved));
        }
    }

    fn has_tag(&mut self) -> bool {
        match self.filling {
            Filling::Any => self.random.once_in(2),
            Filling::Full => true,
            Filling::Dense(_) => false,
        }
    }

    fn has_unknown_tag(&mut self, tag: u32) -> bool {
        match self.filling {
            Filling::Any => self.random.once_in(8),
            Filling::Full => tag == 1000,
            Filling::Dense(_) => false,
        }
    }

    /// A length or count: compact where the version is flexible, else of `size` bytes.
    fn length(&mut self, value: usize, size: usize) {
        if self.flexible {
            return self.varint(value + 1);
        }
        self.out.lengths.push(Length { at: self.out.bytes.len(), size, varint: false });
        self.out.bytes.extend(&value.to_be_bytes()[8 - size..]);
    }

    fn varint(&mut self, value: usize) {
        let at = self.out.bytes.len();
        let mut rest = value;
        while rest >= 0x80 {
            self.out.bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.out.bytes.push(rest as u8);
        self.out.lengths.push(Length { at, size: self.out.bytes.len() - at, varint: true });
    }
}

/// A default of a number or a bool, as Kafka writes it.
fn number_of(default: &str) -> i64 {
    match default {
        "" | "false" => 0,
        "true" => 1,
        hexadecimal if hexadecimal.starts_with("0x") => i64::from_str_radix(&hexadecimal[2..], 16).unwrap(),
        decimal => decimal.parse().unwrap(),
    }
}
