//! How a quorum is founded, once, and how a node finds its place in it: a pure machine, without I/O, clock or chance.
//! (KIP-853; the rule that an empty directory never votes.)
//!
//! - [`Bootstrap`] (`machine`): inputs in, effects out (`contract`); `peers`: which answers count.
//! - `checks`, [`problem`]: set-ups that cannot work, each with one error that says what to do.
//! - [`terms`]: what nodes tell each other; [`record`]: what each keeps in its directory.
//!
//! What is not here: connections, the messages' encoding, and the quorum itself ([`crate::raft`]).
//!
//! # The rules
//!
//! A *directory* has an id, made and stored before anybody is told: who loses its disk comes back as another directory.
//! A *founding* is the cluster's id and, for each listed voter, the directory that votes for it. A directory stores at most
//! one, for ever, and votes only once it has stored one that names it: until then the shell answers no message of Raft's.
//!
//! 1. The *founder* is the voter with the lowest id. With an empty directory it asks all listed voters until each has
//!    answered, under the same list. If one of them has a founding, the founder stores that one; only if all are empty it makes one.
//!    The cluster's id is its own proposal, unless log directories have data of a cluster already.
//! 2. Any other voter with an empty directory stores the founding that the founder tells, or that a node tells which knows that there
//!    was a leader. If the founding names its directory, it votes; otherwise it has lost one, joins as an observer, and is voted in again.
//! 3. A node that only joins (`controller.quorum.bootstrap.servers`) stores what a node tells that knows of a leader. It never votes by it.
//! 4. A node that was asked by a voter with a directory that it had not seen asking forgets that voter's answer, and takes none to an
//!    earlier probe: it may be of a directory that is lost. A voter that is about to store a founding answers nobody.
//! 5. A founding is told when it is durable. A node counts an answer only to its own last probe to that node.
//!
//! A voter with an empty directory whose founding is there already does vote, though others 'have state': it answered
//! *empty* before, its directory is still the one that answered, and it never voted. It is a voter that is late. Were it made an observer,
//! a founder that crashed the others' start would wait for votes that nobody may cast.
//!
//! # What ends a node
//!
//! Who looks for its place ends with the first set-up that cannot work: by what it is answered, and, for lists that disagree, by what
//! it is asked; so both nodes of two that disagree end, whichever asks first. It goes on to answer for as long as the shell lets it,
//! so that the third learns it too: what it says stays true. Who has its place warns of others, and ends only as long as it
//! has not seen a leader, and where it is itself what is wrong: another process is at its own address, more of the
//! nodes are of another cluster than of its own, the quorum removed it, or a majority of its voters' directories is lost.
//!
//! # Why nobody votes twice, and no two quorums are there
//!
//! What is assumed: fewer than half of the listed voters lose their disks before the lost ones are voted in again; all that
//! is told was stored before (rule 5); the list does not change before the quorum has a leader; an answer reaches only the
//! process that asked.
//!
//! *A directory votes by one founding*: it stores only one. *A lost directory's votes are not repeated*: the one that comes
//! instead has another id, and no founding names it that was made before, so it votes by none of them.
//!
//! *At most one founding ever has a majority of voters.* Foundings are made by directories of the founder, one after another,
//! as its disk is lost: a, a'. Say that a made F and a' makes F'. Then a is lost, and a' has the answer 'empty' from
//! each other voter. Take one of them, B. Before it answered it had been asked by a', and so (rule 4) takes no more
//! answers of a: those to its later probes are not a's, for a is lost. Nor was it about to store one of a's. So when a'
//! makes F', a directory that stored F is either lost, or stored it on the word of somebody who knew of a leader.
//! A leader of F needs a majority of directories that stored F, on the word of a: the first ones cannot have it
//! from a leader's. Fewer than half of the voters are ever lost, so one of them is not, and it answered a' with F, not
//! with 'empty'. So F had no leader, will have none, and everybody who stored it is lost. F' is the only one that is alive; and the founder
//! passes it on, whatever becomes of a' (rule 1), as long as anybody has it. By the same argument all that have stored a founding and are not lost have the same one:
//! so the log begins with the same entry on all of them, whoever is elected first.
//!
//! # Why it comes to an end
//!
//! Say that no more faults come, and all listed voters run. Each stores its directory's id, and answers.
//!
//! - Nobody has a founding: the founder hears so from each, or is told one, and stores one. The others ask it again and again, and are told.
//! - The founder has stored one and crashed before it told anybody: it reads it, and tells it. Others that crashed before they stored it
//!   read their directory's id, are still named by it, and ask again.
//! - The founder lost its disk: it is told the founding by anybody who has it, stores and passes it on without being one of its voters; if nobody
//!   has it, it makes another one.
//! - Another one lost its disk: a founding that was made before does not name it, so it observes. Those that it names and
//!   that are not lost are a majority: they elect a leader, which votes the observer in.
//! - One comes up much later: before a founding, all wait, and say for whom. After it, it is told by the founder, or, once
//!   there was a leader, by anybody.
//!
//! `model_tests` tries this: all interleavings of three nodes with faults to a depth, and random ones beyond.

mod checks;
mod contract;
mod machine;
#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod model_tests;
mod peers;
pub mod problem;
pub mod record;
#[cfg(test)]
mod script;
#[cfg(test)]
mod setup_tests;
pub mod terms;

pub use self::contract::{Config, Effect, Input, ProbeId, Quorum, Target, Timing};
pub use self::machine::Bootstrap;
pub use self::problem::{Problem, Silence, Warning};
pub use self::terms::{Address, Answer, ClusterId, Founding, FoundingVoter, Known, Leader, Question, Record};
