//! A broker under requests that lie: cut short, or claiming more elements, bytes or tags than there are. It must answer
//! nothing wrong, keep its memory, and go on serving.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "../../wire/tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::Server;
use ottla_wire::{Codec, REQUESTS, RequestHeader};
use support::{Filling, Samples};

/// How many frames are sent in all.
const FRAMES: usize = 30_000;

/// How much the broker's memory may grow by over them.
const MAY_GROW: u64 = 8 << 20;

/// The most that a varint of 32 bits says, signed and unsigned.
const VARINT_CLAIMS: [&[u8]; 2] = [&[0xff, 0xff, 0xff, 0xff, 0x07], &[0xff, 0xff, 0xff, 0xff, 0x0f]];

/// Requests of one API and version that lie, without their length prefix.
fn lies(codec: &Codec, version: i16) -> Vec<Vec<u8>> {
    let api = codec.schema.api_key;
    let mut header = api.to_be_bytes().to_vec();
    header.extend(version.to_be_bytes());
    header.extend(7_i32.to_be_bytes());
    let mut cut: Vec<Vec<u8>> = (0..header.len()).map(|length| header[..length].to_vec()).collect();
    // A client id longer than what there is.
    cut.push([&header[..], &[0x7f, 0xff], b"x"].concat());
    header.extend([0xff, 0xff]);
    if RequestHeader::version(ottla_wire::ApiKey::from_code(api).unwrap(), version) >= 2 {
        for claim in VARINT_CLAIMS {
            cut.push([&header[..], claim].concat());
        }
        header.push(0);
    }
    let sample = Samples::new(1, Filling::Full).message(codec.schema, version);
    for length in &sample.lengths {
        let claims: &[&[u8]] = match (length.varint, length.size) {
            (true, _) => &VARINT_CLAIMS,
            (false, 2) => &[&[0x7f, 0xff]],
            (false, _) => &[&[0x7f, 0xff, 0xff, 0xff]],
        };
        for claim in claims {
            let rest = &sample.bytes[length.at + length.size..];
            cut.push([&header[..], &sample.bytes[..length.at], claim, rest].concat());
        }
    }
    for length in 0..sample.bytes.len() {
        cut.push([&header[..], &sample.bytes[..length]].concat());
    }
    cut
}

/// Sends a frame on a connection of its own, and reads until the broker has had enough of it.
fn send(server: &Server, frame: &[u8]) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let prefix = u32::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&[&prefix, frame].concat()).unwrap();
    let mut answer = Vec::new();
    // The broker may reset a connection whose bytes it has not all read. Waiting for ever is what it may not do.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{frame:02x?}");
    }
}

#[test]
fn requests_that_lie_cost_no_memory_and_the_broker_still_answers() {
    let server = Server::start(&[]);
    let all: Vec<Vec<u8>> = REQUESTS
        .iter()
        .flat_map(|codec| {
            let versions = codec.schema.versions;
            (versions.first..=versions.last).flat_map(move |version| lies(codec, version))
        })
        .collect();
    assert!(all.len() > 1_000, "{}", all.len());
    server.assert_answers();
    let before = server.resident_bytes();
    for frame in all.iter().cycle().take(FRAMES) {
        send(&server, frame);
    }
    server.assert_answers();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < MAY_GROW, "grew by {grown} bytes from {before}");
}

#[test]
fn a_length_prefix_that_lies_costs_no_memory_either() {
    let server = Server::start(&[]);
    server.assert_answers();
    let before = server.resident_bytes();
    let streams: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(&104_857_600_u32.to_be_bytes()).unwrap();
            stream.write_all(&[0; 100]).unwrap();
            stream
        })
        .collect();
    for claim in [0x7fff_ffff_u32, 0xffff_ffff] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(&claim.to_be_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "the connection is closed");
    }
    server.assert_answers();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < MAY_GROW, "grew by {grown} bytes from {before} for {} connections", streams.len());
}
