//! Requests and responses. Decoding allocates at most a constant times the bytes, and what it gives is written so that
//! it is read as the same again.
//!
//! The first byte of an input is the API key, the second the version, the rest the body.

use bytes::Bytes;
use libfuzzer_sys::Corpus;
use ottla_wire::{Codec, error::Fault, memory_granted};

use crate::bounded;

/// What decoding a short message may hold for each byte it is given: see `crates/wire/tests/hostile.rs`. Longer ones are
/// held to what a reader grants.
const PER_BYTE: usize = 100;

/// What it may hold besides.
const FIXED: usize = 1024;

/// Decodes, and if that works encodes and decodes again. Inputs that name no API and version of `codecs` are not kept.
pub fn check(codecs: &[Codec], data: &[u8]) -> Corpus {
    let [key, version, body @ ..] = data else { return Corpus::Reject };
    let version = i16::from(*version);
    let chosen = codecs.iter().find(|codec| codec.schema.api_key == i16::from(*key));
    let Some(codec) = chosen.filter(|codec| codec.schema.versions.contains(version)) else {
        return Corpus::Reject;
    };
    let frame = Bytes::copy_from_slice(body);
    let allowed = FIXED + memory_granted(body.len()).min(PER_BYTE * body.len());
    match bounded(allowed, || (codec.decode)(version, frame)) {
        Ok(()) => stays_the_same(codec, version, body),
        Err(error) => assert!(error.to_string().starts_with(codec.schema.name), "{error}"),
    }
    Corpus::Keep
}

/// What was read can be written, and what is written is read as the same.
fn stays_the_same(codec: &Codec, version: i16, body: &[u8]) {
    let once = (codec.recode)(version, Bytes::copy_from_slice(body)).expect("what was read can be written");
    match (codec.recode)(version, Bytes::from(once.clone())) {
        Ok(twice) => assert_eq!(once, twice, "{} {version}", codec.schema.name),
        // A body may spend more bytes on a varint than it has to, and is granted memory for them.
        Err(error) => {
            let shorter = matches!(error.fault(), Fault::TooMuchMemory { .. }) && once.len() < body.len();
            assert!(shorter, "{} {version} cannot read what it wrote: {error}", codec.schema.name);
        }
    }
}
