//! How a command in another terminal reaches the running cluster: one line of JSON there and one back, by a socket in the
//! cluster's folder. Who may write to the folder may use it.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::folder::{Folder, socket_in};

/// The longest line either way.
const LONGEST_LINE: u64 = 4096;

/// How long the one who connected may take to say what it wants.
const ASK_WITHIN: Duration = Duration::from_secs(5);

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
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                biased;
                () = sender.closed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, sender).await {
                            tracing::warn!("a request on the control socket failed: {error:#}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("the control socket accepts nobody: {error}");
                    return;
                }
            }
        }
    });
    Ok(receiver)
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
