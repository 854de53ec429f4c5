//! The file in which a node keeps who it is and which quorum it belongs to.
//!
//! ```text
//! content := version: u8, node id: i32, directory id: 16 bytes, founded: u8 (0 or 1)
//!            and if founded: cluster id: text, number of voters: u16, voters
//! voter   := node id: i32, host: text, port: u16, directory id: 16 bytes
//! text    := length: u16, UTF-8 of that length
//! ```
//!
//! Numbers are big endian. Checksum, atomic replacement and fsyncs are `state_file`'s. Whether the node has voted or logged
//! anything is not here: the log and the vote say so themselves.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes};
use ottla_env::Disk;
use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId};

use super::terms::{ClusterId, Founding, FoundingVoter, Record};
use crate::quorum::VoterKey;
use crate::state_file;

/// The file's name.
pub const FILE: &str = "founding";
const VERSION: u8 = 1;

impl Record {
    /// Reads what a node keeps in `dir`; `None` where it never kept anything.
    ///
    /// # Errors
    /// The disk fails, or the file is not as it was written; the error names it.
    pub async fn load(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Self>> {
        let Some(content) = state_file::read(disk, dir, FILE).await? else { return Ok(None) };
        let record = Self::decode(content).map_err(|why| {
            let path = dir.join(FILE);
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
        })?;
        Ok(Some(record))
    }

    /// Replaces what a node keeps in `dir`, durably. The directory must be there, and this process's alone.
    ///
    /// # Errors
    /// The disk fails: the file is then the old or the new one. A text is longer than the file can say.
    pub async fn store(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        state_file::write(disk, dir, FILE, &self.encode()?).await
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = vec![VERSION];
        out.put_i32(self.me.id.0);
        out.put_slice(&self.me.directory.0);
        let Some(founding) = &self.founding else {
            out.put_u8(0);
            return Ok(out);
        };
        out.put_u8(1);
        put_text(&mut out, founding.cluster_id.as_str())?;
        put_len(&mut out, founding.voters.len())?;
        for FoundingVoter { listed, directory } in &founding.voters {
            out.put_i32(listed.id.0);
            put_text(&mut out, &listed.host)?;
            out.put_u16(listed.port);
            out.put_slice(&directory.0);
        }
        Ok(out)
    }

    fn decode(mut bytes: Bytes) -> Result<Self, String> {
        let ended = |_| "it ends early".to_owned();
        let version = bytes.try_get_u8().map_err(ended)?;
        if version != VERSION {
            return Err(format!(
                "it has version {version}, and {VERSION} is the only one known: was it written by a later version of this \
                 program?"
            ));
        }
        let id = BrokerId(bytes.try_get_i32().map_err(ended)?);
        let me = VoterKey { id, directory: directory(&mut bytes)? };
        let founding = match bytes.try_get_u8().map_err(ended)? {
            0 => None,
            1 => Some(founding(&mut bytes)?),
            other => return Err(format!("it says {other} where 0 or 1 is expected")),
        };
        if bytes.is_empty() { Ok(Self { me, founding }) } else { Err("it goes on after its end".to_owned()) }
    }
}

fn founding(bytes: &mut Bytes) -> Result<Founding, String> {
    let ended = |_| "it ends early".to_owned();
    let cluster_id = ClusterId::new(&text(bytes)?);
    let count = bytes.try_get_u16().map_err(ended)?;
    // Nothing is reserved by a number that was read: each voter is there before it is kept.
    let mut voters = Vec::new();
    for _ in 0..count {
        let id = BrokerId(bytes.try_get_i32().map_err(ended)?);
        let host = text(bytes)?;
        let port = bytes.try_get_u16().map_err(ended)?;
        voters.push(FoundingVoter { listed: Voter { id, host, port }, directory: directory(bytes)? });
    }
    Ok(Founding { cluster_id, voters })
}

fn directory(bytes: &mut Bytes) -> Result<DirectoryId, String> {
    let mut id = [0; 16];
    bytes.try_copy_to_slice(&mut id).map_err(|_| "it ends early".to_owned())?;
    Ok(DirectoryId(id))
}

fn text(bytes: &mut Bytes) -> Result<String, String> {
    let len = usize::from(bytes.try_get_u16().map_err(|_| "it ends early".to_owned())?);
    if len > bytes.len() {
        return Err("it ends early".to_owned());
    }
    String::from_utf8(bytes.split_to(len).to_vec()).map_err(|_| "a text in it is no UTF-8".to_owned())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    put_len(out, text.len())?;
    out.put_slice(text.as_bytes());
    Ok(())
}

fn put_len(out: &mut Vec<u8>, len: usize) -> io::Result<()> {
    let len = u16::try_from(len).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "an address or a list of voters is too long to be kept")
    })?;
    out.put_u16(len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_env::disk::RealDisk;

    fn records() -> [Record; 2] {
        let me = VoterKey { id: BrokerId(2), directory: DirectoryId([7; 16]) };
        let listed = Voter { id: BrokerId(2), host: "fe80::1".to_owned(), port: 9093 };
        let voters = vec![FoundingVoter { listed, directory: me.directory }];
        let founding = Founding { cluster_id: ClusterId::new("5L6g3nShT-eMCtK--X86sw"), voters };
        [Record { me, founding: None }, Record { me, founding: Some(founding) }]
    }

    #[tokio::test]
    async fn what_was_stored_last_is_loaded_and_nothing_before() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), RealDisk::new());
        assert_eq!(Record::load(&disk, dir.path()).await.unwrap(), None);
        for record in records() {
            record.store(&disk, dir.path()).await.unwrap();
            assert_eq!(Record::load(&disk, dir.path()).await.unwrap(), Some(record));
        }
    }

    #[test]
    fn a_record_that_is_cut_or_goes_on_is_refused_and_no_byte_makes_it_panic() {
        for record in records() {
            let whole = Bytes::from(record.encode().unwrap());
            for len in 0..whole.len() {
                assert!(Record::decode(whole.slice(..len)).is_err(), "cut at {len}");
            }
            let longer = [&whole[..], &[0]].concat();
            assert!(Record::decode(longer.into()).is_err());
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut changed = whole.to_vec();
                    changed[at] = value;
                    // Any answer will do but a panic: the checksum is not of this layer.
                    let _ = Record::decode(changed.into());
                }
            }
        }
    }

    #[tokio::test]
    async fn a_record_of_a_later_version_is_named_and_not_taken_for_an_absent_one() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), RealDisk::new());
        state_file::write(&disk, dir.path(), FILE, &[9]).await.unwrap();
        let error = Record::load(&disk, dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("founding: it has version 9"), "{error}");
    }
}
