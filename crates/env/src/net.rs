//! Connections: listeners and byte streams.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future of a network call. Data transfer does not box: it goes through [`Stream`]'s poll functions.
pub type NetFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A connected byte stream. Dropping it closes the connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The other side's address.
    fn peer(&self) -> SocketAddr;
}

/// Accepts connections on one address.
pub trait Listener: Send + Sync + 'static {
    /// The address bound, with the port that the system chose where 0 was asked for.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection.
    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>>;
}

/// Opens listeners and connections.
pub trait Net: Send + Sync + 'static {
    /// Listens on `host:port`. The error names the address.
    fn listen<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Listener>>;

    /// Connects to `host:port`, trying each of the host's addresses.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Stream>>;

    /// The name of this machine, for listeners that are on all of its addresses.
    fn hostname(&self) -> String;
}

/// TCP by the operating system, with `TCP_NODELAY`: requests and responses are written whole.
#[derive(Debug, Clone, Copy)]
pub struct TcpNet;

/// Connections that wait to be accepted, as Kafka's `socket.listen.backlog.size` and more: a burst must not be refused.
const BACKLOG: i32 = 1024;

struct TcpListener {
    inner: tokio::net::TcpListener,
    local: SocketAddr,
}

struct TcpStream {
    inner: tokio::net::TcpStream,
    peer: SocketAddr,
}

fn naming(what: &str, host: &str, port: u16, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {host}:{port}: {error}"))
}

impl Net for TcpNet {
    fn listen<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let bind = async {
                let addr = tokio::net::lookup_host((host, port))
                    .await?
                    .next()
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))?;
                let socket =
                    socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
                // A restarted broker must not wait for its old connections to leave TIME_WAIT.
                socket.set_reuse_address(true)?;
                socket.set_nonblocking(true)?;
                socket.bind(&addr.into())?;
                socket.listen(BACKLOG)?;
                let inner = tokio::net::TcpListener::from_std(socket.into())?;
                let local = inner.local_addr()?;
                Ok(Box::new(TcpListener { inner, local }) as Box<dyn Listener>)
            };
            bind.await.map_err(|e| naming("listen on", host, port, &e))
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> NetFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect((host, port))
                .await
                .map_err(|e| naming("connect to", host, port, &e))?;
            stream.set_nodelay(true)?;
            let peer = stream.peer_addr()?;
            Ok(Box::new(TcpStream { inner: stream, peer }) as Box<dyn Stream>)
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
        Box::pin(async move {
            let (inner, peer) = self.inner.accept().await?;
            inner.set_nodelay(true)?;
            Ok(Box::new(TcpStream { inner, peer }) as Box<dyn Stream>)
        })
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
    async fn bytes_travel_both_ways_and_a_closed_connection_reads_as_end() {
        let listener = TcpNet.listen("127.0.0.1", 0).await.unwrap();
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
    async fn an_address_in_use_is_named_in_the_error() {
        let listener = TcpNet.listen("127.0.0.1", 0).await.unwrap();
        let port = listener.local_addr().port();
        let error = TcpNet.listen("127.0.0.1", port).await.err().unwrap();
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }
}
