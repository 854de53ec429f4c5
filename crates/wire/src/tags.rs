//! The tagged fields that a newer peer sent and this version of the code does not know (KIP-482).

use bytes::Bytes;

use crate::error::{Error, Fault};
use crate::reader::{Reader, in_tagged_fields};
use crate::writer::Writer;

/// Tagged fields that are kept as bytes and written again, ascending by tag. Nearly always empty, and then free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownTags(Option<Box<Fields>>);

/// The fields behind one pointer, so that the many structures without any pay for a pointer and not for a vector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fields(Vec<(u32, Bytes)>);

/// Writes unknown tagged fields between the known ones.
#[derive(Debug)]
pub struct WritingTags<'a>(&'a [(u32, Bytes)]);

impl UnknownTags {
    /// The fields, ascending by tag.
    #[must_use]
    pub fn fields(&self) -> &[(u32, Bytes)] {
        self.0.as_ref().map_or(&[], |fields| fields.0.as_slice())
    }

    /// Adds a field whose tag is above those that are there.
    pub fn push(&mut self, tag: u32, value: Bytes) -> Result<(), Error> {
        let fields = &mut self.0.get_or_insert_default().0;
        if let Some((previous, _)) = fields.last().filter(|(previous, _)| tag <= *previous) {
            return Err(Error::new(Fault::TagOrder { tag, previous: *previous }));
        }
        // Most structures with any have one: four places, which is where a list begins to grow, would be waste.
        if fields.is_empty() {
            fields.reserve_exact(1);
        }
        fields.push((tag, value));
        Ok(())
    }

    /// Keeps a field that was met in decoding.
    pub fn read_one(&mut self, reader: &mut Reader, tag: u32, size: usize) -> Result<(), Error> {
        // The list doubles when it is full, and holds both copies while it moves.
        reader.claim_memory(3 * size_of::<(u32, Bytes)>()).map_err(in_tagged_fields)?;
        let value = reader.take(size).map_err(in_tagged_fields)?;
        self.push(tag, value)
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub fn count(&self) -> u32 {
        self.0.as_ref().map_or(0, |fields| u32::try_from(fields.0.len()).unwrap_or(u32::MAX))
    }

    /// Errors if there are any: a version that is not flexible cannot carry them.
    #[inline]
    pub fn reject(&self) -> Result<(), Error> {
        if self.fields().is_empty() { Ok(()) } else { Err(Error::new(Fault::TagsNotInVersion)) }
    }

    /// Begins to write the fields.
    #[must_use]
    #[inline]
    pub fn writing(&self) -> WritingTags<'_> {
        WritingTags(self.fields())
    }
}

impl WritingTags<'_> {
    /// Writes the fields that go before the known one with `tag`.
    pub fn write_below(&mut self, writer: &mut Writer, tag: u32) -> Result<(), Error> {
        while let Some(((next, value), rest)) = self.0.split_first() {
            if *next == tag {
                return Err(Error::new(Fault::TagOrder { tag, previous: tag }));
            }
            if *next > tag {
                break;
            }
            write_one(writer, *next, value);
            self.0 = rest;
        }
        Ok(())
    }

    /// Writes the fields that are left.
    #[inline]
    pub fn write_rest(self, writer: &mut Writer) {
        for (tag, value) in self.0 {
            write_one(writer, *tag, value);
        }
    }
}

fn write_one(writer: &mut Writer, tag: u32, value: &Bytes) {
    let section = writer.begin_tag(tag);
    writer.write_bytes(value);
    writer.end_tag(section);
}
