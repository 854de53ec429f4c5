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

/// Says on standard error what goes with the output and is no part of it.
pub(crate) fn remark(text: impl std::fmt::Display) {
    // As in `complain`.
    let _ = writeln!(io::stderr().lock(), "ottla: {}", printable(&text.to_string()));
}

/// Says on standard error why the command failed.
pub(crate) fn complain(error: &anyhow::Error) {
    let lines: Vec<String> = chain(error).lines().map(printable).collect();
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(io::stderr().lock(), "ottla: {}", lines.join("\n"));
}

/// The text as a terminal may be given it: what clients call themselves and their groups may hold any character, and a
/// terminal obeys some of them.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_hidden_order(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Whether the character changes the order in which others are shown, and shows nothing itself.
fn is_hidden_order(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A table without lines.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// One without rows, with these columns.
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(head.iter().copied());
        Self(table)
    }

    /// Adds a row of [printable](printable) cells.
    pub(crate) fn add_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| printable(cell.as_ref())));
    }

    /// As text, without a line's end behind it.
    pub(crate) fn text(&self) -> String {
        self.0.trim_fmt()
    }
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
    fn a_table_gives_the_terminal_no_orders() {
        let mut table = Table::new(&["group", "state"]);
        table.add_row(["evil\u{1b}[2J\r\n\u{202e}", "Grün"]);
        let lines: Vec<String> = table.text().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let cells: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(cells, [r"evil\u{1b}[2J\r\n\u{202e}", "Grün"]);
    }

    #[test]
    fn a_cause_that_is_told_already_is_not_told_again() {
        let held: anyhow::Result<()> = Err(anyhow::anyhow!("the lock file X is held"));
        let error =
            held.context("the metadata log: the lock file X is held").context("cannot start").unwrap_err();
        assert_eq!(chain(&error), "cannot start: the metadata log: the lock file X is held");
    }
}
