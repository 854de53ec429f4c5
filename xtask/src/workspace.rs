//! Where the project lies on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> Result<PathBuf> {
    // Cargo says where this crate lies now; the path baked in at build time would be that of the build.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own)
        .parent()
        .map(Path::to_path_buf)
        .with_context(|| format!("{} has no parent folder", Path::new(&own).display()))
}
