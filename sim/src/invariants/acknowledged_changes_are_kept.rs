//! Metadata: what administrators were told of their topics is what the log did to them, and it did nothing that nobody had
//! asked for.
//!
//! That the log keeps what it has is checked elsewhere, and that everybody has the same image of it.

use ottla_metadata::Image;
use ottla_types::TopicId;

use super::Violation;
use crate::cluster::{Asked, Call, Done, Story, Told};

const NAME: &str = "acknowledged_changes_are_kept";

/// Checks one name; `handed_on_again` is how often brokers handed requests on again, all in all.
///
/// # Errors
/// The violation.
pub fn check(name: &str, story: &Story, handed_on_again: u32, image: &Image) -> Result<(), Violation> {
    let violation = |what: String| {
        let events: Vec<String> = story.calls.iter().map(|call| format!("{call:?}")).collect();
        let done = story.done.iter().map(|done| format!("{done:?}"));
        Err(Violation::new(NAME, what).after(&events.into_iter().chain(done).collect::<Vec<_>>()))
    };
    for call in &story.calls {
        if !is_true(call, story) {
            return violation(format!("of the topic {name} was told what the log does not say: {call:?}"));
        }
    }
    let mut carried_out = vec![0; story.calls.len()];
    for (offset, done) in &story.done {
        let may_be = |nth: &usize| {
            let call = &story.calls[*nth];
            asks_for(call, done)
                && call.begun.end <= *offset
                && carried_out[*nth] < most_often(call, *offset, handed_on_again)
        };
        // What a call is about it does, if it does it, before what comes late does it.
        match (0..story.calls.len()).rev().find(may_be) {
            Some(nth) => carried_out[nth] += 1,
            None => {
                return violation(format!("nobody asked for what offset {offset} does to {name}: {done:?}"));
            }
        }
    }
    kept_as_created(name, story, image)
}

/// How often a call may have been carried out, if that is what the record at an offset does.
fn most_often(call: &Call, offset: i64, handed_on_again: u32) -> u32 {
    let Some((over, told)) = &call.over else { return 1 + call.asked_again + handed_on_again };
    // Once the client has asked again, the broker that it asked first goes on by itself.
    let until =
        if call.asked_again > 0 || *told == Told::Nothing { handed_on_again } else { over.handed_on_again };
    let again = call.asked_again + until.saturating_sub(call.begun.handed_on_again);
    let may_be_late = again > 0 || *told == Told::Nothing;
    if offset >= over.end && !may_be_late { 0 } else { 1 + again }
}

fn asks_for(call: &Call, done: &Done) -> bool {
    match (&call.asked, done) {
        (Asked::Create { .. }, Done::Created(_)) | (Asked::Delete, Done::Deleted(_)) => true,
        (Asked::Change(asked), Done::Changed(value)) => asked == value,
        _ => false,
    }
}

/// Whether the log says what was told, while the call lasted.
fn is_true(call: &Call, story: &Story) -> bool {
    let Some((over, told)) = &call.over else { return true };
    let meanwhile = || {
        let within = call.begun.end..over.end;
        story.done.iter().filter(move |(offset, _)| within.contains(offset)).map(|(_, done)| done)
    };
    let had_topic = || {
        let earlier = story.done.iter().take_while(|(offset, _)| *offset < call.begun.end);
        earlier.filter_map(|(_, done)| topic_after(done)).last().unwrap_or(false)
    };
    match (told, &call.asked) {
        (Told::Done(Some(id)), Asked::Create { .. }) => meanwhile().any(|done| *done == Done::Created(*id)),
        (Told::Done(_), _) => meanwhile().any(|done| asks_for(call, done)),
        (Told::Exists, _) => had_topic() || meanwhile().any(|done| topic_after(done) == Some(true)),
        (Told::Unknown, _) => !had_topic() || meanwhile().any(|done| topic_after(done) == Some(false)),
        (Told::Nothing, _) => true,
    }
}

/// Whether there is a topic afterwards, if that is what was changed.
fn topic_after(done: &Done) -> Option<bool> {
    match done {
        Done::Created(_) => Some(true),
        Done::Deleted(_) => Some(false),
        Done::Changed(_) => None,
    }
}

/// A topic that is there has as many partitions and replicas as some call asked for.
fn kept_as_created(name: &str, story: &Story, image: &Image) -> Result<(), Violation> {
    let Some(topic) = image.topic_by_name(name) else { return Ok(()) };
    let found =
        (topic.partition_count() as i32, topic.partition(0).map_or(0, |state| state.replicas.len() as i16));
    let told = |id: TopicId| {
        story.calls.iter().find(|call| matches!(&call.over, Some((_, Told::Done(Some(told)))) if *told == id))
    };
    let is_asked = |call: &Call| match call.asked {
        Asked::Create { partitions, replicas } => found == (partitions, replicas),
        _ => false,
    };
    let is_right = match told(topic.id) {
        Some(call) => is_asked(call),
        None => story.calls.iter().any(is_asked),
    };
    if is_right {
        return Ok(());
    }
    let what =
        format!("the topic {name} has (partitions, replicas) {found:?}, which nobody asked for: {story:?}");
    Err(Violation::new(NAME, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Moment;

    const ONE: TopicId = TopicId([1; 16]);
    const TWO: TopicId = TopicId([2; 16]);

    fn at(end: i64) -> Moment {
        Moment { end, handed_on_again: 0 }
    }

    fn call(asked: Asked, from: i64, to: i64, told: Told) -> Call {
        Call { asked, begun: at(from), over: Some((at(to), told)), asked_again: 0 }
    }

    fn create() -> Asked {
        Asked::Create { partitions: 1, replicas: 2 }
    }

    /// A topic is created at offset 3 and deleted at offset 7, as was told.
    fn story() -> Story {
        let calls =
            vec![call(create(), 2, 5, Told::Done(Some(ONE))), call(Asked::Delete, 6, 9, Told::Done(None))];
        Story { calls, done: vec![(3, Done::Created(ONE)), (7, Done::Deleted(ONE))] }
    }

    fn verdict(story: &Story) -> Result<(), Violation> {
        check("t", story, 0, &Image::default())
    }

    #[test]
    fn what_was_told_and_is_not_in_the_log_is_found() {
        verdict(&story()).unwrap();
        for nth in 0..2 {
            let mut lost = story();
            lost.done.remove(nth);
            assert!(verdict(&lost).is_err());
        }
        let mut other = story();
        other.done[0].1 = Done::Created(TWO);
        assert!(verdict(&other).is_err(), "it was told another id");
        let mut late = story();
        late.calls[0].over = Some((at(3), Told::Done(Some(ONE))));
        assert!(verdict(&late).is_err(), "it was told before it was done");
        let mut there = story();
        there.calls.push(call(Asked::Delete, 8, 9, Told::Unknown));
        verdict(&there).unwrap();
        there.calls.push(call(create(), 8, 9, Told::Exists));
        assert!(verdict(&there).is_err());
    }

    #[test]
    fn a_topic_may_be_back_only_if_it_was_asked_for_again_or_handed_on_again() {
        let mut back = story();
        back.done.push((9, Done::Created(TWO)));
        assert!(verdict(&back).unwrap_err().what.contains("nobody asked"));
        back.calls[0].asked_again = 1;
        verdict(&back).unwrap();
        back.done.extend([(10, Done::Deleted(TWO)), (11, Done::Created(ONE))]);
        assert!(verdict(&back).is_err(), "nobody asked for the second deletion");
        back.calls[0].asked_again = 0;
        back.done.truncate(3);
        back.calls[0].over = Some((Moment { end: 5, handed_on_again: 1 }, Told::Done(Some(ONE))));
        check("t", &back, 1, &Image::default()).unwrap();
    }

    #[test]
    fn a_topic_of_another_shape_is_found() {
        let image = crate::invariants::testing::image(&[1, 2], Some(1));
        let id = image.topic_by_name("t").unwrap().id;
        let mut there = Story {
            calls: vec![call(create(), 2, 5, Told::Done(Some(id)))],
            done: vec![(3, Done::Created(id))],
        };
        check("t", &there, 0, &image).unwrap();
        there.calls[0].asked = Asked::Create { partitions: 2, replicas: 2 };
        assert!(check("t", &there, 0, &image).is_err());
    }
}
