//! A broker whose own log cannot be written goes on: often it is on the disk that just became full.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs::File;

use common::Server;

#[test]
fn requests_are_answered_while_nothing_more_can_be_logged() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let server = Server::start_logging_to(full);
    server.ok("topic create orders", "");
    server.ok("produce orders", "one\n");
    let read = server.ok("consume orders --group readers --from earliest --count 1", "");
    assert_eq!(read.trim_end(), "one");
    // It also ends in order, which a panic on the way would show.
    server.restart(&[]).assert_answers();
}
