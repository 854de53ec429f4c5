//! Bytes that are no message, for every API and version: decoding never panics, allocates at most a constant times the
//! bytes it is given (the design's invariant 23), and says which message, version and field is wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use ottla_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_wire::{
    ApiKey, Codec, Error, Message as _, Reader, Str, Writer, error::Fault, header, memory_granted,
};

use support::{Filling, Random, Sample, Samples, every_version};

/// What decoding may hold at once for each byte it is given. The worst there is: a string in memory takes 32 bytes, an
/// empty compact one takes a byte in a message, and a vector that grows holds three times its elements for a moment.
/// Longer messages are held to what a reader grants.
const PER_BYTE: u64 = 100;

/// What it may hold on top: an error with its path, and the structures of a message that is nearly empty.
const FIXED: u64 = 1024;

/// The greatest numbers that a varint of 32 bits says: the most that is signed, and the most.
const VARINT_CLAIMS: [&[u8]; 2] = [&[0xff, 0xff, 0xff, 0xff, 0x07], &[0xff, 0xff, 0xff, 0xff, 0x0f]];

/// Decodes `bytes` under all that must hold whatever they are.
#[track_caller]
fn decode(codec: &Codec, version: i16, bytes: &[u8]) -> Result<(), Error> {
    let frame = Bytes::copy_from_slice(bytes);
    let mut outcome = Ok(());
    let allocated = allocation_counter::measure(|| outcome = (codec.decode)(version, frame));
    let size = bytes.len() as u64;
    let allowed = FIXED + (PER_BYTE * size).min(memory_granted(bytes.len()) as u64);
    let what = || format!("{} {version}: {bytes:02x?}", codec.schema.name);
    assert!(
        allocated.bytes_max <= allowed,
        "allocates {} of {allowed} bytes: {}",
        allocated.bytes_max,
        what()
    );
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(text.starts_with(&format!("{} v{version}: ", codec.schema.name)), "`{text}`: {}", what());
        assert!(!error.path().is_empty(), "`{text}` names no field: {}", what());
    } else {
        stays_the_same(codec, version, bytes);
    }
    outcome
}

/// What was decoded can be written, and what is written is read as the same.
#[track_caller]
fn stays_the_same(codec: &Codec, version: i16, bytes: &[u8]) {
    let once = (codec.recode)(version, Bytes::copy_from_slice(bytes)).unwrap();
    let twice = (codec.recode)(version, Bytes::from(once.clone())).unwrap();
    assert_eq!(once, twice, "{} {version}: {bytes:02x?}", codec.schema.name);
}

/// A message with one of everything, for each API and version.
fn full() -> impl Iterator<Item = (&'static Codec, i16, Sample)> {
    every_version().map(|(codec, version)| {
        (codec, version, Samples::new(1, Filling::Full).message(codec.schema, version))
    })
}

/// `bytes` with those in a range replaced.
fn splice(bytes: &[u8], at: usize, size: usize, by: &[u8]) -> Vec<u8> {
    let rest = bytes.get(at + size..).unwrap_or_default();
    [&bytes[..at], by, rest].concat()
}

#[test]
fn what_is_allocated_is_counted() {
    // Else the other tests would say nothing.
    let claimed = allocation_counter::measure(|| drop(Vec::<u8>::with_capacity(1 << 31)));
    assert_eq!(claimed.bytes_max, 1 << 31);
}

#[test]
fn a_body_that_ends_early_is_refused_wherever_it_ends() {
    for (codec, version, sample) in full() {
        decode(codec, version, &sample.bytes).unwrap();
        for length in 0..sample.bytes.len() {
            let ended_early = decode(codec, version, &sample.bytes[..length]);
            assert!(ended_early.is_err(), "{} {version}: decodes {length} bytes", codec.schema.name);
        }
    }
}

#[test]
fn a_length_or_count_that_claims_the_most_there_is_is_refused() {
    for (codec, version, sample) in full() {
        for length in &sample.lengths {
            let claims: &[&[u8]] = match (length.varint, length.size) {
                (true, _) => &VARINT_CLAIMS,
                (false, 2) => &[&[0x7f, 0xff]],
                (false, _) => &[&[0x7f, 0xff, 0xff, 0xff]],
            };
            for claim in claims {
                let claiming = splice(&sample.bytes, length.at, length.size, claim);
                let refused = decode(codec, version, &claiming).is_err();
                assert!(refused, "{} {version}: {claim:02x?} at {}", codec.schema.name, length.at);
            }
        }
    }
}

#[test]
fn a_negative_length_that_is_not_null_is_refused() {
    for (codec, version, sample) in full() {
        for length in sample.lengths.iter().filter(|length| !length.varint) {
            for least in [0xfe, 0x80] {
                let negative = [&[least][..], &[0xfe; 3][..length.size - 1]].concat();
                let bytes = splice(&sample.bytes, length.at, length.size, &negative);
                let refused = decode(codec, version, &bytes).is_err();
                assert!(refused, "{} {version}: {negative:02x?} at {}", codec.schema.name, length.at);
            }
        }
    }
}

#[test]
fn the_greatest_numbers_at_any_position_do_no_harm() {
    for (codec, version, sample) in full() {
        for at in 0..sample.bytes.len() {
            let _ = decode(codec, version, &splice(&sample.bytes, at, 4, &[0x7f, 0xff, 0xff, 0xff]));
            for claim in VARINT_CLAIMS {
                let _ = decode(codec, version, &splice(&sample.bytes, at, claim.len(), claim));
                let _ = decode(codec, version, &splice(&sample.bytes, at, 1, claim));
            }
        }
    }
}

#[test]
fn a_flipped_bit_does_no_harm_wherever_it_is() {
    for (codec, version, sample) in full() {
        for bit in 0..sample.bytes.len() * 8 {
            let mut bytes = sample.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(codec, version, &bytes);
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = Random::new(23);
    for (codec, version) in every_version() {
        for _ in 0..200 {
            let size = random.below(100);
            let bytes = random.bytes(size);
            let _ = decode(codec, version, &bytes);
            // Small bytes get further: they are short lengths.
            let small: Vec<u8> = bytes.iter().map(|byte| byte % 4).collect();
            let _ = decode(codec, version, &small);
        }
    }
}

#[test]
fn many_elements_that_take_few_bytes_stay_within_the_bound() {
    for (codec, version) in every_version() {
        // On both sides of a power of two, where a vector has just grown.
        for count in [100, 1024, 1025, 3000] {
            let sample = Samples::new(1, Filling::Dense(count)).message(codec.schema, version);
            if let Err(error) = decode(codec, version, &sample.bytes) {
                assert!(count > 100, "{error}");
                assert!(matches!(error.fault(), Fault::TooMuchMemory { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_list_of_many_short_names_is_no_attack() {
    let member = |n: usize| MemberIdentity { member_id: Str::from(format!("{n:x}")), ..Default::default() };
    for count in [1, 100, 10_000, 100_000] {
        let members: Vec<MemberIdentity> = (0..count).map(member).collect();
        let request = LeaveGroupRequest { group_id: "g".into(), members, ..Default::default() };
        for version in 3..=5 {
            let mut writer = Writer::new();
            request.encode(&mut writer, version).unwrap();
            let bytes = Bytes::from(writer.into_chunks().concat());
            let size = bytes.len();
            let read = LeaveGroupRequest::decode(&mut Reader::new(bytes), version);
            let read = read.unwrap_or_else(|error| panic!("{count} members in {size} bytes: {error}"));
            assert_eq!(read, request);
        }
    }
}

#[test]
fn a_version_that_is_not_served_is_refused_by_name() {
    for (codec, version) in every_version() {
        let served = codec.schema.versions;
        if version == served.last {
            for other in [-1, served.first - 1, served.last + 1, i16::MAX] {
                let error = (codec.decode)(other, Bytes::from_static(&[0; 64])).unwrap_err();
                assert!(error.to_string().starts_with(codec.schema.name), "{error}");
            }
        }
    }
}

#[test]
fn headers_that_end_early_or_claim_too_much_are_refused() {
    for api in ApiKey::ALL {
        for version in [api.versions().first, api.versions().last, i16::MAX, -1] {
            let key = api.code().to_be_bytes();
            let flexible = header::RequestHeader::version(*api, version) == 2;
            let tags: &[u8] = if flexible { &[1, 0x80, 8, 2, 7, 7] } else { &[] };
            let whole = [&key[..], &version.to_be_bytes(), &[0, 0, 0, 9, 0, 2, b'm', b'e'], tags].concat();
            assert_eq!(parse_header(&whole), Ok(()), "{api} {version}");
            for length in 0..whole.len() {
                let error = parse_header(&whole[..length]).unwrap_err();
                assert!(error.starts_with("RequestHeader v"), "{error}");
            }
            for claim in [[0x7f, 0xff], [0xff, 0xfe]] {
                let error = parse_header(&splice(&whole, 8, 2, &claim)).unwrap_err();
                assert!(error.contains("client_id"), "{error}");
            }
            if flexible {
                for (at, claim) in [12, 15].into_iter().flat_map(|at| VARINT_CLAIMS.map(|claim| (at, claim)))
                {
                    assert!(
                        parse_header(&splice(&whole, at, 1, claim)).is_err(),
                        "{api} {version} {claim:02x?} at {at}"
                    );
                }
            }
        }
    }
}

/// Reads a request's header under all that must hold.
fn parse_header(bytes: &[u8]) -> Result<(), String> {
    let frame = Bytes::copy_from_slice(bytes);
    let mut outcome = Ok(());
    let allocated = allocation_counter::measure(|| outcome = header::parse_request(frame).map(drop));
    assert!(allocated.bytes_max <= FIXED, "allocates {} bytes: {bytes:02x?}", allocated.bytes_max);
    outcome.map_err(|error| error.to_string())
}
