//! The network as a process sees it: [`Net`], and what it opens.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use ottla_env::net::{BoundAddr, ListenOptions, Listener, Net, NetFuture, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Side;
use super::dial::USUAL_BUFFER;
use super::handle::SimNet;
use super::state::{ConnId, DialId, Listening, State};
use crate::engine::NodeId;

/// A machine's network.
pub(super) struct Port {
    pub(super) net: SimNet,
    pub(super) node: NodeId,
}

fn naming(what: &str, host: &str, port: u16, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {host}:{port}: {error}"))
}

impl Port {
    fn bind_now(&self, host: &str, port: u16, options: ListenOptions) -> io::Result<SimBound> {
        self.net.0.with(|state| {
            let is_any = host.is_empty() || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
            if !is_any && state.resolve(self.node, host)? != self.node {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
            let this = state.host_mut(self.node);
            let port = if port == 0 { this.free_port() } else { port };
            if !this.bound.insert(port) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let ip = match host.parse::<IpAddr>() {
                Ok(ip) => ip,
                Err(_) if host.is_empty() => Ipv4Addr::UNSPECIFIED.into(),
                Err(_) => this.ip.into(),
            };
            let claim = Claim { net: self.net.clone(), node: self.node, boot: this.boot, port };
            Ok(SimBound { claim, local: (ip, port).into(), options })
        })
    }
}

impl Net for Port {
    fn bind<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        options: ListenOptions,
    ) -> NetFuture<'a, Box<dyn BoundAddr>> {
        Box::pin(async move {
            match self.bind_now(host, port, options) {
                Ok(bound) => Ok(Box::new(bound) as Box<dyn BoundAddr>),
                Err(error) => Err(naming("listen on", host, port, &error)),
            }
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let dialled = self.net.0.with(|state| {
                let target = state.resolve(self.node, host)?;
                Ok::<_, io::Error>((state.dial(self.node, target, port), state.host(target).ip))
            });
            let connected = match dialled {
                Ok((dial, ip)) => {
                    Dialling { net: self.net.clone(), dial: Some(dial) }.connect((ip, port)).await
                }
                Err(error) => Err(error),
            };
            match connected {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                Err(error) => Err(naming("connect to", host, port, &error)),
            }
        })
    }

    fn hostname(&self) -> String {
        self.net.0.with(|state| state.host(self.node).name.clone())
    }
}

/// An attempt to connect, which is given up when it is dropped.
struct Dialling {
    net: SimNet,
    dial: Option<DialId>,
}

impl Dialling {
    async fn connect(mut self, peer: (Ipv4Addr, u16)) -> io::Result<SimStream> {
        let Some(dial) = self.dial else { return Err(io::ErrorKind::NotConnected.into()) };
        let conn = poll_fn(|cx| self.net.0.with(|state| state.poll_dial(dial, cx))).await;
        self.dial = None;
        Ok(SimStream { net: self.net.clone(), conn: conn?, side: 0, peer: peer.into() })
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        if let Some(dial) = self.dial {
            self.net.0.with(|state| state.hang_up(dial));
        }
    }
}

/// A port that a process holds.
struct Claim {
    net: SimNet,
    node: NodeId,
    boot: u64,
    port: u16,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.net.0.with(|state| {
            let host = state.host_mut(self.node);
            // After a loss of power the port may be another process's.
            if host.boot != self.boot {
                return;
            }
            host.bound.remove(&self.port);
            let waiting = host.listening.remove(&self.port).map(|listening| listening.waiting);
            for conn in waiting.into_iter().flatten() {
                state.refuse(conn);
            }
        });
    }
}

impl State {
    /// A connection was not accepted before its listener was closed.
    fn refuse(&mut self, conn: ConnId) {
        self.send_reset(conn, 1);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.ends[1].is_reset = true;
        }
        self.close(conn, 1);
    }
}

struct SimBound {
    claim: Claim,
    local: SocketAddr,
    options: ListenOptions,
}

fn limit(bytes: Option<u32>) -> usize {
    bytes.map_or(USUAL_BUFFER, |bytes| bytes.max(1_024) as usize)
}

impl BoundAddr for SimBound {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn listen(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        let Self { claim, local, options } = *self;
        let listening = Listening {
            backlog: options.backlog as usize,
            send_limit: limit(options.send_buffer_bytes),
            receive_limit: limit(options.receive_buffer_bytes),
            waiting: Default::default(),
            acceptor: None,
        };
        claim.net.0.with(|state| state.host_mut(claim.node).listening.insert(claim.port, listening));
        Ok(Box::new(SimListener { claim, local }))
    }
}

struct SimListener {
    claim: Claim,
    local: SocketAddr,
}

impl Listener for SimListener {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>> {
        let Claim { net, node, boot: _, port } = &self.claim;
        Box::pin(poll_fn(move |cx| {
            let accepted = net.0.with(|state| {
                let listening = state.host_mut(*node).listening.get_mut(port)?;
                let Some(conn) = listening.waiting.pop_front() else {
                    listening.acceptor = Some(cx.waker().clone());
                    return None;
                };
                let peer = state.connections.get(&conn).map(|connection| connection.ends[0].addr)?;
                Some(SimStream { net: net.clone(), conn, side: 1, peer })
            });
            match accepted {
                Some(stream) => Poll::Ready(Ok(Box::new(stream) as Box<dyn Stream>)),
                None => Poll::Pending,
            }
        }))
    }
}

/// One end of a connection.
struct SimStream {
    net: SimNet,
    conn: ConnId,
    side: Side,
    peer: SocketAddr,
}

impl Stream for SimStream {
    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let limit = buf.remaining();
        if limit == 0 {
            return Poll::Ready(Ok(()));
        }
        let polled = self.net.0.with(|state| state.poll_read(self.conn, self.side, limit, cx));
        polled.map_ok(|bytes| buf.put_slice(&bytes))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.net.0.with(|state| state.poll_write(self.conn, self.side, bufs, cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.0.with(|state| state.shut_down(self.conn, self.side));
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.net.0.with(|state| state.close(self.conn, self.side));
    }
}
