//! What a broker checks of a request itself before it hands it on to the active controller (KIP-590).
//!
//! Kafka's brokers do so with changes of configurations (`ConfigAdminManager`): values of one broker are changed by asking
//! that broker (KIP-226), and only it knows that it was asked. All else the controller checks.

use ottla_types::BrokerId;
use ottla_wire::{Request, Response, alter_configs as legacy, incremental_alter_configs as incremental};

use super::{alter_configs, incremental_alter_configs};

/// What is to be handed on of a request.
pub(crate) enum HandOn {
    /// All of it, as it came.
    Whole,
    /// Nothing: this is the answer.
    Nothing(Response),
    /// This much, and the rest is refused here.
    Rest(Request, Refusals),
}

/// What is refused here, each in its place; the others are for the controller to answer.
pub(crate) enum Refusals {
    /// Of an AlterConfigs.
    Legacy(Vec<Option<legacy::AlterConfigsResourceResponse>>),
    /// Of an IncrementalAlterConfigs.
    Incremental(Vec<Option<incremental::AlterConfigsResourceResponse>>),
}

/// Checks a request that was made of this broker.
pub(crate) fn check(this: BrokerId, request: &Request) -> HandOn {
    match request {
        Request::AlterConfigs(request) => {
            let (rest, refused) = alter_configs::split(this, request);
            let count = rest.resources.len();
            part(count, rest, Refusals::Legacy(refused), legacy::AlterConfigsResponse::default())
        }
        Request::IncrementalAlterConfigs(request) => {
            let (rest, refused) = incremental_alter_configs::split(this, request);
            let count = rest.resources.len();
            let none = incremental::IncrementalAlterConfigsResponse::default();
            part(count, rest, Refusals::Incremental(refused), none)
        }
        _ => HandOn::Whole,
    }
}

fn part(left: usize, rest: impl Into<Request>, refused: Refusals, none: impl Into<Response>) -> HandOn {
    if left == 0 {
        HandOn::Nothing(refused.joined_with(none.into()))
    } else if left == refused.places() {
        HandOn::Whole
    } else {
        HandOn::Rest(rest.into(), refused)
    }
}

impl Refusals {
    fn places(&self) -> usize {
        match self {
            Self::Legacy(places) => places.len(),
            Self::Incremental(places) => places.len(),
        }
    }

    /// The answer to the whole request, from the controller's to the rest.
    pub(crate) fn joined_with(&self, response: Response) -> Response {
        match (self, response) {
            (Self::Legacy(places), Response::AlterConfigs(mut response)) => {
                response.responses = filled(places, response.responses);
                response.into()
            }
            (Self::Incremental(places), Response::IncrementalAlterConfigs(mut response)) => {
                response.responses = filled(places, response.responses);
                response.into()
            }
            (_, response) => response,
        }
    }
}

/// Puts what follows into the empty places.
fn filled<T: Clone>(places: &[Option<T>], others: Vec<T>) -> Vec<T> {
    let mut others = others.into_iter();
    places.iter().filter_map(|place| place.clone().or_else(|| others.next())).collect()
}

#[cfg(test)]
mod tests {
    use ottla_types::ErrorCode;
    use ottla_wire::create_topics::CreateTopicsRequest;

    use super::*;

    fn request(resources: &[(i8, &str)]) -> Request {
        let resource = |(kind, name): &(i8, &str)| incremental::AlterConfigsResource {
            resource_type: *kind,
            resource_name: (*name).into(),
            ..incremental::AlterConfigsResource::default()
        };
        incremental::IncrementalAlterConfigsRequest {
            resources: resources.iter().map(resource).collect(),
            validate_only: true,
            ..incremental::IncrementalAlterConfigsRequest::default()
        }
        .into()
    }

    fn answered(response: Response) -> Vec<(String, i16)> {
        let Response::IncrementalAlterConfigs(response) = response else { panic!("{response:?}") };
        response.responses.into_iter().map(|r| (r.resource_name.to_string(), r.error_code)).collect()
    }

    const THIS: BrokerId = BrokerId(1);
    fn refused() -> i16 {
        ErrorCode::InvalidRequest.code()
    }

    #[test]
    fn what_this_broker_has_nothing_against_goes_on_as_it_came() {
        let asked = request(&[(4, "1"), (4, ""), (2, "orders")]);
        assert!(matches!(check(THIS, &asked), HandOn::Whole));
        assert!(matches!(check(THIS, &CreateTopicsRequest::default().into()), HandOn::Whole));
    }

    #[test]
    fn another_brokers_values_are_refused_here_and_the_rest_goes_on() {
        let HandOn::Rest(rest, refusals) = check(THIS, &request(&[(2, "a"), (4, "2"), (2, "b")])) else {
            panic!("it goes on, or is answered, as a whole")
        };
        let Request::IncrementalAlterConfigs(rest) = rest else { panic!("{rest:?}") };
        assert!(rest.validate_only);
        let names: Vec<_> = rest.resources.iter().map(|r| &*r.resource_name).collect();
        assert_eq!(names, ["a", "b"]);
        let answer = |name: &str, error_code| incremental::AlterConfigsResourceResponse {
            resource_name: name.into(),
            error_code,
            ..incremental::AlterConfigsResourceResponse::default()
        };
        let controllers = incremental::IncrementalAlterConfigsResponse {
            responses: vec![answer("a", 0), answer("b", 3)],
            ..incremental::IncrementalAlterConfigsResponse::default()
        };
        let whole = answered(refusals.joined_with(controllers.into()));
        assert_eq!(whole, [("a".into(), 0), ("2".into(), refused()), ("b".into(), 3)]);
    }

    #[test]
    fn the_controller_is_not_asked_about_nothing() {
        let HandOn::Nothing(response) = check(THIS, &request(&[(4, "2"), (4, "3")])) else {
            panic!("something of it goes on")
        };
        assert_eq!(answered(response), [("2".into(), refused()), ("3".into(), refused())]);
    }
}
