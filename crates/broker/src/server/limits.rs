//! What a listener admits: connections in all and by address, and bytes of requests in memory at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits on connections, by Kafka's keys.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// `max.connections`.
    pub(crate) total: usize,
    /// `max.connections.per.ip`.
    pub(crate) per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub(crate) overrides: HashMap<IpAddr, usize>,
}

/// Counts the open connections of a broker, over all listeners.
#[derive(Debug)]
pub(crate) struct Admission {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    limits: ConnectionLimits,
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Why a connection is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("max.connections ({0}) are open")]
    Total(usize),
    #[error("max.connections.per.ip ({limit}) are open from {ip}")]
    PerIp { ip: IpAddr, limit: usize },
}

/// An admitted connection; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(Open { limits, total: 0, by_ip: HashMap::new() }) })
    }

    /// Puts other limits in force. Connections that are open stay so.
    pub(crate) fn set_limits(&self, limits: ConnectionLimits) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).limits = limits;
    }

    /// Admits a connection from `ip`, or says which limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admitted, Refused> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = open.limits.overrides.get(&ip).copied().unwrap_or(open.limits.per_ip);
        if open.total >= open.limits.total {
            return Err(Refused::Total(open.limits.total));
        }
        if open.by_ip.get(&ip).copied().unwrap_or(0) >= limit {
            return Err(Refused::PerIp { ip, limit });
        }
        open.total += 1;
        *open.by_ip.entry(ip).or_default() += 1;
        Ok(Admitted { admission: Arc::clone(self), ip })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

/// Bytes of requests that may be in memory at once (`queued.max.request.bytes`): a connection that finds none left
/// stops reading, and its client is slowed by TCP.
///
/// One request at a time may go beyond. Without that, requests that are all read in part could wait for each other.
#[derive(Debug, Clone)]
pub(crate) struct RequestMemory {
    bytes: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
    total: usize,
}

/// The bytes that one request has taken; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct RequestBytes {
    bytes: Option<OwnedSemaphorePermit>,
    beyond: Option<OwnedSemaphorePermit>,
}

impl RequestMemory {
    pub(crate) fn new(total_bytes: u32) -> Self {
        let total = total_bytes as usize;
        Self { bytes: Arc::new(Semaphore::new(total)), beyond: Arc::new(Semaphore::new(1)), total }
    }

    /// The bytes that requests have taken, and those there are.
    pub(crate) fn used_and_total(&self) -> (usize, usize) {
        (self.total.saturating_sub(self.bytes.available_permits()), self.total)
    }

    /// Waits until `held` covers `size` bytes, or its request may go beyond the bound. May be dropped at any time.
    pub(crate) async fn reserve(&self, held: &mut RequestBytes, size: usize) {
        let have = held.bytes.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = size.min(self.total).saturating_sub(have);
        if missing == 0 || held.beyond.is_some() {
            return;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        // The semaphores are never closed, so there is always a permit in the end.
        tokio::select! {
            biased;
            Ok(more) = Arc::clone(&self.bytes).acquire_many_owned(missing) => match &mut held.bytes {
                Some(bytes) => bytes.merge(more),
                None => held.bytes = Some(more),
            },
            Ok(beyond) = Arc::clone(&self.beyond).acquire_owned() => held.beyond = Some(beyond),
            else => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_ip: usize) -> ConnectionLimits {
        ConnectionLimits { total, per_ip, overrides: HashMap::new() }
    }

    #[test]
    fn a_closed_connection_makes_room_for_another() {
        let admission = Admission::new(limits(10, 1));
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let first = admission.admit(ip).unwrap();
        assert_eq!(admission.admit(ip).unwrap_err(), Refused::PerIp { ip, limit: 1 });
        assert!(admission.admit("127.0.0.2".parse().unwrap()).is_ok());
        drop(first);
        assert!(admission.admit(ip).is_ok());
    }

    #[test]
    fn the_total_counts_over_addresses_and_overrides_replace_the_limit_by_address() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let mut with_override = limits(3, 1);
        with_override.overrides.insert(ip, 2);
        let admission = Admission::new(with_override);
        let _held = [admission.admit(ip).unwrap(), admission.admit(ip).unwrap()];
        let _third = admission.admit("127.0.0.2".parse().unwrap()).unwrap();
        assert_eq!(admission.admit("127.0.0.3".parse().unwrap()).unwrap_err(), Refused::Total(3));
    }

    #[test]
    fn limits_that_change_count_for_the_next_connection() {
        let admission = Admission::new(limits(1, 1));
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let _first = admission.admit(ip).unwrap();
        admission.set_limits(limits(2, 2));
        assert!(admission.admit(ip).is_ok());
    }

    #[tokio::test]
    async fn a_request_waits_until_others_give_their_bytes_back() {
        let memory = RequestMemory::new(100);
        let (mut first, mut second, mut third) = Default::default();
        memory.reserve(&mut first, 60).await;
        memory.reserve(&mut second, 1_000_000).await;
        assert!(second.beyond.is_some(), "one may go beyond, so that some request always ends");
        {
            let mut waits = Box::pin(memory.reserve(&mut third, 50));
            assert!(futures_util::poll!(&mut waits).is_pending());
            drop(first);
            assert!(futures_util::poll!(&mut waits).is_ready());
        }
        assert_eq!(third.bytes.map(|bytes| bytes.num_permits()), Some(50));
    }

    #[tokio::test]
    async fn a_request_that_grows_takes_only_what_it_lacks() {
        let memory = RequestMemory::new(100);
        let mut held = RequestBytes::default();
        for size in [10, 40, 30, 100] {
            memory.reserve(&mut held, size).await;
        }
        assert_eq!(memory.bytes.available_permits(), 0);
        drop(held);
        assert_eq!(memory.bytes.available_permits(), 100);
    }
}
