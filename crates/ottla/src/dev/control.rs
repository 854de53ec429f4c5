//! How a command in another terminal reaches the running cluster: one line of JSON there and one back, by a socket in the
//! cluster's folder. Who may write to the folder may use it.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::folder::{Folder, socket_in};

/// The longest line either way.
const LONGEST_LINE: u64 = 4096;

/// How long the one who connected may take to say what it wants.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait after a failed accept: descriptors have run out, most likely.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// How long the path of a socket may be: what holds everywhere, the end included.
const LONGEST_PATH: usize = 103;

/// What to do to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    Pause,
    Resume,
    Kill,
    Restart,
}

#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    order: Order,
    broker: i32,
}

/// What became of an order: what was done, or why not.
pub(super) type Outcome = Result<String, String>;

/// An order that waits for its outcome.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) order: Order,
    pub(super) broker: i32,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// Listens in a folder. Requests come until the receiver is dropped.
pub(super) fn serve(folder: &Folder) -> anyhow::Result<mpsc::Receiver<Request>> {
    let socket = folder.fresh_socket()?;
    check_length(&socket)?;
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("cannot make the socket {}", socket.display()))?;
    let (sender, receiver) = mpsc::channel(1);
    let next = move |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
    tokio::spawn(accept(next, sender));
    Ok(receiver)
}

/// Answers whoever connects, until nobody takes the requests any more.
async fn accept(
    mut next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<UnixStream>>,
    requests: mpsc::Sender<Request>,
) {
    let mut has_failed = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = requests.closed() => return,
            accepted = poll_fn(&mut next) => accepted,
        };
        match accepted {
            Ok(stream) => {
                has_failed = false;
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, requests).await {
                        tracing::warn!("a request on the control socket failed: {error:#}");
                    }
                });
            }
            Err(error) if is_lost(&error) => {
                tracing::warn!("the control socket is lost, and accepts nobody any more: {error}");
                return;
            }
            Err(error) => {
                // Told once: the cause may last for a while.
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::warn!("the control socket accepts nobody for now: {error}");
                }
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Whether the error is about the socket itself, and comes again each time. All others pass: descriptors are closed, memory
/// is freed, and who gave up connecting is gone.
fn is_lost(error: &io::Error) -> bool {
    let lost = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| lost.contains(&errno))
}

async fn answer(stream: UnixStream, requests: mpsc::Sender<Request>) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let asked =
        tokio::time::timeout(ASK_WITHIN, line(&mut stream)).await.context("nothing was asked in time")??;
    let outcome: Outcome = match serde_json::from_str::<Asked>(&asked) {
        Ok(Asked { order, broker }) => {
            let (reply, outcome) = oneshot::channel();
            let ended = || Err("the cluster is stopping".to_owned());
            match requests.send(Request { order, broker, reply }).await {
                Ok(()) => outcome.await.unwrap_or_else(|_| ended()),
                Err(_) => ended(),
            }
        }
        Err(error) => Err(format!("the request was not understood: {error}")),
    };
    let mut text = serde_json::to_vec(&outcome)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    Ok(())
}

/// Asks the cluster that runs in a folder.
pub(super) async fn ask(folder: &Path, order: Order, broker: i32) -> anyhow::Result<String> {
    let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let socket = socket_in(&shown);
    check_length(&socket)?;
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => bail!(
            "no cluster of `ottla dev` runs in {}: start one there, or name the folder of the one that runs with --data",
            shown.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", socket.display())),
    };
    let mut stream = BufReader::new(stream);
    let mut text = serde_json::to_vec(&Asked { order, broker })?;
    text.push(b'\n');
    stream.write_all(&text).await.context("the cluster ended before it was asked")?;
    let answer = line(&mut stream).await.context("the cluster ended before it answered")?;
    let outcome: Outcome =
        serde_json::from_str(&answer).context("the cluster's answer was not understood")?;
    outcome.map_err(anyhow::Error::msg)
}

async fn line(stream: &mut BufReader<UnixStream>) -> anyhow::Result<String> {
    let mut text = String::new();
    stream.take(LONGEST_LINE).read_line(&mut text).await?;
    if !text.ends_with('\n') {
        bail!("a line without an end");
    }
    Ok(text)
}

fn check_length(socket: &Path) -> anyhow::Result<()> {
    let length = socket.as_os_str().len();
    if length > LONGEST_PATH {
        bail!(
            "the path {} has {length} bytes, and a socket's may have {LONGEST_PATH}: name a folder with a shorter one \
             with --data",
            socket.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Accepts as it is told to, and then for ever nobody.
    fn accept_these(
        results: impl IntoIterator<Item = Result<UnixStream, Errno>>,
    ) -> (impl Future<Output = ()>, mpsc::Receiver<Request>) {
        let mut results: VecDeque<_> = results.into_iter().collect();
        let next = move |_: &mut Context<'_>| match results.pop_front() {
            Some(result) => Poll::Ready(result.map_err(io::Error::from)),
            None => Poll::Pending,
        };
        let (sender, requests) = mpsc::channel(1);
        (accept(next, sender), requests)
    }

    #[tokio::test]
    async fn when_descriptors_have_run_out_the_socket_is_there_again_once_there_are_some() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"{\"order\":\"pause\",\"broker\":2}\n").await.unwrap();
        let failures = [Errno::MFILE, Errno::CONNABORTED].map(Err);
        let (accepting, mut requests) = accept_these(failures.into_iter().chain([Ok(server)]));
        tokio::spawn(accepting);
        let request = requests.recv().await.expect("the socket is served");
        assert_eq!((request.order, request.broker), (Order::Pause, 2));
    }

    #[tokio::test]
    async fn a_socket_that_is_none_any_more_is_given_up() {
        let (accepting, _requests) = accept_these([Err(Errno::BADF)]);
        accepting.await;
    }
}
