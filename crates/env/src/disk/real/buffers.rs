//! Memory for long reads, used again when whoever read is done with it.
//!
//! A fetch reads a megabyte at a time and drops it when it is sent. Memory that the allocator gives back to the kernel in
//! between costs a page fault for every 4 KiB of the next read: that was more than half of what reading a backlog cost.

use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;

/// Shorter reads take their memory from the allocator, which keeps such sizes.
const LONG_READ: usize = 64 * 1024;

/// Longer buffers are not kept: few reads are that long, and each would take much of what is kept.
const LONGEST_KEPT: usize = 2 << 20;

/// How much is kept in all while nobody uses it.
const KEPT_BYTES: usize = 16 << 20;

/// The buffers that wait for the next read.
#[derive(Debug, Default)]
pub(super) struct ReadBuffers {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer on loan.
struct Lent {
    buffer: Vec<u8>,
    home: Arc<ReadBuffers>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.buffer));
    }
}

impl ReadBuffers {
    /// Those of the process, as the memory is the process's.
    pub(super) fn of_process() -> &'static Arc<Self> {
        static BUFFERS: LazyLock<Arc<ReadBuffers>> = LazyLock::new(Arc::default);
        &BUFFERS
    }

    /// Bytes that `read` puts into an empty buffer with room for `len`. Their memory comes back when they are dropped.
    pub(super) fn fill(
        self: &Arc<Self>,
        len: usize,
        read: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<Bytes> {
        if len < LONG_READ {
            let mut buffer = Vec::with_capacity(len);
            read(&mut buffer)?;
            return Ok(buffer.into());
        }
        let buffer = self.take(len).unwrap_or_else(|| Vec::with_capacity(len));
        let mut lent = Lent { buffer, home: Arc::clone(self) };
        read(&mut lent.buffer)?;
        Ok(Bytes::from_owner(lent))
    }

    /// The buffer given back last that is long enough: its memory is the likeliest to be in the processor's cache.
    fn take(&self, len: usize) -> Option<Vec<u8>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.buffers.iter().rposition(|buffer| buffer.capacity() >= len)?;
        let buffer = free.buffers.swap_remove(at);
        free.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() <= LONGEST_KEPT && free.bytes + buffer.capacity() <= KEPT_BYTES {
            free.bytes += buffer.capacity();
            free.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffers: &Arc<ReadBuffers>, len: usize, byte: u8) -> Bytes {
        buffers
            .fill(len, |buffer| {
                assert!(buffer.is_empty() && buffer.capacity() >= len);
                buffer.resize(len, byte);
                Ok(())
            })
            .unwrap()
    }

    fn kept(buffers: &ReadBuffers) -> usize {
        buffers.free.lock().unwrap().bytes
    }

    #[test]
    fn memory_comes_back_when_the_last_slice_of_it_is_dropped() {
        let buffers = Arc::new(ReadBuffers::default());
        let bytes = read(&buffers, 1 << 20, 7);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(kept(&buffers), 0, "a slice is alive");
        assert_eq!(slice, [7; 10][..]);
        drop(slice);
        assert_eq!(kept(&buffers), 1 << 20);
        let shorter = read(&buffers, 1 << 19, 8);
        assert_eq!((shorter.len(), kept(&buffers)), (1 << 19, 0));
        assert!(shorter.iter().all(|byte| *byte == 8));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Arc::new(ReadBuffers::default());
        let many: Vec<Bytes> = (0..40).map(|_| read(&buffers, 1 << 20, 1)).collect();
        drop(many);
        assert_eq!(kept(&buffers), KEPT_BYTES);
        drop(read(&buffers, LONGEST_KEPT + 1, 1));
        assert_eq!(kept(&buffers), KEPT_BYTES);
    }

    #[test]
    fn a_read_that_fails_gives_its_memory_back_too() {
        let buffers = Arc::new(ReadBuffers::default());
        assert!(buffers.fill(1 << 20, |_| Err(io::Error::other("no"))).is_err());
        assert_eq!(kept(&buffers), 1 << 20);
    }
}
