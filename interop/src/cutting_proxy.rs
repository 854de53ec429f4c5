//! A TCP proxy before the broker that cuts connections in their middle, by turns in two ways: within a request, so that
//! the broker never has it whole, and after a request, so that the broker has it but its answer is lost. The second is what
//! idempotent producers are for: they send the batch again, and the broker must know it.
//!
//! After a number of cuts it cuts no more, so that whoever goes on trying comes through.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

/// How many bytes a connection carries to the broker before it is cut; connections take these in turn.
const BUDGETS: [usize; 5] = [20_000, 33_000, 27_000, 61_000, 45_000];

/// How many connections are cut in all.
const MOST_CUTS: usize = 12;

/// How long an answer is waited for that is to be lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// It works until it is dropped.
pub(crate) struct CuttingProxy {
    address: SocketAddr,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    cuts: AtomicUsize,
    stopped: AtomicBool,
}

impl CuttingProxy {
    /// Takes a port; connections wait until [`start`](Self::start).
    pub(crate) fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        let address = listener.local_addr().context("a listener without address")?;
        Ok(Self { address, listener: Some(listener), shared: Arc::default() })
    }

    /// Begins to pass connections on to `target`.
    pub(crate) fn start(&mut self, target: SocketAddr) -> Result<()> {
        let listener = self.listener.take().context("the proxy is started already")?;
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that cannot be passed on is closed, as that of a broker that is down would be.
                if let Ok(client) = connection {
                    let _ = pass_on(client, target, &shared);
                }
            }
        });
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were cut so far.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; if that is gone already, so much the better.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn pass_on(client: TcpStream, target: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    let broker = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
    for stream in [&client, &broker] {
        stream.set_nodelay(true)?;
    }
    let link = Arc::new(Link { client, broker, answers_are_lost: AtomicBool::new(false) });
    let answers = Arc::clone(&link);
    thread::spawn(move || {
        let _ = answers.carry_answers();
        answers.cut();
    });
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let _ = link.carry_requests(&shared);
        link.cut();
    });
    Ok(())
}

/// One connection of a client, and the one to the broker that it is carried by.
struct Link {
    client: TcpStream,
    broker: TcpStream,
    answers_are_lost: AtomicBool,
}

impl Link {
    fn carry_answers(&self) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        loop {
            let count = (&self.broker).read(&mut buffer)?;
            if count == 0 || self.answers_are_lost.load(Ordering::SeqCst) {
                return Ok(());
            }
            (&self.client).write_all(&buffer[..count])?;
        }
    }

    fn carry_requests(&self, shared: &Shared) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        let mut carried = 0;
        loop {
            let count = (&self.client).read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let cuts = shared.cuts.load(Ordering::SeqCst);
            if carried + count < BUDGETS[cuts % BUDGETS.len()] || cuts >= MOST_CUTS {
                carried += count;
                (&self.broker).write_all(&buffer[..count])?;
                continue;
            }
            shared.cuts.fetch_add(1, Ordering::SeqCst);
            if cuts.is_multiple_of(2) {
                return (&self.broker).write_all(&buffer[..count / 2]);
            }
            return self.lose_an_answer(&buffer[..count]);
        }
    }

    /// Carries on until the broker answers: that answer is the one that is lost, and the other thread cuts.
    fn lose_an_answer(&self, first: &[u8]) -> io::Result<()> {
        self.answers_are_lost.store(true, Ordering::SeqCst);
        (&self.broker).write_all(first)?;
        self.client.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut buffer = [0; 16_384];
        loop {
            let count = (&self.client).read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            (&self.broker).write_all(&buffer[..count])?;
        }
    }

    fn cut(&self) {
        // One that is closed already needs no cut.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that answers each byte with a byte, and tells how many it had on each connection.
    fn echo() -> (SocketAddr, std::sync::mpsc::Receiver<usize>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, counts) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut buffer, mut total) = (stream.unwrap(), [0; 4096], 0);
                while let Ok(count) = stream.read(&mut buffer) {
                    total += count;
                    if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                if sender.send(total).is_err() {
                    return;
                }
            }
        });
        (address, counts)
    }

    #[test]
    fn connections_are_cut_by_turns_and_in_the_end_no_more() {
        let (target, counts) = echo();
        let mut proxy = CuttingProxy::listen().unwrap();
        proxy.start(target).unwrap();
        for cut in 0..MOST_CUTS {
            let mut stream = TcpStream::connect(proxy.address()).unwrap();
            let mut answered = 0;
            // One request at a time; the connection ends before the budget is spent twice.
            while answered <= 2 * BUDGETS[cut % BUDGETS.len()] {
                let mut answer = [0; 1000];
                if stream.write_all(&[7; 1000]).is_err() || stream.read_exact(&mut answer).is_err() {
                    break;
                }
                answered += answer.len();
            }
            assert_eq!(proxy.cuts(), cut + 1);
            assert!(counts.recv().unwrap() > answered, "the broker had no more than it answered");
        }
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.write_all(&[7; 100_000]).unwrap();
        let mut answer = vec![0; 100_000];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(proxy.cuts(), MOST_CUTS);
    }
}
