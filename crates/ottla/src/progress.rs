//! What a person who waits sees on standard error: nothing at all where that is no terminal.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a counter turns.
const TICK: Duration = Duration::from_millis(200);

/// A bar up to `total`, under `what` is counted.
pub(crate) fn bar(total: u64, what: &'static str) -> ProgressBar {
    styled(ProgressBar::new(total), &format!("{{wide_bar}} {{human_pos}}/{{human_len}} {what} {{eta}}"))
}

/// A count without an end.
pub(crate) fn counter(what: &'static str) -> ProgressBar {
    styled(ProgressBar::no_length(), &format!("{{spinner}} {{human_pos}} {what} {{per_sec}} {{msg}}"))
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for template in
            ["{wide_bar} {human_pos}/{human_len} records {eta}", "{spinner} {human_pos} x {per_sec} {msg}"]
        {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
