//! Small state in a file of its own, replaced as a whole: the epoch, the vote, what bootstrapping found.
//!
//! ```text
//! file := "OTTLAST", version: u8, length: u32, crc: u32, content of that length
//! ```
//!
//! Numbers are big endian, the checksum is CRC32C over length and content. A file is the old or the new one whenever the
//! power goes, so a damaged one is a fault of the disk, which is told and never taken for an absent one.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_env::Disk;
use ottla_env::disk::replace_file;
use ottla_types::sabotage::{Sabotage, is};

use crate::frame_file::create;

const MAGIC: &[u8; 7] = b"OTTLAST";
const VERSION: u8 = 1;
const HEAD_LEN: usize = MAGIC.len() + 1 + 4 + 4;

/// Reads the state called `name`; `None` where none was ever written.
///
/// # Errors
/// The disk fails, or the file is not as it was written; the error names it.
pub(crate) async fn read(disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<Option<Bytes>> {
    let path = dir.join(name);
    let bytes = match disk.read(&path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    match parse(bytes) {
        Ok(content) => {
            // Whoever wrote it may have been killed before its name was durable, and it is counted on from here.
            disk.sync_dir(dir).await?;
            Ok(Some(content))
        }
        Err(why) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} is damaged: {why}. It must not be deleted: what it says was promised",
                path.display()
            ),
        )),
    }
}

/// Replaces the state called `name`, durably. The directory must be this process's alone.
///
/// # Errors
/// The disk fails: the state is then the old or the new one.
pub(crate) async fn write(disk: &dyn Disk, dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let path = dir.join(name);
    if is(Sabotage::VoteBeforeFsync) {
        let partial = dir.join(format!("{name}.partial"));
        let file = create(disk, &partial).await?;
        file.write_at(0, &[encode(content)]).await?;
        return disk.rename(&partial, &path).await;
    }
    replace_file(disk, &path, encode(content)).await
}

fn encode(content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_LEN + content.len());
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    // What is kept here is a few hundred bytes.
    out.put_u32(content.len() as u32);
    out.put_u32(checksum(content));
    out.put_slice(content);
    out.freeze()
}

fn parse(mut bytes: Bytes) -> Result<Bytes, String> {
    if bytes.len() < HEAD_LEN {
        return Err(format!("it has {} bytes", bytes.len()));
    }
    if bytes.split_to(MAGIC.len()) != MAGIC.as_slice() {
        return Err("it does not begin as such a file does".to_owned());
    }
    let version = bytes.get_u8();
    if version != VERSION {
        return Err(format!(
            "it has version {version}, and {VERSION} is the only one known: was it written by a later version of this \
             program?"
        ));
    }
    let len = bytes.get_u32();
    let sum = bytes.get_u32();
    if u32::try_from(bytes.len()) != Ok(len) {
        return Err(format!("it has {} bytes of content where {len} are expected", bytes.len()));
    }
    if checksum(&bytes) != sum {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(bytes)
}

fn checksum(content: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&(content.len() as u32).to_be_bytes());
    digest.update(content);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_env::disk::RealDisk;

    #[tokio::test]
    async fn what_was_written_last_is_read_and_nothing_is_told_from_something() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new();
        assert_eq!(read(&disk, dir.path(), "vote").await.unwrap(), None);
        for content in [b"first".as_slice(), b"", b"third"] {
            write(&disk, dir.path(), "vote", content).await.unwrap();
            assert_eq!(read(&disk, dir.path(), "vote").await.unwrap().unwrap(), content);
        }
    }

    #[test]
    fn no_changed_byte_and_no_cut_goes_unnoticed() {
        let whole = encode(b"content");
        assert_eq!(parse(whole.clone()).unwrap(), b"content".as_slice());
        for at in 0..whole.len() {
            assert!(parse(whole.slice(..at)).is_err(), "cut at {at}");
            let mut changed = whole.to_vec();
            changed[at] ^= 0x10;
            assert!(parse(changed.into()).is_err(), "changed at {at}");
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_and_not_taken_for_an_absent_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("vote"), "").unwrap();
        let error = read(&RealDisk::new(), dir.path(), "vote").await.unwrap_err();
        assert!(error.to_string().contains("vote is damaged: it has 0 bytes"), "{error}");
    }
}
