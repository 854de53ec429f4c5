//! The clients. To add one that is a library: its program in `interop/clients/`, and a line in [`all`]; one that is a
//! command: a file here that installs it and runs scenarios by name.

mod kafka_tools;
mod kcat;
mod library;

use std::path::Path;

use anyhow::Result;

use crate::{
    broker::Target,
    clients::library::{Language, Library},
    hands::Hands,
    scenario::Outcome,
    workshop::Workshop,
};

/// Whether a client can be used on this machine.
pub(crate) enum Presence {
    Ready,
    /// What is missing, and what to install.
    Missing(String),
}

/// An unchanged Kafka client.
pub(crate) trait Client: Send {
    fn name(&self) -> &'static str;

    /// Whether its scenarios are those on three brokers.
    fn is_on_three(&self) -> bool {
        false
    }

    /// Installs it, if that was not done before. An error is a failure of the run; a missing language is not.
    fn install(&mut self, workshop: &Workshop) -> Result<Presence>;

    /// Gets ready for scenarios against the broker or brokers. May be called again after `stop`.
    fn start(&mut self, target: &Target, logs: &Path) -> Result<()>;

    /// Runs one scenario. An error is a failure of that scenario.
    fn run(&mut self, scenario: &str) -> Result<Outcome>;

    /// What the scenario's script works with, for a client that goes by the script; `run` is for the others.
    fn hands(&mut self, _scenario: &str) -> Option<&mut Hands> {
        None
    }

    /// Ends what `start` began.
    fn stop(&mut self);
}

/// In the order in which they begin: those that take longest first, as several run at a time.
pub(crate) fn all() -> Vec<Box<dyn Client>> {
    vec![
        Box::<kcat::Kcat>::default(),
        Box::<kafka_tools::KafkaTools>::default(),
        Box::new(Library::scripted("kafka-clients", Language::Java)),
        Box::new(Library::on_three("kafka-clients-on-three", "kafka-clients", Language::Java)),
        Box::new(Library::telling("confluent-python", Language::Python)),
        Box::new(Library::telling("franz-go", Language::Go)),
        Box::new(Library::scripted("sarama", Language::Go)),
        Box::new(Library::scripted("kafka-python", Language::Python)),
        Box::new(Library::scripted("aiokafka", Language::Python)),
        Box::new(Library::scripted("kafkajs", Language::Node)),
    ]
}
