//! Bytes that Apache Kafka 4.3.1's own classes wrote, read and written again by ours: they come out the same.
//!
//! `cargo xtask golden` makes the files in `golden/`, one for each API, of lines `MESSAGE VERSION VARIANT HEX`. The variants
//! are described in `interop/java/GoldenVectors.java`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use ottla_wire::{ApiKey, Codec, DATA, REQUESTS, RESPONSES, Reader, RequestHeader, ResponseHeader, Writer};

/// One line of a file.
struct Vector {
    message: String,
    version: i16,
    variant: String,
    bytes: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|path| fs::read_to_string(path).unwrap().lines().map(parse).collect::<Vec<_>>()).collect()
}

fn parse(line: &str) -> Vector {
    let [message, version, variant, hex] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    Vector {
        message: message.to_owned(),
        version: version.parse().unwrap(),
        variant: variant.to_owned(),
        bytes: (0..hex.len()).step_by(2).map(digits).collect(),
    }
}

fn codecs() -> impl Iterator<Item = &'static Codec> {
    REQUESTS.iter().chain(RESPONSES).chain(DATA)
}

#[test]
fn what_kafka_writes_is_read_and_written_again_to_the_same_bytes() {
    for vector in vectors().iter().filter(|vector| !vector.message.ends_with("Header")) {
        let what = format!("{} {} {}", vector.message, vector.version, vector.variant);
        let codec = codecs().find(|codec| codec.schema.name == vector.message);
        let codec = codec.unwrap_or_else(|| panic!("{what} is not ours: run `cargo xtask golden`"));
        let recoded = (codec.recode)(vector.version, Bytes::from(vector.bytes.clone()));
        assert_eq!(recoded.unwrap_or_else(|error| panic!("{what}: {error}")), vector.bytes, "{what}");
    }
}

#[test]
fn there_are_vectors_for_every_message_and_version() {
    let there: BTreeSet<_> = vectors().into_iter().map(|vector| (vector.message, vector.version)).collect();
    for codec in codecs().filter(|codec| !codec.schema.is_private()) {
        for version in codec.schema.versions.first..=codec.schema.versions.last {
            let name = codec.schema.name;
            assert!(
                there.contains(&(name.to_owned(), version)),
                "{name} {version}: run `cargo xtask golden`"
            );
        }
    }
}

#[test]
fn the_headers_that_kafka_writes_are_read_and_written_again_to_the_same_bytes() {
    let mut seen = 0;
    for mut vector in vectors().into_iter().filter(|vector| vector.message.ends_with("Header")) {
        let what = format!("{} {} {}", vector.message, vector.version, vector.variant);
        let mut writer = Writer::new();
        // The last version of Fetch before headers of the next version, or the first with them.
        let newer = vector.version == if vector.message == "RequestHeader" { 2 } else { 1 };
        let api_version = if newer { 12 } else { 11 };
        if vector.message == "RequestHeader" {
            // Ours goes by the API, so the key and the version that Java made up give way to a real one.
            vector.bytes[..4].copy_from_slice(&[0, 1, 0, api_version as u8]);
            let mut reader = Reader::new(vector.bytes.clone().into());
            let header = RequestHeader::read(&mut reader).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((header.api, reader.remaining()), (ApiKey::Fetch, 0), "{what}");
            header.write(&mut writer).unwrap();
        } else {
            let mut reader = Reader::new(vector.bytes.clone().into());
            let header = ResponseHeader::read(&mut reader, ApiKey::Fetch, api_version);
            assert_eq!(reader.remaining(), 0, "{what}");
            header
                .unwrap_or_else(|error| panic!("{what}: {error}"))
                .write(&mut writer, ApiKey::Fetch, api_version)
                .unwrap();
        }
        assert_eq!(writer.into_chunks().concat(), vector.bytes, "{what}");
        seen += 1;
    }
    assert_eq!(seen, 12);
}
