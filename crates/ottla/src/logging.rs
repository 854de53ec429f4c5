//! What goes to standard error: events of `tracing`, by level and module.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The levels, and what turns logging off.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Starts logging by `--log-level`, else by RUST_LOG, else at the command's own level.
pub(crate) fn start(asked: Option<&str>, otherwise: &str) -> anyhow::Result<()> {
    let variable = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let filter = match (asked, variable) {
        (Some(directives), _) => EnvFilter::try_new(directives)?,
        (None, Some(directives)) => EnvFilter::try_new(&directives).map_err(|error| {
            anyhow::anyhow!("the environment variable RUST_LOG is \"{directives}\": {error}")
        })?,
        (None, None) => EnvFilter::try_new(otherwise)?,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // They are printed to standard error as well, and that panics when it is what cannot be written.
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// Checks the value of `--log-level`.
pub(crate) fn check(directives: &str) -> Result<String, String> {
    // The filter takes a lone word for the name of a module, and a mistyped level would go unnoticed.
    for word in directives.split(',').map(str::trim).filter(|part| !part.contains(['=', '['])) {
        if !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            return Err(format!(
                "{word:?} is no level: expected one of {}, or module=level",
                LEVELS.join(", ")
            ));
        }
    }
    match EnvFilter::try_new(directives) {
        Ok(_) => Ok(directives.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
