//! Ctrl-C ends a measurement early, and what was measured is told all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::ctrl_c;

/// Whether somebody has asked to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to Ctrl-C from now on. A second one ends the program at once.
    pub(super) fn on_ctrl_c() -> Self {
        let stop = Self::default();
        let told = stop.clone();
        tokio::spawn(async move {
            if ctrl_c().await.is_ok() {
                told.0.store(true, Ordering::Relaxed);
            }
            if ctrl_c().await.is_ok() {
                std::process::exit(1);
            }
        });
        stop
    }

    /// Whether it is time to stop.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
