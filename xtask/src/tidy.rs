//! `cargo xtask tidy`: what a reader may rely on without looking, checked: the layering, the map, the size of files,
//! and the habits that a compiler does not see. One line per problem, with the place and what to do.
//!
//! Each check lives in a file of its own and takes a tree as an argument, so that `tests` can hand it a bad one and
//! watch it fail. Formatting and lints are rustfmt's and clippy's business, not this one's.

mod architecture;
mod layers;
mod simulated;
mod sizes;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The tree to check, this one when none is named
    root: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = match &arguments.root {
        Some(root) => root.clone(),
        None => workspace::root()?,
    };
    let problems = check(&root)?;
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 thing to tidy"),
        many => bail!("{many} things to tidy"),
    }
}

/// Every problem of the tree at `root`, in the order of the checks and then of the paths.
fn check(root: &Path) -> Result<Vec<Problem>> {
    let files = tree::text_files(root)?;
    let crates = layers::crates(root)?;
    let mut problems = Vec::new();
    let map = architecture::Map::read(root, &mut problems)?;
    problems.extend(architecture::check(&map, &crates, root));
    problems.extend(layers::check(&map, &crates));
    problems.extend(sizes::check(root, &files)?);
    problems.extend(text::check(&files, &map));
    problems.extend(simulated::check(&files, &map));
    Ok(problems)
}

/// Something to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    /// The file, relative to the tree's root.
    path: PathBuf,
    /// The line, counted from 1; none where the whole file is meant.
    line: Option<usize>,
    /// What is wrong and what to do.
    message: String,
}

impl Problem {
    fn at(path: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: Some(line), message: message.into() }
    }

    fn in_file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{}: {}", self.path.display(), self.message),
        }
    }
}
