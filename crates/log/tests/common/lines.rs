//! What is written to the program's log meanwhile.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;

/// The lines that this thread writes while it lives.
pub struct Lines {
    written: Written,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Begins to keep them.
    pub fn capture() -> Self {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        Self { written, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Those that are written while `work` is done.
    pub async fn of(&self, work: impl Future<Output = ()>) -> String {
        self.written.0.lock().unwrap().clear();
        work.await;
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }
}
