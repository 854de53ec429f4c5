//! What becomes of requests when the broker does not read them.

use ottla_wire::metadata::MetadataRequest;
use ottla_wire::{Request, RequestHeader, frame};

use super::*;

fn command(seconds: u64, has_answer: bool) -> (Command, oneshot::Receiver<Result<Bytes, Error>>) {
    let header = RequestHeader::new(ApiKey::Metadata, 9, 0);
    let frame = frame::encode_request(&header, &Request::from(MetadataRequest::default())).unwrap();
    let (answer, receiver) = oneshot::channel();
    let timeout = Duration::from_secs(seconds);
    let command = Command { frame, api: ApiKey::Metadata, correlation_id: 0, timeout, has_answer, answer };
    (command, receiver)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_runs_out_of_time_where_the_broker_reads_nothing() {
    let (near, _far) = tokio::io::duplex(4);
    let (commands, receiver) = mpsc::unbounded_channel();
    let broker: Address = "127.0.0.1:9092".parse().unwrap();
    let link = Link::new(broker, Box::new(near), 1000, receiver, Ended::default());
    let (first, first_answer) = command(30, false);
    let (second, second_answer) = command(5, false);
    let (third, third_answer) = command(60, true);
    for command in [first, second, third] {
        assert!(commands.send(command).is_ok());
    }
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(600), link.run()).await.expect("the link ends");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(matches!(second_answer.await.unwrap(), Err(Error::TimedOut { .. })));
    for other in [first_answer, third_answer] {
        assert!(matches!(other.await.unwrap(), Err(Error::Disconnected { .. })));
    }
}
