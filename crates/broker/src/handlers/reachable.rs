//! Which brokers a client is told of: those that can be reached by the way that it came itself.

use std::sync::Arc;

use ottla_metadata::Image;
use ottla_metadata::image::Broker;
use ottla_metadata::record::Endpoint;

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
