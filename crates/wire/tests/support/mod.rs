//! What the tests of the whole protocol share: random bytes of any message and version, made from its schema alone.
//!
//! Nothing of the codec under test is used here: the schema is read as a specification, and written out again by other
//! code than the derive's.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of this")]

mod random;
mod sample;

pub(crate) use random::Random;
pub(crate) use sample::{Filling, Sample, Samples};

use ottla_wire::{Codec, DATA, REQUESTS, RESPONSES};

/// Every message with each of its versions.
pub(crate) fn every_version() -> impl Iterator<Item = (&'static Codec, i16)> {
    let codecs = REQUESTS.iter().chain(RESPONSES).chain(DATA);
    codecs
        .flat_map(|codec| (codec.schema.versions.first..=codec.schema.versions.last).map(move |v| (codec, v)))
}
