//! Claims about connections, against a service whose answers the test gives.

use std::collections::HashMap;
use std::sync::Mutex;

use ottla_env::net::{ListenOptions, Net as _, TcpNet};
use tokio::sync::oneshot;

use super::super::limits::{Admission, ConnectionLimits};
use super::super::responses::ResponseMemory;

use super::*;

/// Requests are single letters. Capitals are answered at once, small letters when the test says so, `.` never.
#[derive(Default)]
struct Letters {
    seen: Mutex<String>,
    held: Mutex<Vec<(char, oneshot::Sender<()>)>>,
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

fn reply(letter: char) -> Handled {
    Handled::Now(vec![Bytes::from(framed(&[letter as u8]))])
}

impl Service for Letters {
    async fn call<'a>(&'a self, _: &'a Peer, frame: Bytes, _: Instant) -> Handled {
        let letter = char::from(frame[0]);
        self.seen.lock().unwrap().push(letter);
        match letter {
            '.' => Handled::Silent,
            '!' => Handled::Close("as asked".into()),
            'A'..='Z' => reply(letter),
            _ => {
                let (release, released) = oneshot::channel();
                self.held.lock().unwrap().push((letter, release));
                Handled::Later(Box::pin(async move {
                    released.await.unwrap();
                    reply(letter)
                }))
            }
        }
    }
}

struct Rig {
    client: Box<dyn Stream>,
    service: Arc<Letters>,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<Ended>,
}

async fn rig(settings: ConnectionSettings) -> Rig {
    let listener = TcpNet.listen("127.0.0.1", 0, ListenOptions::default()).await.unwrap();
    let port = listener.local_addr().port();
    let (client, server) = tokio::try_join!(TcpNet.connect("127.0.0.1", port), listener.accept()).unwrap();
    rig_on(client, server, settings)
}

/// A connection that is no socket, so that time can be the test's: it stands unless all that is here waits for it.
fn piped_rig(settings: ConnectionSettings) -> Rig {
    let (client, server) = tokio::io::duplex(1000);
    rig_on(Box::new(client), Box::new(server), settings)
}

fn rig_on(client: Box<dyn Stream>, server: Box<dyn Stream>, settings: ConnectionSettings) -> Rig {
    let service = Arc::new(Letters::default());
    let (stop, stopped) = watch::channel(false);
    let peer =
        Peer { address: server.peer(), listener: "PLAINTEXT".into(), principal: Principal::anonymous() };
    let served = Arc::clone(&service);
    let shared = shared(served, settings, ResponseMemory::new(1 << 20), stopped);
    let ended = tokio::spawn(async move { serve(server, peer, shared).await });
    Rig { client, service, stop, ended }
}

fn shared<S>(
    service: Arc<S>,
    settings: ConnectionSettings,
    responses: ResponseMemory,
    stop: watch::Receiver<bool>,
) -> Shared<S> {
    Shared {
        service,
        admission: Admission::new(ConnectionLimits { total: 1, per_ip: 1, overrides: HashMap::new() }),
        memory: RequestMemory::new(1 << 20),
        responses,
        settings: Arc::new(settings),
        traffic: Arc::default(),
        stop,
    }
}

fn settings() -> ConnectionSettings {
    ConnectionSettings { max_request_bytes: 100, max_idle: Duration::from_secs(600) }
}

impl Rig {
    async fn send(&mut self, letters: &str) {
        let bytes: Vec<u8> = letters.bytes().flat_map(|letter| framed(&[letter])).collect();
        self.client.write_all(&bytes).await.unwrap();
    }

    async fn receive(&mut self, count: usize) -> String {
        let mut letters = String::new();
        for _ in 0..count {
            let mut frame = [0; 5];
            self.client.read_exact(&mut frame).await.unwrap();
            letters.push(char::from(frame[4]));
        }
        letters
    }

    async fn until_seen(&self, letters: &str) {
        while *self.service.seen.lock().unwrap() != letters {
            tokio::task::yield_now().await;
        }
    }

    fn release(&self, letter: char) {
        let mut held = self.service.held.lock().unwrap();
        let at = held.iter().position(|(held, _)| *held == letter).unwrap();
        held.remove(at).1.send(()).unwrap();
    }
}

#[tokio::test]
async fn requests_take_effect_while_earlier_answers_are_awaited_and_answers_keep_their_order() {
    let mut rig = rig(settings()).await;
    rig.send("aBc.D").await;
    rig.until_seen("aBc.D").await;
    rig.release('c');
    rig.release('a');
    assert_eq!(rig.receive(4).await, "aBcD");
}

#[tokio::test]
async fn an_answer_that_is_ready_does_not_wait_for_one_behind_it() {
    let mut rig = rig(settings()).await;
    rig.send("Ab").await;
    assert_eq!(rig.receive(1).await, "A");
    rig.release('b');
    assert_eq!(rig.receive(1).await, "b");
}

#[tokio::test]
async fn a_request_over_the_limit_ends_the_connection_and_says_so() {
    let mut rig = rig(settings()).await;
    rig.client.write_all(&101_u32.to_be_bytes()).await.unwrap();
    let ended = rig.ended.await.unwrap();
    assert!(
        ended.to_string().contains("larger than the 100 that are allowed (socket.request.max.bytes"),
        "{ended}"
    );
}

#[tokio::test]
async fn a_service_that_cannot_go_on_ends_the_connection() {
    let mut rig = rig(settings()).await;
    rig.send("A!").await;
    assert_eq!(rig.receive(1).await, "A", "what was answered before goes out");
    assert!(matches!(rig.ended.await.unwrap(), Ended::Protocol(_)));
}

#[tokio::test]
async fn a_closed_client_and_a_stopping_broker_end_it() {
    let rig_one = rig(settings()).await;
    drop(rig_one.client);
    assert!(matches!(rig_one.ended.await.unwrap(), Ended::ByPeer));
    let mut rig_two = rig(settings()).await;
    rig_two.send("w").await;
    rig_two.until_seen("w").await;
    rig_two.stop.send(true).unwrap();
    assert!(matches!(rig_two.ended.await.unwrap(), Ended::Stopping));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_but_not_one_that_waits_for_its_answer() {
    let begun = Instant::now();
    let idle = piped_rig(settings());
    assert!(matches!(idle.ended.await.unwrap(), Ended::Idle(_)));
    assert_eq!(begun.elapsed().as_secs(), settings().max_idle.as_secs());
    let mut busy = piped_rig(settings());
    busy.send("w").await;
    busy.until_seen("w").await;
    // The timer that would close the connection fires several times.
    tokio::time::sleep(5 * settings().max_idle).await;
    assert!(!busy.ended.is_finished());
    busy.release('w');
    assert_eq!(busy.receive(1).await, "w");
}

#[tokio::test]
async fn an_answer_that_is_not_read_counts_until_the_connection_ends() {
    let responses = ResponseMemory::new(8 << 20);
    let free = responses.allowance();
    let listener = TcpNet.listen("127.0.0.1", 0, ottla_env::net::ListenOptions::default()).await.unwrap();
    let port = listener.local_addr().port();
    let (mut client, server) =
        tokio::try_join!(TcpNet.connect("127.0.0.1", port), listener.accept()).unwrap();
    let peer =
        Peer { address: server.peer(), listener: "PLAINTEXT".into(), principal: Principal::anonymous() };
    let (_stop, stopped) = watch::channel(false);
    let shared = shared(Arc::new(Large), settings(), responses.clone(), stopped);
    let ended = tokio::spawn(async move { serve(server, peer, shared).await });
    client.write_all(&framed(b"x")).await.unwrap();
    while responses.allowance() == free {
        tokio::task::yield_now().await;
    }
    drop(client);
    ended.await.unwrap();
    assert_eq!(responses.allowance(), free);
}

/// Answers with more than sockets take at once.
struct Large;

impl Service for Large {
    async fn call<'a>(&'a self, _: &'a Peer, _: Bytes, _: Instant) -> Handled {
        Handled::Now(vec![Bytes::from(vec![0; 16 << 20])])
    }
}
