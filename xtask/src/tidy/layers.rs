//! Which crate depends on which, from `cargo metadata`, against the table in ARCHITECTURE.md.
//!
//! Dependencies that reach a user (normal and build) obey the table. Dev-dependencies are free, for tests may look from
//! any side, but nothing at all depends on a tool. Members of the workspace take its lints, too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use super::{
    Problem,
    architecture::{FILE, Kind, Map, Row},
    tree,
};

/// What brings I/O, time or chance into a crate that must have none.
const IMPURE: [&str; 6] = ["tokio", "socket2", "rustix", "getrandom", "rand", "mio"];

/// A crate of the tree.
pub(super) struct Crate {
    /// Relative to the root.
    pub(super) folder: PathBuf,
    /// Whether it is in the workspace.
    member: bool,
    dependencies: Vec<Dependency>,
    /// The manifest's text, to find lines in.
    text: String,
}

/// One entry of a crate's manifest.
struct Dependency {
    name: String,
    /// Whether it is for tests and examples only.
    dev: bool,
    /// The folder of a crate of ours, relative to the root.
    ours: Option<PathBuf>,
}

impl Crate {
    pub(super) fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }

    /// The line of its manifest that starts with a dependency's name.
    fn line_of(&self, dependency: &str) -> Option<usize> {
        let starts = |line: &str| {
            line.trim_start().strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        self.text.lines().position(starts).map(|index| index + 1)
    }

    fn problem(&self, dependency: &Dependency, message: String) -> Problem {
        Problem { path: self.manifest(), line: self.line_of(&dependency.name), message }
    }
}

/// The crates of the tree, those outside the workspace (`fuzz`) included.
pub(super) fn crates(root: &Path) -> Result<Vec<Crate>> {
    let members = metadata(&root.join("Cargo.toml"))?;
    let mut crates =
        members.iter().map(|package| of_package(root, package, true)).collect::<Result<Vec<_>>>()?;
    for manifest in tree::manifests(root)? {
        if !members.iter().any(|package| package.manifest_path == manifest) {
            for package in metadata(&manifest)? {
                crates.push(of_package(root, &package, false)?);
            }
        }
    }
    crates.sort_by(|a, b| a.folder.cmp(&b.folder));
    crates.dedup_by(|a, b| a.folder == b.folder);
    Ok(crates)
}

pub(super) fn check(map: &Map, crates: &[Crate]) -> Vec<Problem> {
    let rows = crates.iter().filter_map(|one| Some((one, map.row(&one.folder)?)));
    let layering = rows.flat_map(|(one, row)| check_crate(map, one, row));
    layering.chain(crates.iter().filter_map(check_lints)).collect()
}

fn check_crate(map: &Map, one: &Crate, row: &Row) -> Vec<Problem> {
    let mut problems = Vec::new();
    for dependency in &one.dependencies {
        if let Some(used) = &dependency.ours {
            let tool = map.row(used).is_some_and(|used| used.kind == Kind::Tool);
            let used = used.file_name().unwrap_or(used.as_os_str()).to_string_lossy();
            if tool {
                let message = format!("`{used}` is a tool, and nothing depends on tools: remove it");
                problems.push(one.problem(dependency, message));
            } else if !dependency.dev && !row.may_use.allows(&used) {
                let message = format!(
                    "`{}` may not use `{used}` ({FILE}:{}): move the code to a crate that may, or change the \
                     table and say why",
                    row.folder, row.line
                );
                problems.push(one.problem(dependency, message));
            }
        }
        if !dependency.dev && row.kind == Kind::Pure && IMPURE.contains(&dependency.name.as_str()) {
            let message = format!(
                "`{}` is pure ({FILE}:{}) and may not use `{}`: take time, chance and I/O as arguments",
                row.folder, row.line, dependency.name
            );
            problems.push(one.problem(dependency, message));
        }
    }
    problems
}

fn check_lints(one: &Crate) -> Option<Problem> {
    let inherits = one.text.contains("[lints]\nworkspace = true\n");
    (one.member && !inherits).then(|| {
        let message = "does not take the workspace's lints: add `[lints]` with `workspace = true`";
        Problem::in_file(one.manifest(), message)
    })
}

fn metadata(manifest: &Path) -> Result<Vec<Package>> {
    // Without resolving: what a manifest asks for is enough, and needs neither network nor lock file.
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .with_context(|| format!("`cargo metadata` failed for {}", manifest.display()))?;
    Ok(metadata.packages)
}

fn of_package(root: &Path, package: &Package, member: bool) -> Result<Crate> {
    let manifest = package.manifest_path.as_std_path();
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let relative = |path: &Path| path.strip_prefix(root).map(Path::to_path_buf);
    let folder = manifest.parent().map(relative).with_context(|| format!("{manifest:?} has no folder"))??;
    let dependencies = package.dependencies.iter().map(|dependency| Dependency {
        name: dependency.name.clone(),
        dev: dependency.kind == DependencyKind::Development,
        ours: dependency.path.as_ref().and_then(|path| relative(path.as_std_path()).ok()),
    });
    Ok(Crate { folder, member, dependencies: dependencies.collect(), text })
}
