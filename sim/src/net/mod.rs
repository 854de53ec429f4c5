//! A network in memory, behind [`ottla_env::Net`], on the timeline of a simulated world.
//!
//! Every machine has an address, and between every two there is a link for each direction: with a latency, a bandwidth,
//! losses, and a switch. On it run connections that behave as TCP's do:
//! - Connecting takes a round trip. Where nobody listens it is refused; where nobody answers (a cut link, a machine
//!   without power, a full backlog) the SYN is sent again after 1, 3, 7, ... seconds, and given up after 127.
//! - Bytes arrive in order and once. What was lost, or met a cut link, is sent again after a timeout that doubles, and
//!   holds up what was sent behind it; a partition delays, and does not break.
//! - What the peer has not acknowledged fills the sender's buffer, and what nobody reads fills the receiver's, until the
//!   writer has to wait.
//! - A closed connection reads as its end behind the last byte. One that was closed over unread bytes is reset, as is one
//!   whose peer's machine has started anew. A machine that lost its power says nothing: its peers wait.
//! - A paused process's kernel goes on: it accepts into the backlog, acknowledges, and fills the buffer.
//!
//! What is not here: congestion control, and packets. A segment is what one call wrote, or a part of it.
//!
//! [`SimNet`] steers it, [`SimNet::port`] is what a process on a node sees of it. Draws come from the seed, in the order of
//! the events.

mod connection;
mod dial;
mod handle;
mod link;
mod pipe;
mod port;
mod state;

pub use handle::SimNet;
pub use link::Quality;

#[cfg(test)]
mod tests;
