//! What the derive relies on: how a value of each type is read, written and described.

use bytes::Bytes;

use crate::error::{Error, Fault};
use crate::reader::Reader;
use crate::records::Records;
use crate::schema::{FieldType, MessageSchema};
use crate::string::Str;
use crate::uuid::Uuid;
use crate::writer::Writer;

/// The version of the message that is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: i16,
    /// Whether it has compact lengths and tagged fields (KIP-482).
    pub flexible: bool,
}

/// A type that a field can have.
pub trait Value: Sized {
    /// The type's name in the schema.
    const TYPE: FieldType;

    /// The value of a field without a default, in a message that does not carry it.
    fn absent() -> Self;

    /// The fewest bytes that a value takes.
    fn min_size(version: Version) -> usize;

    /// Reads a value.
    fn read(reader: &mut Reader, version: Version) -> Result<Self, Error>;

    /// Writes the value.
    fn write(&self, writer: &mut Writer, version: Version) -> Result<(), Error>;

    /// Shows `visit` every error code in the value, of the fields that the version has. For whoever counts them.
    #[inline]
    fn visit_errors(&self, _version: Version, _visit: &mut dyn FnMut(i16)) {}
}

/// A type whose fields can be null.
pub trait Nullable: Value {
    /// The value of a nullable field without a default, in a message that does not carry it.
    fn absent_nullable() -> Option<Self> {
        Some(Self::absent())
    }

    /// The fewest bytes that a value or null takes.
    fn min_nullable_size(version: Version) -> usize;

    /// Reads a value or null.
    fn read_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error>;

    /// Writes a value or null.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, version: Version) -> Result<(), Error>;
}

/// A whole request or response.
pub trait Message: Value + Default {
    /// What the message looks like, version by version.
    const SCHEMA: MessageSchema;

    /// The version of that number; an error where it is not implemented.
    fn version(number: i16) -> Result<Version, Error> {
        let versions = Self::SCHEMA.versions;
        if versions.contains(number) {
            return Ok(Version { number, flexible: Self::SCHEMA.flexible.contains(number) });
        }
        let fault = Fault::UnsupportedVersion { first: versions.first, last: versions.last };
        Err(Error::new(fault).in_message(Self::SCHEMA.name, number))
    }

    /// Reads the message. Bytes that follow it are passed over, as Kafka passes them over.
    ///
    /// Real clients send such bytes: librdkafka 2.x ends Metadata from version 11 on with the two fields that version 11
    /// dropped.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, Error> {
        let named = |error: Error| error.in_message(Self::SCHEMA.name, version);
        Self::read(reader, Self::version(version)?).map_err(named)
    }

    /// Writes the message.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), Error> {
        let named = |error: Error| error.in_message(Self::SCHEMA.name, version);
        self.write(writer, Self::version(version)?).map_err(named)
    }

    /// Shows `visit` every error code that the message has in a version: one for the whole, or one for each topic,
    /// partition or whatever else it answers for. None in a version that is not implemented.
    fn error_codes(&self, version: i16, visit: &mut dyn FnMut(i16)) {
        if let Ok(version) = Self::version(version) {
            self.visit_errors(version, visit);
        }
    }
}

macro_rules! fixed {
    ($($ty:ty, $kind:ident, $size:literal, $absent:expr, $read:ident, $write:ident;)*) => {$(
        impl Value for $ty {
            const TYPE: FieldType = FieldType::$kind;

            #[inline]
            fn absent() -> Self {
                $absent
            }

            #[inline]
            fn min_size(_: Version) -> usize {
                $size
            }

            #[inline]
            fn read(reader: &mut Reader, _: Version) -> Result<Self, Error> {
                reader.$read()
            }

            #[inline]
            fn write(&self, writer: &mut Writer, _: Version) -> Result<(), Error> {
                writer.$write(*self);
                Ok(())
            }
        }
    )*};
}

fixed! {
    bool, Bool, 1, false, read_bool, write_bool;
    i8, Int8, 1, 0, read_i8, write_i8;
    i16, Int16, 2, 0, read_i16, write_i16;
    u16, Uint16, 2, 0, read_u16, write_u16;
    i32, Int32, 4, 0, read_i32, write_i32;
    u32, Uint32, 4, 0, read_u32, write_u32;
    i64, Int64, 8, 0, read_i64, write_i64;
    f64, Float64, 8, 0.0, read_f64, write_f64;
}

impl Value for Uuid {
    const TYPE: FieldType = FieldType::Uuid;

    fn absent() -> Self {
        Self::ZERO
    }

    fn min_size(_: Version) -> usize {
        16
    }

    fn read(reader: &mut Reader, _: Version) -> Result<Self, Error> {
        reader.read_uuid().map(Self)
    }

    fn write(&self, writer: &mut Writer, _: Version) -> Result<(), Error> {
        writer.write_slice(&self.0);
        Ok(())
    }
}

/// A type with a length before it, which null is a value of.
macro_rules! sized {
    ($(($($generics:tt)*) $ty:ty, $kind:expr, $length_size:literal, $absent:expr $(, $visit:ident)?;)*) => {$(
        impl $($generics)* Value for $ty {
            const TYPE: FieldType = $kind;

            fn absent() -> Self {
                Self::default()
            }

            #[inline]
            fn min_size(version: Version) -> usize {
                if version.flexible { 1 } else { $length_size }
            }

            #[inline]
            fn read(reader: &mut Reader, version: Version) -> Result<Self, Error> {
                Self::read_nullable(reader, version)?.ok_or_else(Error::null_in_version)
            }

            #[inline]
            fn write(&self, writer: &mut Writer, version: Version) -> Result<(), Error> {
                Self::write_nullable(Some(self), writer, version)
            }

            $(
                #[inline]
                fn visit_errors(&self, version: Version, visit: &mut dyn FnMut(i16)) {
                    $visit(self, version, visit);
                }
            )?
        }

        impl $($generics)* Nullable for $ty {
            fn absent_nullable() -> Option<Self> {
                $absent
            }

            #[inline]
            fn min_nullable_size(version: Version) -> usize {
                Self::min_size(version)
            }

            #[inline]
            fn read_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error> {
                Self::read_sized(reader, version)
            }

            #[inline]
            fn write_nullable(
                value: Option<&Self>,
                writer: &mut Writer,
                version: Version,
            ) -> Result<(), Error> {
                Self::write_sized(value, writer, version)
            }
        }
    )*};
}

sized! {
    () Str, FieldType::String, 2, Some(Self::default());
    () Bytes, FieldType::Bytes, 4, Some(Self::default());
    // Kafka's generated code starts a records field at null, whatever else starts at empty.
    () Records, FieldType::Records, 4, None;
    (<T: Value>) Vec<T>, FieldType::Array(&T::TYPE), 4, Some(Self::default()), visit_elements;
}

#[inline]
fn visit_elements<T: Value>(elements: &[T], version: Version, visit: &mut dyn FnMut(i16)) {
    for element in elements {
        element.visit_errors(version, visit);
    }
}

/// How a type with a length before it is read and written, null included.
trait LengthPrefixed: Sized {
    fn read_sized(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error>;
    fn write_sized(value: Option<&Self>, writer: &mut Writer, version: Version) -> Result<(), Error>;
}

/// The longest string there is: Kafka keeps the limit of the 16 bit length for compact ones too.
const MAX_STRING_SIZE: usize = i16::MAX as usize;

impl LengthPrefixed for Str {
    fn read_sized(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error> {
        match reader.read_string_length(version.flexible)? {
            None => Ok(None),
            Some(length) if length > MAX_STRING_SIZE => Err(Error::new(Fault::StringTooLong(length))),
            Some(length) => Self::try_from(reader.take(length)?).map(Some),
        }
    }

    fn write_sized(value: Option<&Self>, writer: &mut Writer, version: Version) -> Result<(), Error> {
        writer.write_string_length(value.map(|text| text.len()), version.flexible)?;
        if let Some(text) = value {
            writer.write_slice(text.as_bytes());
        }
        Ok(())
    }
}

impl LengthPrefixed for Bytes {
    fn read_sized(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error> {
        match reader.read_length(version.flexible)? {
            None => Ok(None),
            Some(length) => reader.take(length).map(Some),
        }
    }

    fn write_sized(value: Option<&Self>, writer: &mut Writer, version: Version) -> Result<(), Error> {
        writer.write_length(value.map(Bytes::len), version.flexible)?;
        if let Some(bytes) = value {
            writer.write_bytes(bytes);
        }
        Ok(())
    }
}

impl LengthPrefixed for Records {
    fn read_sized(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error> {
        Ok(Bytes::read_sized(reader, version)?.map(Self::from))
    }

    fn write_sized(value: Option<&Self>, writer: &mut Writer, version: Version) -> Result<(), Error> {
        writer.write_length(value.map(Self::len), version.flexible)?;
        for chunk in value.map_or(&[][..], Self::chunks) {
            writer.write_chunk(chunk.clone());
        }
        Ok(())
    }
}

impl<T: Value> LengthPrefixed for Vec<T> {
    fn read_sized(reader: &mut Reader, version: Version) -> Result<Option<Self>, Error> {
        let Some(count) = reader.read_length(version.flexible)? else { return Ok(None) };
        reader.claim_elements::<T>(count, T::min_size(version))?;
        let mut elements = Self::with_capacity(count);
        for index in 0..count {
            elements.push(T::read(reader, version).map_err(|error| error.at_index(index))?);
        }
        Ok(Some(elements))
    }

    fn write_sized(value: Option<&Self>, writer: &mut Writer, version: Version) -> Result<(), Error> {
        writer.write_length(value.map(Self::len), version.flexible)?;
        for (index, element) in value.map_or(&[][..], Self::as_slice).iter().enumerate() {
            element.write(writer, version).map_err(|error| error.at_index(index))?;
        }
        Ok(())
    }
}
