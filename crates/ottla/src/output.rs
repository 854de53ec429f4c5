//! Standard output, and the last words on standard error.

use std::io::{self, Write as _};

/// Writes lines to standard output at once.
pub(crate) fn say(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a value as JSON to standard output.
pub(crate) fn say_json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Says on standard error why the command failed.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(io::stderr().lock(), "ottla: {}", chain(error));
}

/// The error and its causes, without those that are told in the words before them.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Whether the command failed because nobody reads its output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_that_is_told_already_is_not_told_again() {
        let held: anyhow::Result<()> = Err(anyhow::anyhow!("the lock file X is held"));
        let error =
            held.context("the metadata log: the lock file X is held").context("cannot start").unwrap_err();
        assert_eq!(chain(&error), "cannot start: the metadata log: the lock file X is held");
    }
}
