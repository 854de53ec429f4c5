//! Habits that show in the text alone: a head on every file, nothing left half-done, no path of somebody's machine, no
//! I/O where there must be none.

use std::path::Path;

use super::{
    Problem,
    architecture::{Kind, Map},
    tree::TextFile,
};

// Spelt in two halves, so that this file does not trip over itself.
/// What says that something is unfinished.
const MARKERS: [&str; 6] = [
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
];

/// The first folder of absolute paths that belong to a particular machine.
const MACHINE_FOLDERS: [&str; 5] = ["home", "root", "work", "Users", "tmp"];

/// Kafka's own default of `log.dirs`, which may be named.
const KAFKA_LOG_DIRS: &str = "/tmp/kafka-logs";

/// What a pure crate does not say: its doors are its arguments.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::thread",
    "thread::spawn",
    "Instant::now",
    "SystemTime::now",
    "std::env::var",
    "TcpStream",
    "UdpSocket",
];

pub(super) fn check(files: &[TextFile], map: &Map) -> Vec<Problem> {
    files
        .iter()
        .flat_map(|file| {
            let mut problems = white_space(file);
            problems.extend(machine_paths(file));
            if is_code(file) {
                problems.extend(markers(file));
            }
            if file.is_rust() {
                problems.extend(head(file));
            }
            if is_pure(file, map) {
                problems.extend(impurities(file));
            }
            problems
        })
        .collect()
}

fn is_code(file: &TextFile) -> bool {
    file.path.extension().is_none_or(|extension| extension != "md")
}

fn is_pure(file: &TextFile, map: &Map) -> bool {
    let pure = |row: &&super::architecture::Row| row.kind == Kind::Pure;
    let source = |row: &super::architecture::Row| Path::new(&row.folder).join("src");
    file.is_rust() && map.rows.iter().filter(pure).any(|row| file.path.starts_with(source(row)))
}

fn head(file: &TextFile) -> Option<Problem> {
    let missing = !file.content.starts_with("//!");
    missing.then(|| {
        Problem::at(
            &file.path,
            1,
            "does not open with `//!`: say what lives here, what does not, and what it follows",
        )
    })
}

fn markers(file: &TextFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, text) in file.lines() {
        for marker in MARKERS.iter().filter(|marker| contains_word(text, marker)) {
            let message =
                format!("`{marker}`: finish it, or open an issue and say in a sentence what is missing");
            problems.push(Problem::at(&file.path, line, message));
        }
    }
    problems
}

fn machine_paths(file: &TextFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, text) in file.product_lines() {
        let text = text.replace(KAFKA_LOG_DIRS, "");
        let paths = MACHINE_FOLDERS.iter().map(|folder| format!("/{folder}/"));
        for path in paths.filter(|path| starts_a_path(&text, path)) {
            let message =
                format!("`{path}` is a path of one machine: take it from an argument or a temporary folder");
            problems.push(Problem::at(&file.path, line, message));
        }
    }
    problems
}

fn impurities(file: &TextFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, text) in file.product_lines().filter(|(_, text)| !text.trim_start().starts_with("//")) {
        for call in IMPURE.iter().filter(|call| text.contains(**call)) {
            let message =
                format!("`{call}` in a pure crate: let the shell do it, and take the result as an argument");
            problems.push(Problem::at(&file.path, line, message));
        }
    }
    problems
}

fn white_space(file: &TextFile) -> Vec<Problem> {
    let trailing = file.lines().filter(|(_, text)| text.ends_with([' ', '\t']));
    let mut problems: Vec<_> = trailing
        .map(|(line, _)| Problem::at(&file.path, line, "white space at the end: remove it"))
        .collect();
    if !file.content.is_empty() && !file.content.ends_with('\n') {
        problems.push(Problem::in_file(&file.path, "does not end with a newline: add it"));
    }
    problems
}

/// Whether `text` has `word`, not as a part of a longer one.
fn contains_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        // A word that ends in punctuation (a macro, an attribute) ends there whatever follows.
        let goes_on = word.ends_with(char::is_alphanumeric) && after.is_some_and(part_of_word);
        !goes_on && !before.is_some_and(part_of_word)
    })
}

/// Whether an absolute path in `text` begins with `prefix`: `x/home/y` is none.
fn starts_a_path(text: &str, prefix: &str) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./:}>".contains(c))
    })
}
