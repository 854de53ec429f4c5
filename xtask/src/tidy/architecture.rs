//! ARCHITECTURE.md against the tree: its table has a row for every crate there is and for none that is not, and the
//! paths that it names exist.
//!
//! What the rows allow is checked in `layers`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Problem, layers::Crate};

/// The file with the map.
pub(super) const FILE: &str = "ARCHITECTURE.md";

/// The table's head, by which it is found.
const HEAD: [&str; 4] = ["crate", "kind", "may use", "what lives there"];

/// The table, as written.
pub(super) struct Map {
    pub(super) rows: Vec<Row>,
    /// The code spans that look like paths, with their lines.
    paths: Vec<(usize, String)>,
}

/// What the table says of one crate.
pub(super) struct Row {
    pub(super) line: usize,
    /// The folder, relative to the root: `crates/wire`.
    pub(super) folder: String,
    pub(super) kind: Kind,
    pub(super) may_use: MayUse,
}

/// What sort of crate it is, which decides what it may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Decides, and does no I/O.
    Pure,
    /// A door to the outside.
    Port,
    /// Keeps bytes, through the ports.
    Storage,
    /// Carries out what pure crates decide.
    Shell,
    /// A program for users.
    Program,
    /// For those who work on the project: nothing depends on it.
    Tool,
}

/// Which crates of ours a crate may depend on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MayUse {
    Anything,
    /// Short names: the last part of a folder.
    Only(Vec<String>),
}

impl MayUse {
    pub(super) fn allows(&self, name: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Only(names) => names.iter().any(|allowed| allowed == name),
        }
    }
}

impl Map {
    /// The row of the crate in `folder`.
    pub(super) fn row(&self, folder: &Path) -> Option<&Row> {
        self.rows.iter().find(|row| Path::new(&row.folder) == folder)
    }

    /// Reads the map; what cannot be understood becomes a problem.
    pub(super) fn read(root: &Path, problems: &mut Vec<Problem>) -> Result<Self> {
        let path = root.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { rows: rows(&text, problems), paths: paths(&text) })
    }
}

pub(super) fn check(map: &Map, crates: &[Crate], root: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for one in crates {
        if map.row(&one.folder).is_none() {
            let folder = one.folder.display();
            problems.push(Problem::in_file(
                one.manifest(),
                format!("{FILE} does not name this crate: add a row for `{folder}` to its table"),
            ));
        }
    }
    for row in &map.rows {
        if !crates.iter().any(|one| one.folder == Path::new(&row.folder)) {
            let message =
                format!("there is no crate `{}`: remove the row, or correct the folder", row.folder);
            problems.push(Problem::at(FILE, row.line, message));
        }
    }
    for (line, path) in &map.paths {
        let is_row = map.rows.iter().any(|row| row.line == *line && row.folder == *path);
        if !is_row && !root.join(path).exists() && !root.join("crates").join(path).exists() {
            problems.push(Problem::at(FILE, *line, format!("`{path}` does not exist: say where it went")));
        }
    }
    problems
}

fn rows(text: &str, problems: &mut Vec<Problem>) -> Vec<Row> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut table = lines.skip_while(|(_, line)| cells(line) != HEAD).peekable();
    if table.peek().is_none() {
        let head = HEAD.join(" | ");
        problems.push(Problem::in_file(FILE, format!("has no table with the head `| {head} |`: add it")));
    }
    // The head and the line of dashes below it.
    let body = table.skip(2).take_while(|(_, line)| line.starts_with('|'));
    body.filter_map(|(line, text)| match row(line, text) {
        Ok(row) => Some(row),
        Err(message) => {
            problems.push(Problem::at(FILE, line, message));
            None
        }
    })
    .collect()
}

fn row(line: usize, text: &str) -> Result<Row, String> {
    let cells = cells(text);
    let [folder, kind, may_use, _] = cells.as_slice() else {
        return Err(format!("a row of the table has {} cells: it needs {}", cells.len(), HEAD.len()));
    };
    let kind = match *kind {
        "pure" => Kind::Pure,
        "port" => Kind::Port,
        "storage" => Kind::Storage,
        "shell" => Kind::Shell,
        "program" => Kind::Program,
        "tool" => Kind::Tool,
        other => {
            return Err(format!("`{other}` is no kind: say pure, port, storage, shell, program or tool"));
        }
    };
    let may_use = match *may_use {
        "anything" => MayUse::Anything,
        "nothing of ours" => MayUse::Only(Vec::new()),
        names => MayUse::Only(names.split(',').map(|name| name.trim().to_owned()).collect()),
    };
    Ok(Row { line, folder: folder.trim_matches('`').to_owned(), kind, may_use })
}

fn cells(line: &str) -> Vec<&str> {
    let Some(inner) = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
        return Vec::new();
    };
    inner.split('|').map(str::trim).collect()
}

/// The code spans outside fenced blocks that have a slash and nothing that a path has not, with their lines.
fn paths(text: &str) -> Vec<(usize, String)> {
    let looks_like_path = |span: &&str| {
        span.contains('/')
            && !span.starts_with('/')
            && span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    let mut fenced = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Between the first backtick and the second lies the first span, and so on.
            let spans = line.split('`').skip(1).step_by(2).filter(looks_like_path);
            found.extend(spans.map(|span| (index + 1, span.to_owned())));
        }
    }
    found
}
