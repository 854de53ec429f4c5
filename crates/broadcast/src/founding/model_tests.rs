//! Three nodes, their disks and what is on its way between them, in every order that there is: to a depth, and at random
//! beyond. Nodes crash, restart and lose at most one disk; probes and answers are lost, late, and come twice.

mod world;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use self::world::{Action, Message, NODES, World};

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The founder does not wait for all answers.
    FoundByMajority,
    /// Each voter makes a founding of its own.
    EverybodyFounds,
    /// A founding is told before it is durable.
    TellBeforeStored,
    /// An answer counts though the directory that gave it may be lost.
    KeepAnswersOfLostDirectories,
    /// The shell votes before the founding is durable.
    VoteBeforeStored,
    /// The shell gives a new directory the id of the lost one.
    KeepDirectoryId,
}

/// Tries all orders to a depth, from three nodes on that begin to ask. The number of states, or what went wrong and how it came to it.
fn try_all(sabotage: Option<Sabotage>, depth: usize) -> Result<usize, String> {
    let mut first = World::new(sabotage, 1, 0);
    first.losses_on_the_wire = 0;
    for at in 0..NODES {
        first.act(Action::Start(at))?;
        if first.nodes[at].storing.is_some() {
            first.act(Action::Stored(at))?;
        }
    }
    let mut seen = HashMap::new();
    try_from(&first, depth, &mut Vec::new(), &mut seen)?;
    Ok(seen.len())
}

/// Depth first, so that only one path of worlds is in memory at a time. `seen` has how many steps were left, at most, where a
/// state was come to.
fn try_from(
    world: &World,
    left: usize,
    path: &mut Vec<Action>,
    seen: &mut HashMap<u64, usize>,
) -> Result<(), String> {
    let Some(left) = left.checked_sub(1) else { return Ok(()) };
    for action in world.actions() {
        let mut after = world.clone();
        path.push(action);
        after.act(action).map_err(|error| format!("{error} after {path:?}"))?;
        let mut hasher = DefaultHasher::new();
        format!("{after:?}").hash(&mut hasher);
        let known = seen.get(&hasher.finish()).copied();
        if known.is_none_or(|known| known < left) {
            seen.insert(hasher.finish(), left);
            if known.is_none() {
                after.clone().come_to_rest().map_err(|error| format!("{error} after {path:?}"))?;
            }
            try_from(&after, left, path, seen)?;
        }
        path.pop();
    }
    Ok(())
}

/// Walks at random, and rests at the end.
fn walk(sabotage: Option<Sabotage>, seed: u64) -> Result<(), String> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % limit
    };
    let mut world = World::new(sabotage, 1 + (seed % 4) as u8, 2 + (seed % 11) as u8);
    let mut path = Vec::new();
    for _ in 0..below(120) {
        let actions = world.actions();
        if actions.is_empty() {
            break;
        }
        // Two of three steps carry a message. In every third walk the newest goes first, and the others are late; in every
        // third the oldest, so that much is done in few steps.
        let action = match (seed % 3, world.wire.len(), below(12)) {
            (1, 1.., 4..) => Action::Deliver(world.wire.len() - 1 - below(world.wire.len().min(2))),
            (2, 1.., 4..) => Action::Deliver(below(world.wire.len().min(2))),
            _ => {
                let others = actions.iter().filter(|action| !matches!(action, Action::Deliver(_)));
                let others: Vec<Action> = others.copied().collect();
                let of = if seed.is_multiple_of(3) || others.is_empty() { &actions } else { &others };
                of[below(of.len())]
            }
        };
        path.push(action);
        world.act(action).map_err(|error| format!("{error} after {path:?} (seed {seed})"))?;
    }
    world.come_to_rest().map_err(|error| format!("{error} after {path:?} (seed {seed})"))
}

#[test]
fn in_every_order_to_a_depth_one_quorum_is_founded_and_nobody_votes_twice() {
    let states = try_all(None, 5).unwrap();
    println!("{states} states");
    assert!(states > 1_000, "{states} states");
}

#[test]
fn in_long_random_orders_one_quorum_is_founded_and_nobody_votes_twice() {
    for seed in 0..10_000 {
        walk(None, seed).unwrap();
    }
}

#[test]
fn each_broken_rule_is_found() {
    for sabotage in [
        Sabotage::FoundByMajority,
        Sabotage::EverybodyFounds,
        Sabotage::TellBeforeStored,
        Sabotage::VoteBeforeStored,
        Sabotage::KeepDirectoryId,
    ] {
        let found = (0..100_000).find_map(|seed| Some((seed, walk(Some(sabotage), seed).err()?)));
        let (seed, error) = found.unwrap_or_else(|| panic!("{sabotage:?} is not found"));
        println!("{sabotage:?}, seed {seed}: {error}");
    }
}

/// The founder's word is on its way to the second node when the founder loses its disk and founds again.
fn founder_is_replaced_while_its_word_is_late(sabotage: Option<Sabotage>) -> Result<(), String> {
    let mut world = World::new(sabotage, 2, 1);
    for at in 0..NODES {
        world.act(Action::Start(at))?;
        world.act(Action::Stored(at))?;
    }
    let is_late = |message: &Message| match message {
        Message::Answer { to: 1, answer: Some(answer), .. } => answer.founding.is_some(),
        _ => false,
    };
    let deliver_others = |world: &mut World| {
        while let Some(at) = world.wire.iter().position(|message| !is_late(message)) {
            world.act(Action::Deliver(at))?;
        }
        Ok::<(), String>(())
    };
    deliver_others(&mut world)?;
    world.act(Action::Stored(0))?;
    world.act(Action::Tick(1))?;
    deliver_others(&mut world)?;
    assert!(world.wire.iter().any(is_late), "{world:?}");
    world.act(Action::Replace(0))?;
    deliver_others(&mut world)?;
    assert!(world.nodes[0].storing.is_some(), "it founds again: {world:?}");
    world.act(Action::Stored(0))?;
    while !world.wire.is_empty() {
        world.act(Action::Deliver(0))?;
    }
    if world.nodes[1].storing.is_some() {
        world.act(Action::Stored(1))?;
    }
    world.come_to_rest()
}

#[test]
fn the_late_word_of_a_founder_that_lost_its_disk_founds_nothing_beside_the_new_quorum() {
    founder_is_replaced_while_its_word_is_late(None).unwrap();
    let broken = Some(Sabotage::KeepAnswersOfLostDirectories);
    let error = founder_is_replaced_while_its_word_is_late(broken).unwrap_err();
    assert!(error.contains("two foundings at once"), "{error}");
}
