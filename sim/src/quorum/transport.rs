//! Messages between voters: a length and the bytes, over connections of the simulated network. An answer comes on the
//! connection of its request, and a connection carries one request at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla_broadcast::BoxFuture;
use ottla_broadcast::quorum::VoterEndpoint;
use ottla_broadcast::raft::Peers;
use ottla_env::{Listener, Net, Stream, process};
use ottla_types::BrokerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The largest message: a chunk of a snapshot, or many entries.
const MAX_BYTES: usize = 64 << 20;

type Connection = Box<dyn Stream>;

/// A voter's way to the others.
pub(super) struct Wires {
    net: Arc<dyn Net>,
    idle: Mutex<BTreeMap<BrokerId, Vec<Connection>>>,
}

impl Wires {
    pub(super) fn new(net: Arc<dyn Net>) -> Self {
        Self { net, idle: Mutex::default() }
    }

    fn idle(&self, to: BrokerId, then: impl FnOnce(&mut Vec<Connection>)) {
        then(self.idle.lock().unwrap_or_else(PoisonError::into_inner).entry(to).or_default());
    }

    async fn ask(&self, to: BrokerId, endpoints: &[VoterEndpoint], request: Bytes) -> io::Result<Bytes> {
        let mut found = None;
        self.idle(to, |idle| found = idle.pop());
        let mut connection = match (found, endpoints.first()) {
            (Some(connection), _) => connection,
            (None, Some(endpoint)) => self.net.connect(&endpoint.host, endpoint.port).await?,
            (None, None) => return Err(io::Error::new(io::ErrorKind::NotFound, "no endpoint is known")),
        };
        let answered = async {
            write(&mut connection, &request).await?;
            read(&mut connection).await
        };
        match answered.await {
            Ok(answer) => {
                self.idle(to, |idle| idle.push(connection));
                Ok(answer)
            }
            Err(error) => {
                // The others have most likely gone with it.
                self.idle(to, Vec::clear);
                Err(error)
            }
        }
    }
}

impl Peers for Wires {
    fn call(
        &self,
        to: BrokerId,
        endpoints: &[VoterEndpoint],
        request: Bytes,
    ) -> BoxFuture<'_, io::Result<Bytes>> {
        let endpoints = endpoints.to_vec();
        Box::pin(async move { self.ask(to, &endpoints, request).await })
    }
}

async fn write(stream: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    let mut frame = (bytes.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    stream.write_all(&frame).await
}

async fn read(stream: &mut Connection) -> io::Result<Bytes> {
    let len = stream.read_u32().await? as usize;
    if len > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {len} bytes")));
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}

/// Answers the requests of peers until the process ends.
pub(super) async fn serve<F>(
    listener: Box<dyn Listener>,
    answer: impl Fn(Bytes) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Bytes> + Send + 'static,
{
    while let Ok(mut stream) = listener.accept().await {
        let answer = answer.clone();
        process::spawn(async move {
            while let Ok(request) = read(&mut stream).await {
                let answer = answer(request).await;
                if write(&mut stream, &answer).await.is_err() {
                    break;
                }
            }
        });
    }
}
