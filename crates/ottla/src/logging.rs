//! What goes to standard error: events of `tracing`, by level and module.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The levels, and what turns logging off.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What the library of the metadata quorum says of itself: each missed heartbeat, many times a second while a node is
/// away. The broker tells of leaderships and of nodes that cannot be reached in its own words. A directive that names the
/// library, or a level below `info`, has it all.
const LIBRARIES: &str = "openraft=error";

/// Starts logging by `--log-level`, else by RUST_LOG, else at the command's own level.
pub(crate) fn start(asked: Option<&str>, otherwise: &str) -> anyhow::Result<()> {
    let variable = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let filter = match (asked, variable) {
        (Some(directives), _) => EnvFilter::try_new(without_libraries(directives))?,
        (None, Some(directives)) => EnvFilter::try_new(&directives).map_err(|error| {
            anyhow::anyhow!("the environment variable RUST_LOG is \"{directives}\": {error}")
        })?,
        (None, None) => EnvFilter::try_new(without_libraries(otherwise))?,
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

/// The directives, with [`LIBRARIES`] if they are a level alone and it is not one for looking at everything.
fn without_libraries(directives: &str) -> String {
    let is_usual = ["warn", "info"].iter().any(|level| level.eq_ignore_ascii_case(directives.trim()));
    if is_usual { format!("{directives},{LIBRARIES}") } else { directives.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_level_alone_leaves_out_what_libraries_say_of_themselves() {
        for (asked, effective) in [
            ("info", "info,openraft=error"),
            ("WARN", "WARN,openraft=error"),
            ("error", "error"),
            ("debug", "debug"),
            ("info,openraft=info", "info,openraft=info"),
        ] {
            assert_eq!(without_libraries(asked), effective);
            assert!(check(&without_libraries(asked)).is_ok());
        }
    }
}
