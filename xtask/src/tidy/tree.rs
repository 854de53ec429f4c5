//! The text files of a tree: what the checks read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Folders whose content is made by tools or by running the broker.
const NOT_OURS: [&str; 6] = [".git", "target", "artifacts", "corpus", "ottla-data", "__pycache__"];

/// What is read as text. `run` is `.ci/run`.
const TEXT: [&str; 11] =
    [".rs", ".md", ".toml", ".sh", ".py", ".go", ".java", ".xml", ".yml", ".properties", "run"];

/// One file.
pub(super) struct TextFile {
    /// Relative to the tree's root.
    pub(super) path: PathBuf,
    pub(super) content: String,
}

impl TextFile {
    pub(super) fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    /// Its lines, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.content.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the whole file is test code.
    pub(super) fn is_test(&self) -> bool {
        let named_so =
            self.path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("tests"));
        named_so || self.path.iter().any(|part| part == "tests" || part == "benches")
    }

    /// The lines that are compiled into the product: up to the first test module, by the convention that it comes last.
    pub(super) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.content.lines().collect();
        let opens_tests = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].ends_with('{');
        let product = match lines.windows(2).position(opens_tests) {
            _ if self.is_test() => 0,
            Some(first) => first,
            None => lines.len(),
        };
        self.lines().take(product)
    }
}

/// The text files below `root`, sorted by path.
pub(super) fn text_files(root: &Path) -> Result<Vec<TextFile>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    paths.sort();
    let is_text = |path: &&PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| TEXT.iter().any(|end| name.ends_with(end)))
    };
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let content = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
        Ok(TextFile { path: path.strip_prefix(root)?.to_path_buf(), content })
    };
    paths.iter().filter(is_text).map(read).collect()
}

/// The folders below `root` that hold a `Cargo.toml`, sorted; the root itself is the workspace's.
pub(super) fn manifests(root: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    paths.retain(|path| path.ends_with("Cargo.toml") && path.parent() != Some(root));
    paths.sort();
    Ok(paths)
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let kind = entry.file_type().with_context(|| format!("cannot inspect {}", entry.path().display()))?;
        let name = entry.file_name();
        if kind.is_file() {
            into.push(entry.path());
        } else if kind.is_dir() && !NOT_OURS.iter().any(|skipped| name == *skipped) {
            walk(&entry.path(), into)?;
        }
    }
    Ok(())
}
