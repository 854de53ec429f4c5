//! Which brokers a client is told of: those that can be reached by the way that it came itself; and which of them it is to
//! ask for administration.

use std::sync::Arc;

use ottla_metadata::Image;
use ottla_metadata::image::Broker;
use ottla_metadata::record::Endpoint;
use ottla_types::BrokerId;

use crate::broker::Core;

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

/// The broker to send administrative requests to, among those that a client is told of: the active controller if it is
/// there, and else the broker that answers, which hands on what it is asked. -1 if neither can be reached.
///
/// Kafka names any broker. Who asks the controller itself spares a hop, and a person learns who it is.
pub(super) fn controller_among(core: &Core, told: &[i32]) -> i32 {
    first_told([core.metadata.controller_id(), core.node_id], told)
}

fn first_told(wanted: [BrokerId; 2], told: &[i32]) -> i32 {
    wanted.into_iter().map(|id| id.0).find(|id| told.contains(id)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_that_is_named_is_one_that_the_client_has_an_address_of() {
        let named = |told: &[i32]| first_told([BrokerId(3), BrokerId(1)], told);
        assert_eq!(named(&[1, 2, 3]), 3);
        assert_eq!(named(&[1, 2]), 1);
        assert_eq!(named(&[2]), -1);
    }
}
