//! How long a Rust file may be, and the list of those that are longer.
//!
//! The list can only shrink: an entry holds the file's exact length, so a file that grows fails, and one that shrinks
//! takes its entry down with it.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::{Context as _, Result};

use super::{Problem, tree::TextFile};

/// The most lines of a Rust file. Around 400 is comfortable; near this one, look for the seam.
const MOST_LINES: usize = 700;

/// The list: a path and a number of lines on each line, `#` for comments.
pub(super) const EXEMPTIONS: &str = "xtask/tidy-exemptions.txt";

/// An entry of the list.
struct Exemption {
    line: usize,
    lines: usize,
}

pub(super) fn check(root: &Path, files: &[TextFile]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let exemptions = read(root, &mut problems)?;
    let lengths: BTreeMap<String, usize> = files
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| (file.path.to_string_lossy().into_owned(), file.lines().count()))
        .collect();
    for (path, &lines) in &lengths {
        if lines > MOST_LINES && !exemptions.contains_key(path) {
            let message = format!("{lines} lines, {MOST_LINES} at most: look for the seam and split it");
            problems.push(Problem::in_file(path, message));
        }
    }
    for (path, exemption) in &exemptions {
        let message = match lengths.get(path) {
            None => format!("{path} does not exist: remove the entry"),
            Some(&lines) if lines <= MOST_LINES => {
                format!("{path} needs no exemption any more: remove the entry")
            }
            Some(&lines) if lines < exemption.lines => {
                format!("{path} has shrunk: lower its entry to {lines}")
            }
            Some(&lines) if lines > exemption.lines => {
                format!("{path} has grown from {} to {lines} lines: split it instead", exemption.lines)
            }
            Some(_) => continue,
        };
        problems.push(Problem::at(EXEMPTIONS, exemption.line, message));
    }
    Ok(problems)
}

fn read(root: &Path, problems: &mut Vec<Problem>) -> Result<BTreeMap<String, Exemption>> {
    let text = match fs::read_to_string(root.join(EXEMPTIONS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("cannot read {EXEMPTIONS}"))?,
    };
    let mut exemptions = BTreeMap::new();
    for (index, entry) in text.lines().enumerate() {
        let line = index + 1;
        if entry.trim().is_empty() || entry.starts_with('#') {
            continue;
        }
        let parsed = entry.split_once(' ').and_then(|(path, lines)| Some((path, lines.trim().parse().ok()?)));
        match parsed {
            Some((path, lines)) => {
                exemptions.insert(path.to_owned(), Exemption { line, lines });
            }
            None => problems.push(Problem::at(EXEMPTIONS, line, "not `path lines`: correct the entry")),
        }
    }
    Ok(exemptions)
}
