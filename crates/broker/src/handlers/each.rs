//! Requests about several things that each stand for themselves: one that is refused here never reaches the
//! controller, and does not keep the others from it.

use std::collections::BTreeSet;

use ottla_metadata::controller::Refused;
use ottla_metadata::{Controller, Decision};
use ottla_types::ErrorCode;
use ottla_wire::Str;

use crate::broker::Core;

/// Has the controller decide on what passed the checks. The answers are in the order of the request, the refusals
/// among them.
pub(super) async fn decide_each<C, A>(
    core: &Core,
    checked: Vec<Result<C, Refused>>,
    decide: impl FnOnce(&mut Controller, Vec<C>) -> Decision<Vec<Result<A, Refused>>> + Send,
) -> Vec<Result<A, Refused>>
where
    C: Send,
    A: Send,
{
    let mut wanted = Vec::new();
    let mut refusals = Vec::with_capacity(checked.len());
    for item in checked {
        refusals.push(item.map(|item| wanted.push(item)).err());
    }
    let count = wanted.len();
    let decided = if wanted.is_empty() {
        Vec::new()
    } else {
        match core.change(|controller| decide(controller, wanted)).await {
            Ok(answers) => answers,
            Err(refused) => (0..count).map(|_| Err(refused.clone())).collect(),
        }
    };
    merge(refusals, decided)
}

/// Puts answers in the places that have no refusal.
fn merge<A>(refusals: Vec<Option<Refused>>, answers: Vec<Result<A, Refused>>) -> Vec<Result<A, Refused>> {
    let mut answers = answers.into_iter();
    let mut next = || {
        answers
            .next()
            .unwrap_or_else(|| Err(refuse(ErrorCode::UnknownServerError, "The controller gave no answer.")))
    };
    refusals.into_iter().map(|refusal| refusal.map_or_else(&mut next, Err)).collect()
}

/// Checks what is asked for topics, which have names. One that is named twice is there once, and refused.
pub(super) fn once_by_name<T, C>(
    topics: Vec<T>,
    name_of: impl Fn(&T) -> &Str,
    check: impl Fn(T) -> Result<C, Refused>,
) -> Vec<(Str, Result<C, Refused>)> {
    let repeated = repeated(topics.iter().map(|topic| name_of(topic).clone()));
    let mut answered = BTreeSet::new();
    let mut checked = Vec::with_capacity(topics.len());
    for topic in topics {
        let name = name_of(&topic).clone();
        let outcome = if repeated.contains(&name) {
            if !answered.insert(name.clone()) {
                continue;
            }
            Err(invalid_request("Duplicate topic name."))
        } else {
            check(topic)
        };
        checked.push((name, outcome));
    }
    checked
}

/// What is there more than once.
pub(super) fn repeated<T: Ord + Clone>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    let mut again = BTreeSet::new();
    for item in items {
        if !seen.insert(item.clone()) {
            again.insert(item);
        }
    }
    again
}

pub(super) fn refuse(error: ErrorCode, message: impl Into<String>) -> Refused {
    Refused { error, message: message.into() }
}

pub(super) fn invalid_request(message: impl Into<String>) -> Refused {
    refuse(ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_the_order_of_the_request_around_refusals() {
        let refusals = vec![None, Some(invalid_request("twice")), None];
        let answers = vec![Ok(1), Err(invalid_request("no"))];
        let expected = vec![Ok(1), Err(invalid_request("twice")), Err(invalid_request("no"))];
        assert_eq!(merge(refusals, answers), expected);
    }

    #[test]
    fn only_what_comes_again_is_repeated() {
        assert_eq!(repeated(["a", "b", "a", "c", "a"]), BTreeSet::from(["a"]));
    }
}
