//! What a person who waits sees on standard error: nothing at all where that is no terminal.

use std::fmt::Write;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// How often a counter turns.
const TICK: Duration = Duration::from_millis(200);

/// A bar up to `total`.
pub(crate) fn bar(total: u64, what: &str) -> ProgressBar {
    styled(ProgressBar::new(total), &bar_template(what))
}

/// A count without an end.
pub(crate) fn counter(what: &str) -> ProgressBar {
    styled(ProgressBar::no_length(), &counter_template(what))
}

fn bar_template(what: &str) -> String {
    format!("{{wide_bar}} {{human_pos}}/{{human_len}} {what} {{eta}}")
}

fn counter_template(what: &str) -> String {
    format!("{{spinner}} {{human_pos}} {what}, {{rate}}")
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // The line is drawn anew in a moment, and there is nobody to tell.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
    }
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for template in [bar_template("records"), counter_template("records")] {
            assert!(ProgressStyle::with_template(&template).is_ok(), "{template}");
        }
    }
}
