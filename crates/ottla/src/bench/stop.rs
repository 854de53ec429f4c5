//! Ctrl-C ends a measurement early: what was measured is told all the same, and no topic is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody has asked to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to Ctrl-C from now on. A second one ends the program at once.
    pub(super) fn on_ctrl_c() -> anyhow::Result<Self> {
        let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
        let stop = Self::default();
        let told = stop.clone();
        tokio::spawn(async move {
            interrupts.recv().await;
            told.0.store(true, Ordering::Relaxed);
            interrupts.recv().await;
            std::process::exit(1);
        });
        Ok(stop)
    }

    /// Whether it is time to stop.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
