//! The committed seeds of the fuzz targets: for messages the fullest golden vector of each version, for record batches
//! what `records`' builder makes with each codec. The bytes before them are those that `fuzz/src` takes off again.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use ottla_records::{BatchBuilder, Codec, Compression, NewRecord};
use ottla_types::{ProducerEpoch, ProducerId};
use ottla_wire::{Codec as MessageCodec, REQUESTS, RESPONSES};

/// The golden vectors with one of everything.
const VARIANT: &str = "full";

/// Writes all seeds anew.
pub(super) fn write(root: &Path) -> Result<()> {
    let vectors = golden_vectors(root)?;
    write_target(root, "requests", messages(REQUESTS, &vectors)?)?;
    write_target(root, "responses", messages(RESPONSES, &vectors)?)?;
    write_target(root, "batches", batches()?)
}

/// A seed: its file name and its bytes.
type Seed = (String, Vec<u8>);

fn write_target(root: &Path, target: &str, seeds: Vec<Seed>) -> Result<()> {
    let folder = root.join("fuzz/corpus").join(target);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    println!("{}: {} seeds", folder.display(), seeds.len());
    for (name, bytes) in seeds {
        fs::write(folder.join(&name), bytes).with_context(|| format!("cannot write the seed {name}"))?;
    }
    Ok(())
}

/// The text of all golden vectors.
fn golden_vectors(root: &Path) -> Result<String> {
    let folder = root.join("crates/wire/tests/golden");
    let mut vectors = String::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        vectors.push_str(&text);
    }
    Ok(vectors)
}

/// One seed for each message and version: API key, version, body.
fn messages(codecs: &[MessageCodec], vectors: &str) -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for line in vectors.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, version, variant, hex] = words.as_slice() else { continue };
        let Some(codec) = codecs.iter().find(|codec| codec.schema.name == *name) else { continue };
        if *variant == VARIANT {
            let number: u8 = version.parse().with_context(|| format!("no version: {line}"))?;
            let key =
                u8::try_from(codec.schema.api_key).context("an API key takes more than the seed's byte")?;
            let mut bytes = vec![key, number];
            bytes.extend(from_hex(hex).with_context(|| format!("not hexadecimal: {line}"))?);
            seeds.push((format!("{name}-{version}"), bytes));
        }
    }
    Ok(seeds)
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let pairs = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// A batch with each codec, one of an idempotent producer, and two in a row.
fn batches() -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = batch(BatchBuilder::new().compression(Compression::new(codec)))?;
        seeds.push((format!("{codec:?}").to_lowercase(), [&[0][..], &batch].concat()));
    }
    let producer = BatchBuilder::new().producer(ProducerId(9), ProducerEpoch(1), 5).transactional(true);
    let producer = batch(producer)?;
    // Bit 7: as it is, with its own checksum.
    seeds.push(("two".to_owned(), [&[0x80][..], &producer, &producer].concat()));
    seeds.push(("producer".to_owned(), [&[0][..], &producer].concat()));
    seeds.push(("recompressed".to_owned(), [&[5 << 3][..], &producer].concat()));
    seeds.push(("log-append-time".to_owned(), [&[2][..], &producer].concat()));
    Ok(seeds)
}

/// A few records of every shape.
fn batch(mut builder: BatchBuilder) -> Result<Vec<u8>> {
    let headers: [(&str, Option<&[u8]>); 3] = [("trace", Some(b"1")), ("trace", None), ("", Some(b""))];
    let records = [
        (Some("key"), Some("value".to_owned())),
        (Some(""), None),
        (None, Some("x".repeat(200))),
        (Some("key"), Some("value".to_owned())),
    ];
    for (index, (key, value)) in records.iter().enumerate() {
        let (key, value) = (key.map(str::as_bytes), value.as_ref().map(String::as_bytes));
        let headers = &headers[..index.min(headers.len())];
        let timestamp_ms = 1_700_000_000_000 + index as i64;
        builder
            .push(&NewRecord { timestamp_ms, key, value, headers })
            .context("a seed's record does not fit")?;
    }
    Ok(builder.build().context("a seed's batch cannot be compressed")?.to_vec())
}
