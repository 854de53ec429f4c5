//! Connections: listeners and byte streams.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future of a network call. Data transfer does not box: it goes through [`Stream`]'s poll functions.
pub type NetFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A connected byte stream. Dropping it closes the connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The other side's address.
    fn peer(&self) -> SocketAddr;
}

/// A pipe in memory, whose other end is in the same process: for tests of what stands on connections.
impl Stream for tokio::io::DuplexStream {
    fn peer(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }
}

/// Accepts connections on one address.
pub trait Listener: Send + Sync + 'static {
    /// The address bound, with the port that the system chose where 0 was asked for.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection.
    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>>;
}

/// An address that is taken, and not listened on yet: who connects is refused.
pub trait BoundAddr: Send + Sync {
    /// The address, with the port that the system chose where 0 was asked for.
    fn local_addr(&self) -> SocketAddr;

    /// Begins to take connections. The error names the address: another process may have taken it too and have been
    /// quicker.
    ///
    /// # Errors
    /// What the system says.
    fn listen(self: Box<Self>) -> io::Result<Box<dyn Listener>>;
}

/// What a listener asks of the operating system, for itself and for the connections that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted. The system has a limit of its own.
    pub backlog: u32,
    /// The send buffer of each connection in bytes; `None` leaves it to the system, which adapts it.
    pub send_buffer_bytes: Option<u32>,
    /// The receive buffer of each connection in bytes; `None` leaves it to the system, which adapts it.
    pub receive_buffer_bytes: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, send_buffer_bytes: None, receive_buffer_bytes: None }
    }
}

/// Opens listeners and connections.
pub trait Net: Send + Sync + 'static {
    /// Takes `host:port`; without a host all addresses, of IPv6 and IPv4. The error names the address.
    fn bind<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        options: ListenOptions,
    ) -> NetFuture<'a, Box<dyn BoundAddr>>;

    /// Listens on `host:port`, as [`Self::bind`] takes it.
    fn listen<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        options: ListenOptions,
    ) -> NetFuture<'a, Box<dyn Listener>> {
        Box::pin(async move { self.bind(host, port, options).await?.listen() })
    }

    /// Connects to `host:port`, trying each of the host's addresses.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Stream>>;

    /// The name of this machine, for listeners that are on all of its addresses.
    fn hostname(&self) -> String;
}

/// TCP by the operating system, with `TCP_NODELAY`: requests and responses are written whole. And with `SO_KEEPALIVE`:
/// a peer that lost its power sends no end, and would otherwise be waited for as long as nothing is written to it.
#[derive(Debug, Clone, Copy)]
pub struct TcpNet;

struct TcpAddr {
    socket: socket2::Socket,
    host: String,
    local: SocketAddr,
    options: ListenOptions,
}

struct TcpListener {
    inner: tokio::net::TcpListener,
    local: SocketAddr,
    send_buffer_bytes: Option<u32>,
}

struct TcpStream {
    inner: tokio::net::TcpStream,
    peer: SocketAddr,
}

fn naming(what: &str, host: &str, port: u16, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {host}:{port}: {error}"))
}

impl TcpAddr {
    async fn bind(host: &str, port: u16, options: ListenOptions) -> io::Result<Self> {
        if !host.is_empty() {
            return Self::bind_host(host, port, options).await;
        }
        match Self::bind_to((Ipv6Addr::UNSPECIFIED, port).into(), true, options) {
            // A kernel may be without IPv6, or have it switched off.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                Self::bind_to((Ipv4Addr::UNSPECIFIED, port).into(), false, options)
            }
            bound => bound,
        }
    }

    async fn bind_host(host: &str, port: u16, options: ListenOptions) -> io::Result<Self> {
        let addr = tokio::net::lookup_host((host, port))
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))?;
        Self::bind_to(addr, false, options)
    }

    fn bind_to(addr: SocketAddr, both_families: bool, options: ListenOptions) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        // A restarted broker must not wait for its old connections to leave TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        if both_families {
            socket.set_only_v6(false)?;
        }
        // The window is agreed on before a connection is accepted, so it has to follow from the listener's buffer.
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(length(bytes))?;
        }
        socket.bind(&addr.into())?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket, host: addr.ip().to_string(), local, options })
    }

    fn listen_now(self) -> io::Result<TcpListener> {
        let Self { socket, local, options, .. } = self;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        let inner = tokio::net::TcpListener::from_std(socket.into())?;
        Ok(TcpListener { inner, local, send_buffer_bytes: options.send_buffer_bytes })
    }
}

impl BoundAddr for TcpAddr {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn listen(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        let (host, port) = (self.host.clone(), self.local.port());
        match self.listen_now() {
            Ok(listener) => Ok(Box::new(listener)),
            Err(error) => Err(naming("listen on", &host, port, &error)),
        }
    }
}

impl TcpListener {
    async fn accept(&self) -> io::Result<TcpStream> {
        let (inner, mut peer) = self.inner.accept().await?;
        // Who comes by IPv4 to a socket of both families is known by that address, as limits and messages need it.
        peer.set_ip(peer.ip().to_canonical());
        let stream = TcpStream::new(inner, peer)?;
        if let Some(bytes) = self.send_buffer_bytes {
            socket2::SockRef::from(&stream.inner).set_send_buffer_size(length(bytes))?;
        }
        Ok(stream)
    }
}

impl TcpStream {
    fn new(inner: tokio::net::TcpStream, peer: SocketAddr) -> io::Result<Self> {
        inner.set_nodelay(true)?;
        socket2::SockRef::from(&inner).set_keepalive(true)?;
        Ok(Self { inner, peer })
    }

    async fn connect(host: &str, port: u16) -> io::Result<Self> {
        let inner = tokio::net::TcpStream::connect((host, port)).await?;
        let peer = inner.peer_addr()?;
        Self::new(inner, peer)
    }
}

/// A buffer's length as the system call takes it: an int. The kernel cuts what is above its own limit.
fn length(bytes: u32) -> usize {
    usize::try_from(bytes.min(i32::MAX.unsigned_abs())).unwrap_or(usize::MAX)
}

impl Net for TcpNet {
    fn bind<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        options: ListenOptions,
    ) -> NetFuture<'a, Box<dyn BoundAddr>> {
        Box::pin(async move {
            match TcpAddr::bind(host, port, options).await {
                Ok(bound) => Ok(Box::new(bound) as Box<dyn BoundAddr>),
                Err(error) => Err(naming("listen on", host, port, &error)),
            }
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            match TcpStream::connect(host, port).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                Err(error) => Err(naming("connect to", host, port, &error)),
            }
        })
    }

    fn hostname(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>> {
        Box::pin(async move { Ok(Box::new(Self::accept(self).await?) as Box<dyn Stream>) })
    }
}

impl Stream for TcpStream {
    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

mod delegate {
    //! The byte traffic of [`TcpStream`], handed to tokio's.

    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::TcpStream;

    impl AsyncRead for TcpStream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for TcpStream {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.inner).poll_write(cx, buf)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn without_a_host_both_families_are_listened_to_and_peers_keep_their_addresses() {
        let listener = TcpNet.listen("", 0, ListenOptions::default()).await.unwrap();
        let local = listener.local_addr();
        assert!(local.ip().is_unspecified());
        let hosts: &[&str] = if local.is_ipv6() { &["127.0.0.1", "::1"] } else { &["127.0.0.1"] };
        for host in hosts {
            let (_near, far) =
                tokio::try_join!(TcpNet.connect(host, local.port()), listener.accept()).unwrap();
            assert_eq!(far.peer().ip().to_string(), *host);
        }
    }

    #[tokio::test]
    async fn bytes_travel_both_ways_and_a_closed_connection_reads_as_end() {
        let listener = TcpNet.listen("127.0.0.1", 0, ListenOptions::default()).await.unwrap();
        let port = listener.local_addr().port();
        let (mut near, mut far) =
            tokio::try_join!(TcpNet.connect("127.0.0.1", port), listener.accept()).unwrap();
        near.write_all(b"ping").await.unwrap();
        let mut four = [0; 4];
        far.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"ping");
        drop(far);
        assert_eq!(near.read(&mut four).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_connects_is_refused_until_the_address_is_listened_on() {
        let bound = TcpNet.bind("127.0.0.1", 0, ListenOptions::default()).await.unwrap();
        let port = bound.local_addr().port();
        for _ in 0..2 {
            let error = TcpNet.connect("127.0.0.1", port).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
        }
        let listener = bound.listen().unwrap();
        assert_eq!(listener.local_addr().port(), port);
        tokio::try_join!(TcpNet.connect("127.0.0.1", port), listener.accept()).unwrap();
    }

    #[tokio::test]
    async fn of_two_that_took_an_address_before_either_listened_the_second_is_told() {
        let first = TcpNet.bind("127.0.0.1", 0, ListenOptions::default()).await.unwrap();
        let port = first.local_addr().port();
        // A restarted broker takes an address that old connections still have, and so the system lets both have it.
        let Ok(second) = TcpNet.bind("127.0.0.1", port, ListenOptions::default()).await else { return };
        let _listening = first.listen().unwrap();
        let error = second.listen().err().unwrap();
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_in_the_error() {
        let listener = TcpNet.listen("127.0.0.1", 0, ListenOptions::default()).await.unwrap();
        let port = listener.local_addr().port();
        let error = TcpNet.listen("127.0.0.1", port, ListenOptions::default()).await.err().unwrap();
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }

    /// A connection, both sides of it.
    async fn connected(options: ListenOptions) -> (TcpStream, TcpStream) {
        let listener = TcpAddr::bind("127.0.0.1", 0, options).await.unwrap().listen_now().unwrap();
        tokio::try_join!(TcpStream::connect("127.0.0.1", listener.local.port()), listener.accept()).unwrap()
    }

    #[tokio::test]
    async fn both_sides_of_a_connection_notice_a_peer_that_vanished() {
        let (near, far) = connected(ListenOptions::default()).await;
        for side in [near, far] {
            assert!(socket2::SockRef::from(&side.inner).keepalive().unwrap());
        }
    }

    #[tokio::test]
    async fn accepted_connections_have_the_buffers_that_were_asked_for() {
        let sizes = |stream: &TcpStream| {
            let socket = socket2::SockRef::from(&stream.inner);
            (socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap())
        };
        let options = ListenOptions {
            send_buffer_bytes: Some(20_000),
            receive_buffer_bytes: Some(30_000),
            ..ListenOptions::default()
        };
        let asked = sizes(&connected(options).await.1);
        // Linux doubles what is asked for, to have room for its own bookkeeping.
        assert!([(20_000, 30_000), (40_000, 60_000)].contains(&asked), "{asked:?}");
        let (near, far) = connected(ListenOptions::default()).await;
        assert_eq!(sizes(&far).0, sizes(&near).0, "left to the system, as on the other side");
    }

    #[tokio::test]
    async fn no_more_connections_wait_than_the_backlog_says() {
        let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
        let listener = TcpAddr::bind("127.0.0.1", 0, options).await.unwrap().listen_now().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let connect = TcpStream::connect("127.0.0.1", listener.local.port());
            match tokio::time::timeout(std::time::Duration::from_millis(200), connect).await {
                Ok(stream) => waiting.push(stream.unwrap()),
                Err(_) => return,
            }
        }
        panic!("{} connections wait where one may", waiting.len());
    }
}
