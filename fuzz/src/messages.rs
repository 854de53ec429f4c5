//! Requests and responses. Decoding allocates at most a constant times the bytes, and what it gives is written so that
//! it is read as the same again.
//!
//! The first byte of an input is the API key, the second the version, the rest the body.

use bytes::Bytes;
use libfuzzer_sys::Corpus;
use ottla_wire::Codec;

use crate::bounded;

/// What decoding may hold for each byte it is given: see `crates/wire/tests/hostile.rs`.
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
    let decoded = bounded(FIXED + PER_BYTE * body.len(), || (codec.decode)(version, frame));
    match decoded {
        Ok(()) => {
            let once =
                (codec.recode)(version, Bytes::copy_from_slice(body)).expect("what was read can be written");
            let twice =
                (codec.recode)(version, Bytes::from(once.clone())).expect("what was written can be read");
            assert_eq!(once, twice, "{} {version}", codec.schema.name);
        }
        Err(error) => assert!(error.to_string().starts_with(codec.schema.name), "{error}"),
    }
    Corpus::Keep
}
