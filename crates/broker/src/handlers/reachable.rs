//! Which brokers a client is told of: those that can be reached by the way that it came itself; and which of them it is to
//! ask for administration.

use std::sync::Arc;

use ottla_metadata::Image;
use ottla_metadata::image::Broker;
use ottla_metadata::record::Endpoint;
use ottla_types::BrokerId;

/// The brokers that have a listener of this name, with its address.
pub(super) fn reachable<'a>(
    image: &'a Image,
    listener: &'a str,
) -> impl Iterator<Item = (&'a Arc<Broker>, &'a Endpoint)> {
    image.brokers().filter_map(move |broker| {
        let endpoints = &broker.registration.endpoints;
        Some((broker, endpoints.iter().find(|endpoint| &*endpoint.listener == listener)?))
    })
}

/// The broker to send administrative requests to, among those that a client is told of: the broker that answers, which hands
/// on what it is asked (KIP-590), or any other if it cannot be reached itself. -1 if none can.
///
/// It is not the active controller, although that would spare a hop: who has changed something through this broker sees it
/// here at once, and comes here again.
pub(super) fn controller_among(this: BrokerId, told: &[i32]) -> i32 {
    if told.contains(&this.0) { this.0 } else { told.first().copied().unwrap_or(-1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_that_answers_takes_administrative_requests_if_it_can_be_reached() {
        assert_eq!(controller_among(BrokerId(2), &[1, 2, 3]), 2);
        assert_eq!(controller_among(BrokerId(2), &[1, 3]), 1);
        assert_eq!(controller_among(BrokerId(2), &[]), -1);
    }
}
