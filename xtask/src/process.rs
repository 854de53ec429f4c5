//! Running other programs, with errors that say what was missing or failed.

use std::{io::ErrorKind, process::Command};

use anyhow::{Context as _, Result, bail};

/// Runs `command` to its end. `purpose` says in an error what it was run for, and `install` what to do when the
/// program does not exist.
pub(crate) fn run(command: &mut Command, purpose: &str, install: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = match command.status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("cannot {purpose}: `{program}` is not on the PATH; {install}")
        }
        other => other.with_context(|| format!("cannot {purpose}: `{program}` did not start"))?,
    };
    if !status.success() {
        bail!("cannot {purpose}: `{program}` ended with {status}; its output above says why");
    }
    Ok(())
}
