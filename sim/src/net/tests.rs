//! What the network does, one claim each.

use std::io;
use std::time::Duration;

use ottla_env::net::{ListenOptions, Listener, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::{Quality, SimNet};
use crate::engine::{self, NodeId, Timeline, Trace};
use crate::rng::SimRng;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const PORT: u16 = 9092;

/// Runs a test on a network of two machines.
fn on_two<F>(test: impl FnOnce(SimNet) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    engine::run(|timeline: Timeline| {
        let net = SimNet::new(SimRng::new(7), timeline, Trace::new(false));
        net.add_host(A, "a");
        net.add_host(B, "b");
        test(net)
    });
}

type Ends = (Box<dyn Stream>, Box<dyn Stream>, Box<dyn Listener>);

async fn listening(net: &SimNet, options: ListenOptions) -> Box<dyn Listener> {
    net.port(B).listen("", PORT, options).await.unwrap()
}

/// A connection from A to B, and B's listener.
async fn connected(net: &SimNet) -> Ends {
    connected_with(net, ListenOptions::default()).await
}

async fn connected_with(net: &SimNet, options: ListenOptions) -> Ends {
    let listener = listening(net, options).await;
    let port = net.port(A);
    let (near, far) = tokio::try_join!(port.connect("b", PORT), listener.accept()).unwrap();
    (near, far, listener)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn bytes_arrive_in_order_after_the_links_latency_and_peers_know_addresses() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        assert_eq!(near.peer().to_string(), "10.0.0.2:9092");
        assert_eq!(far.peer().ip().to_string(), "10.0.0.1");
        let quality = Quality { latency_us: 700..701, late_per_mille: 0, ..Quality::local() };
        net.set_usual(quality);
        let begin = Instant::now();
        let sent: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        near.write_all(&sent).await.unwrap();
        let mut read = vec![0; sent.len()];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(read, sent);
        let took = begin.elapsed().as_micros();
        assert!((700..800).contains(&took), "{took}");
    });
}

#[test]
fn who_connects_is_refused_after_a_round_trip_where_nobody_listens() {
    on_two(|net| async move {
        let begin = Instant::now();
        let error = net.port(A).connect("b", PORT).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(begin.elapsed() < Duration::from_millis(20));
        let bound = net.port(B).bind("b", PORT, ListenOptions::default()).await.unwrap();
        let error = net.port(A).connect("10.0.0.2", PORT).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "bound is not listening");
        let taken = net.port(B).bind("b", PORT, ListenOptions::default()).await.err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        net.port(B).bind("b", PORT, ListenOptions::default()).await.unwrap();
    });
}

#[test]
fn without_an_answer_the_syn_is_sent_again_and_given_up_after_two_minutes() {
    on_two(|net| async move {
        let _listener = listening(&net, ListenOptions::default()).await;
        net.power_off(B);
        let begin = Instant::now();
        let error = net.port(A).connect("b", PORT).await.err().unwrap();
        assert_eq!((error.kind(), begin.elapsed().as_secs()), (io::ErrorKind::TimedOut, 127));
    });
}

#[test]
fn a_syn_that_met_a_cut_link_succeeds_when_it_is_sent_again() {
    for direction in [(A, B), (B, A)] {
        on_two(move |net| async move {
            let _listener = listening(&net, ListenOptions::default()).await;
            net.cut(direction.0, direction.1);
            let (port, begin) = (net.port(A), Instant::now());
            let mend = async {
                tokio::time::sleep(seconds(2)).await;
                net.mend(direction.0, direction.1);
            };
            let (connected, ()) = tokio::join!(port.connect("b", PORT), mend);
            connected.unwrap();
            assert_eq!(begin.elapsed().as_secs(), 3);
        });
    }
}

#[test]
fn no_more_connections_wait_than_the_backlog_says() {
    on_two(|net| async move {
        let listener = listening(&net, ListenOptions { backlog: 1, ..ListenOptions::default() }).await;
        let port = net.port(A);
        let _first = port.connect("b", PORT).await.unwrap();
        let _second = port.connect("b", PORT).await.unwrap();
        assert!(timeout(seconds(20), port.connect("b", PORT)).await.is_err());
        let third = async {
            let begin = Instant::now();
            (port.connect("b", PORT).await, begin.elapsed().as_secs())
        };
        let (third, _accepted) = tokio::join!(third, listener.accept());
        assert!(third.0.is_ok());
    });
}

#[test]
fn a_connection_that_was_given_up_reads_as_its_end_at_the_other_side() {
    on_two(|net| async move {
        let listener = listening(&net, ListenOptions::default()).await;
        net.set_quality(B, A, Quality { latency_us: 5_000_000..5_000_001, ..Quality::local() });
        let port = net.port(A);
        assert!(timeout(seconds(1), port.connect("b", PORT)).await.is_err());
        let mut far = listener.accept().await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        drop(far);
        assert_eq!(net.connections(), 0);
    });
}

#[test]
fn a_closed_connection_reads_as_its_end_behind_the_last_byte() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        near.write_all(&[5; 100_000]).await.unwrap();
        drop(near);
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 100_000);
    });
}

#[test]
fn what_is_written_to_a_closed_connection_is_answered_with_a_reset() {
    on_two(|net| async move {
        let (near, mut far, _listener) = connected(&net).await;
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
        far.write_all(b"too late").await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        let error = far.write_all(b"now it is known").await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_connection_closed_over_unread_bytes_is_reset() {
    on_two(|net| async move {
        let (mut near, far, _listener) = connected(&net).await;
        near.write_all(b"never read").await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        drop(far);
        let error = near.read(&mut [0; 8]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn half_a_connection_can_be_shut_down() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        far.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!((&read[..], &answer), (&b"question"[..], b"answer"));
        assert_eq!(near.write_all(b"?").await.err().unwrap().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_waits_while_nobody_reads_and_goes_on_when_somebody_does() {
    on_two(|net| async move {
        let options = ListenOptions { receive_buffer_bytes: Some(10_000), ..ListenOptions::default() };
        let (mut near, mut far, _listener) = connected_with(&net, options).await;
        let mut written = 0;
        while let Ok(result) = timeout(seconds(5), near.write(&[1; 1_000])).await {
            written += result.unwrap();
        }
        assert_eq!(written, (256 << 10) + 10_000, "both buffers are full");
        let mut read = vec![0; 200_000];
        let (more, all) = tokio::join!(near.write_all(&[2; 100_000]), far.read_exact(&mut read));
        more.unwrap();
        all.unwrap();
    });
}

#[test]
fn a_cut_link_delays_what_was_sent_and_breaks_nothing() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        net.cut(A, B);
        near.write_all(b"one").await.unwrap();
        // The other direction works.
        far.write_all(b"two").await.unwrap();
        let mut three = [0; 3];
        timeout(seconds(1), near.read_exact(&mut three)).await.unwrap().unwrap();
        assert_eq!(&three, b"two");
        assert!(timeout(seconds(4), far.read_exact(&mut three)).await.is_err());
        net.mend(A, B);
        let begin = Instant::now();
        far.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"one");
        // It was sent again after 0.2, 0.6, 1.4 and 3 seconds, and next after 6.2.
        assert!((1..=3).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    });
}

#[test]
fn without_acknowledgements_the_senders_buffer_fills_though_bytes_arrive() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        net.cut(B, A);
        let drain = async {
            let mut read = vec![0; 1 << 20];
            let mut total = 0;
            while let Ok(len) = timeout(seconds(60), far.read(&mut read)).await {
                total += len.unwrap();
            }
            total
        };
        let fill = async {
            let mut total = 0;
            while let Ok(len) = timeout(seconds(10), near.write(&[0; 10_000])).await {
                total += len.unwrap();
            }
            total
        };
        let (read, written) = tokio::join!(drain, fill);
        assert_eq!((read, written), (256 << 10, 256 << 10));
        net.heal();
        timeout(seconds(120), near.write_all(b"more")).await.unwrap().unwrap();
    });
}

#[test]
fn lost_segments_are_sent_again_and_hold_up_what_is_behind_them() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        net.set_usual(Quality { loss_per_mille: 300, ..Quality::local() });
        let sent: Vec<u8> = (0..60_000_u32).map(|n| (n / 7) as u8).collect();
        for chunk in sent.chunks(1_000) {
            near.write_all(chunk).await.unwrap();
        }
        let begin = Instant::now();
        let mut read = vec![0; sent.len()];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(read, sent);
        assert!(begin.elapsed() > Duration::from_millis(2));
    });
}

#[test]
fn a_slow_link_takes_the_time_that_its_bandwidth_says() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        net.set_quality(A, B, Quality { bytes_per_ms: Some(100), ..Quality::local() });
        let begin = Instant::now();
        near.write_all(&[0; 50_000]).await.unwrap();
        far.read_exact(&mut [0; 50_000]).await.unwrap();
        let took = begin.elapsed().as_millis();
        assert!((500..510).contains(&took), "{took}");
    });
}

#[test]
fn a_machine_that_lost_its_power_says_nothing_until_it_is_back_and_then_resets() {
    on_two(|net| async move {
        let (mut near, far, _listener) = connected(&net).await;
        net.power_off(B);
        drop(far);
        let mut byte = [0];
        assert!(timeout(seconds(600), near.read(&mut byte)).await.is_err(), "half-open");
        net.power_on(B);
        assert!(timeout(seconds(600), near.read(&mut byte)).await.is_err(), "nobody has told it");
        near.write_all(b"hello").await.unwrap();
        let error = near.read(&mut byte).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn connections_that_nobody_accepted_are_reset_with_their_listener() {
    on_two(|net| async move {
        let listener = listening(&net, ListenOptions::default()).await;
        let mut near = net.port(A).connect("b", PORT).await.unwrap();
        drop(listener);
        let error = near.read(&mut [0; 8]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = net.port(A).connect("b", PORT).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connections_can_be_reset_from_outside() {
    on_two(|net| async move {
        let (mut near, mut far, _listener) = connected(&net).await;
        net.reset(B, A);
        for end in [&mut near, &mut far] {
            let error = end.read(&mut [0; 8]).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn connections_that_both_sides_closed_leave_nothing_behind() {
    on_two(|net| async move {
        for _ in 0..3 {
            let (near, far, listener) = connected(&net).await;
            drop((near, far, listener));
        }
        assert_eq!(net.connections(), 0);
    });
}
