//! Where clients are installed: one folder each under `target/interop/`, reused by the next run while its recipe is the
//! same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
};

use anyhow::{Context as _, Result};

use crate::command::{is_present, run};

/// A folder is complete when this file in it holds the recipe it was made from.
const MARKER: &str = ".complete";

/// The project's folder and the one that clients are installed in.
#[derive(Clone)]
pub(crate) struct Workshop {
    root: PathBuf,
    /// The ottla of this run, once somebody has asked for it.
    ottla: Arc<OnceLock<PathBuf>>,
}

impl Workshop {
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("interop/ has no parent folder")?;
        Ok(Self { root: root.to_owned(), ottla: Arc::default() })
    }

    /// A file of `interop/`.
    pub(crate) fn source(&self, path: &str) -> PathBuf {
        self.root.join("interop").join(path)
    }

    /// Where `client`'s and its broker's output goes, without that of the run before.
    pub(crate) fn empty_logs(&self, client: &str) -> Result<PathBuf> {
        let folder = self.root.join("target/interop/logs").join(client);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove the old {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// The folder `name`, made by `install` unless a folder from the very same `recipe` is there. It may hold absolute
    /// paths (a Python environment does), so it is made in place, and only the marker makes it whole.
    pub(crate) fn installed(
        &self,
        name: &str,
        recipe: &str,
        install: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.root.join("target/interop").join(name);
        let marker = folder.join(MARKER);
        if fs::read_to_string(&marker).is_ok_and(|made_from| made_from == recipe) {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove the old {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        install(&folder)?;
        fs::write(&marker, recipe).with_context(|| format!("cannot write {}", marker.display()))?;
        Ok(folder)
    }

    /// Takes `bin` for the ottla of this run.
    pub(crate) fn use_ottla(&self, bin: &Path) -> Result<()> {
        let bin = fs::canonicalize(bin).with_context(|| format!("cannot find {}", bin.display()))?;
        // There is one --bin, so nothing else was set before.
        let _ = self.ottla.set(bin);
        Ok(())
    }

    /// The ottla of this run, built if none was named.
    pub(crate) fn ottla(&self) -> Result<PathBuf> {
        if let Some(bin) = self.ottla.get() {
            return Ok(bin.clone());
        }
        run(self.cargo().args(["build", "--quiet", "--package", "ottla"]))?;
        Ok(self.ottla.get_or_init(|| self.root.join("target/debug/ottla")).clone())
    }

    /// Apache Kafka's broker and tools as a Java class path, or the reason why this machine cannot have them.
    pub(crate) fn kafka_jars(&self) -> Result<Result<String, String>> {
        if !is_present("java") {
            return Ok(Err("no `java` on this machine: install a JDK, 17 or later".to_owned()));
        }
        let folder = self.root.join("target/jars/kafka");
        let class_path = format!("{}/*", folder.display());
        // The marker is that of `cargo xtask jars`; looking at it spares a run of cargo for each client.
        let pom = fs::read(self.source("java/pom.xml")).context("cannot read interop/java/pom.xml")?;
        if fs::read(folder.join(MARKER)).is_ok_and(|made_from| made_from == pom) {
            return Ok(Ok(class_path));
        }
        if !is_present("mvn") {
            return Ok(Err("no `mvn` on this machine: install Maven".to_owned()));
        }
        run(self.cargo().args(["xtask", "jars", "kafka"]))?;
        Ok(Ok(class_path))
    }

    /// Cargo, in the project's folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }
}
