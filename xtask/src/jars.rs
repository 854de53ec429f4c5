//! `cargo xtask jars`: Apache Kafka's jars, by Maven, under `target/jars/PROFILE/`. The profiles are those of
//! `interop/java/pom.xml`.
//!
//! A folder counts as resolved when its `.complete` marker holds the very `pom.xml` it was resolved from, so a changed
//! version is fetched again and an interrupted download is never taken for a whole one.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::{process, workspace};

/// The file that tells a whole folder from a partial one.
const MARKER: &str = ".complete";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which jars; all profiles when none is named
    profiles: Vec<Profile>,
}

/// A profile of `interop/java/pom.xml`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    /// kafka-clients and its codecs
    Clients,
    /// Kafka's broker and its command-line tools
    Kafka,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clients => "clients",
            Self::Kafka => "kafka",
        })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let wanted = match arguments.profiles.as_slice() {
        [] => Profile::value_variants(),
        named => named,
    };
    for profile in wanted {
        println!("{}", folder(*profile)?.display());
    }
    Ok(())
}

/// The folder with the jars of `profile`, downloaded if they are not there yet.
pub(crate) fn folder(profile: Profile) -> Result<PathBuf> {
    let root = workspace::root()?;
    let pom_file = root.join("interop/java/pom.xml");
    let pom = fs::read(&pom_file).with_context(|| format!("cannot read {}", pom_file.display()))?;
    let jars = root.join("target/jars");
    let folder = jars.join(profile.to_string());
    if is_complete(&folder, &pom) {
        return Ok(folder);
    }
    // Resolved next to its final place and moved there when whole: two runs at once do no harm to each other.
    let partial = jars.join(format!("{profile}.{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let outcome = resolve(profile, &pom_file, &partial)
        .and_then(|()| fs::write(partial.join(MARKER), &pom).context("cannot write the jars' marker"))
        .and_then(|()| put_in_place(&partial, &folder, &pom));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    outcome.map(|()| folder)
}

fn is_complete(folder: &Path, pom: &[u8]) -> bool {
    fs::read(folder.join(MARKER)).is_ok_and(|resolved_from| resolved_from == pom)
}

fn resolve(profile: Profile, pom_file: &Path, into: &Path) -> Result<()> {
    let mut command = Command::new("mvn");
    command
        .args(["--quiet", "--batch-mode", "-Dstyle.color=never", "--file"])
        .arg(pom_file)
        .arg(format!("-P{profile}"))
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", into.display()))
        // Maven reports on stdout, which belongs to the folder's name.
        .stdout(std::io::stderr());
    process::run(
        &mut command,
        &format!("download the jars of profile `{profile}` from Maven Central"),
        "install Maven and a JDK, 17 or later",
    )
}

fn put_in_place(partial: &Path, folder: &Path, pom: &[u8]) -> Result<()> {
    if is_complete(folder, pom) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove the old {}", folder.display()))?;
    }
    fs::rename(partial, folder)
        .with_context(|| format!("cannot move {} to {}", partial.display(), folder.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::{MARKER, is_complete, put_in_place};

    #[test]
    fn a_folder_is_complete_only_if_it_was_resolved_from_this_very_pom() {
        let folder = TempDir::new().unwrap();
        assert!(!is_complete(folder.path(), b"pom"), "without a marker");
        fs::write(folder.path().join(MARKER), b"older pom").unwrap();
        assert!(!is_complete(folder.path(), b"pom"), "from another pom");
        fs::write(folder.path().join(MARKER), b"pom").unwrap();
        assert!(is_complete(folder.path(), b"pom"));
    }

    #[test]
    fn a_resolved_folder_replaces_an_outdated_one() {
        let jars = TempDir::new().unwrap();
        let (partial, folder) = (jars.path().join("clients.1"), jars.path().join("clients"));
        for (path, pom) in [(&partial, b"new"), (&folder, b"old")] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(MARKER), pom).unwrap();
        }
        put_in_place(&partial, &folder, b"new").unwrap();
        assert!(is_complete(&folder, b"new") && !partial.exists());
    }
}
