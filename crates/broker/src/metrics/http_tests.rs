//! Claims about connections that misbehave, in time that the test moves.

use ottla_env::Stream;
use ottla_env::net::NetFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{Mutex, mpsc};

use super::*;

/// Serves a connection that has a place to itself.
async fn serve_alone(server: DuplexStream) -> Result<(), String> {
    let place = Places::new(1).take().unwrap();
    serve(server, &Monitor::default(), &place).await
}

/// A connection that was served: what the client read after writing `sent`, and how it ended for the server.
async fn exchange(sent: &[u8]) -> (String, Result<(), String>) {
    let (mut client, server) = duplex(64 << 10);
    client.write_all(sent).await.unwrap();
    let served = serve_alone(server).await;
    (read(&mut client).await, served)
}

const GET_METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

async fn read(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_its_request_slowly_is_cut_off() {
    let (mut client, server) = duplex(64 << 10);
    let began = Instant::now();
    let dripping = async {
        // One more header each second, for ever: the connection never rests, and the request never ends.
        client.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        while client.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (served, ()) = tokio::join!(serve_alone(server), dripping);
    assert!(served.is_err());
    let took = began.elapsed();
    assert!((REQUEST_PATIENCE..=REQUEST_PATIENCE + Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_cut_off() {
    let (_client, server) = duplex(1024);
    let began = Instant::now();
    assert!(serve_alone(server).await.is_err());
    assert!(began.elapsed() <= REQUEST_PATIENCE + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let (mut client, server) = duplex(100);
    let began = Instant::now();
    let asking = async { client.write_all(GET_METRICS).await.unwrap() };
    let (served, ()) = tokio::join!(serve_alone(server), asking);
    assert!(served.is_err());
    assert!(began.elapsed() <= READER_PATIENCE + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answer_slowly_has_time_for_it_and_not_for_ever() {
    for (pause_ms, has_time) in [(10, true), (9_000, false)] {
        let (mut client, server) = duplex(100);
        let reading = async {
            client.write_all(GET_METRICS).await.unwrap();
            let mut some = [0; 50];
            while client.read(&mut some).await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        };
        let (served, ()) = tokio::join!(serve_alone(server), reading);
        let expected =
            if has_time { Ok(()) } else { Err(format!("it took longer than {CONNECTION_PATIENCE:?}")) };
        assert_eq!(served, expected);
    }
}

/// Accepts what it is sent.
struct Accepts(Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

impl Listener for Accepts {
    fn local_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 2).into()
    }

    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>> {
        Box::pin(async {
            let accepted = self.0.lock().await.recv().await;
            accepted.map(|stream| Box::new(stream) as _).ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_take_their_answers_keep_no_prober_out() {
    let (connect, connections) = mpsc::unbounded_channel();
    let listener = Box::new(Accepts(Mutex::new(connections)));
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(HttpServer { listener, monitor: Arc::default() }.run(stopped));
    let mut slow = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        let (mut client, server) = duplex(100);
        connect.send(server).unwrap();
        client.write_all(GET_METRICS).await.unwrap();
        // Its answer has begun, and does not fit in.
        assert_eq!(client.read_u8().await.unwrap(), b'H');
        slow.push(client);
    }
    let began = Instant::now();
    for _ in 0..3 {
        let (mut client, server) = duplex(64 << 10);
        connect.send(server).unwrap();
        client.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let health = read(&mut client).await;
        assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody had to wait for it");
    assert!(!read(&mut slow[0]).await.ends_with("# EOF\n"), "the first one gave way");
    assert!(read(&mut slow[1]).await.ends_with("# EOF\n"), "the others did not, once there was a place");
}

#[tokio::test(start_paused = true)]
async fn headers_without_end_are_refused_before_they_take_memory() {
    let header = format!("x: {}\r\n", "y".repeat(1000));
    let sent = format!("GET /health HTTP/1.1\r\n{}", header.repeat(20));
    let (text, _) = exchange(sent.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_and_closed() {
    for garbage in
        [&b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\r\n\r\n"[..], b"GET\r\n\r\n", b"\x16\x03\x01\x02\0\r\n\r\n"]
    {
        let (text, served) = exchange(garbage).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{text}");
        assert!(served.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_starts_is_live_and_not_ready_and_tells_of_its_process() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let (health, _) = exchange(get("/health").as_bytes()).await;
    assert!(health.starts_with("HTTP/1.1 503 ") && health.contains("\"status\":\"starting\""), "{health}");
    let (live, _) = exchange(get("/health/live").as_bytes()).await;
    assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
    let (metrics, _) = exchange(get("/metrics").as_bytes()).await;
    assert!(metrics.contains("\nkafka_server_kafkaserver_brokerstate 1\n"), "{metrics}");
    assert!(metrics.contains("\nprocess_resident_memory_bytes "), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}
