//! franz-go (Go) with its admin package kadm. Its scenarios are `interop/clients/franz-go/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    clients::{Client, Presence},
    command::{is_present, run},
    driver::Driver,
    scenario::Outcome,
    workshop::Workshop,
};

#[derive(Default)]
pub(crate) struct FranzGo {
    program: Option<PathBuf>,
    driver: Option<Driver>,
}

impl Client for FranzGo {
    fn name(&self) -> &'static str {
        "franz-go"
    }

    fn install(&mut self, workshop: &Workshop) -> Result<Presence> {
        if !is_present("go") {
            return Ok(Presence::Missing("no `go` on this machine: install Go 1.26 or later".to_owned()));
        }
        let source = workshop.source("clients/franz-go");
        let folder = workshop.installed(self.name(), &sources(&source)?, |folder| {
            let mut go = Command::new("go");
            go.current_dir(&source).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0");
            run(go.args(["build", "-o"]).arg(folder.join("franz-go")).arg(".")).map(|_| ())
        })?;
        self.program = Some(folder.join("franz-go"));
        Ok(Presence::Ready)
    }

    fn start(&mut self, bootstrap: &str, logs: &Path) -> Result<()> {
        let mut command = Command::new(self.program.as_ref().context("not installed")?);
        command.arg(bootstrap);
        self.driver = Some(Driver::start(command, logs)?);
        Ok(())
    }

    fn run(&mut self, scenario: &str) -> Result<Outcome> {
        self.driver.as_mut().context("not started")?.run(scenario)
    }

    fn stop(&mut self) {
        self.driver = None;
    }
}

/// The whole program's text: what the binary was built from.
fn sources(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<_> = entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let read =
        |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    files.iter().map(read).collect()
}
