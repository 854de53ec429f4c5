//! A stream that knows whether the client takes what is written: it tells the connection's place, and fails when nothing is
//! taken for too long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::places::{Place, WaitsFor};

/// The stream of a connection.
pub(super) struct Watched<'a, S> {
    stream: S,
    place: &'a Place,
    patience: Duration,
    /// Runs while there is something to write and nothing is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<'a, S> Watched<'a, S> {
    pub(super) fn new(stream: S, place: &'a Place, patience: Duration) -> Self {
        Self { stream, place, patience, stalled: None }
    }

    /// Takes note of what came of a write.
    fn note(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.place.note(WaitsFor::Answer);
            }
            return written;
        }
        let patience = self.patience;
        let place = self.place;
        let stalled = self.stalled.get_or_insert_with(|| {
            place.note(WaitsFor::Reader);
            Box::pin(tokio::time::sleep(patience))
        });
        ready!(stalled.as_mut().poll(cx));
        let reason = format!("the client took nothing of its answer for {patience:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.note(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
