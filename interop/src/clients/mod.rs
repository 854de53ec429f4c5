//! The clients, one file each. To add one: a file here that installs it and runs scenarios by name (through a
//! [`Driver`](crate::driver::Driver) if it is a library), and a line in [`all`].

mod confluent_python;
mod franz_go;
mod kafka_tools;
mod kcat;

use std::path::Path;

use anyhow::Result;

use crate::{scenario::Outcome, workshop::Workshop};

/// Whether a client can be used on this machine.
pub(crate) enum Presence {
    Ready,
    /// What is missing, and what to install.
    Missing(String),
}

/// An unchanged Kafka client.
pub(crate) trait Client {
    fn name(&self) -> &'static str;

    /// Installs it, if that was not done before. An error is a failure of the run; a missing language is not.
    fn install(&mut self, workshop: &Workshop) -> Result<Presence>;

    /// Gets ready for scenarios against the broker at `bootstrap`.
    fn start(&mut self, bootstrap: &str, logs: &Path) -> Result<()>;

    /// Runs one scenario. An error is a failure of that scenario.
    fn run(&mut self, scenario: &str) -> Result<Outcome>;

    /// Ends what `start` began.
    fn stop(&mut self);
}

/// In the order in which they run.
pub(crate) fn all() -> Vec<Box<dyn Client>> {
    vec![
        Box::<kcat::Kcat>::default(),
        Box::<confluent_python::ConfluentPython>::default(),
        Box::<franz_go::FranzGo>::default(),
        Box::<kafka_tools::KafkaTools>::default(),
    ]
}
