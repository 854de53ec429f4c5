//! confluent-kafka for Python (librdkafka), in a virtual environment. Its scenarios are
//! `interop/clients/confluent-python/`.

use std::{path::Path, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    clients::{Client, Presence},
    command::{is_present, run},
    driver::Driver,
    scenario::Outcome,
    workshop::Workshop,
};

#[derive(Default)]
pub(crate) struct ConfluentPython {
    program: Option<(PathBuf, PathBuf)>,
    driver: Option<Driver>,
}

impl Client for ConfluentPython {
    fn name(&self) -> &'static str {
        "confluent-python"
    }

    fn install(&mut self, workshop: &Workshop) -> Result<Presence> {
        if !is_present("python3") {
            return Ok(Presence::Missing(
                "no `python3` on this machine: install Python 3.9 or later".to_owned(),
            ));
        }
        let requirements = workshop.source("clients/confluent-python/requirements.txt");
        let recipe = std::fs::read_to_string(&requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        let folder = workshop.installed(self.name(), &recipe, |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
            let mut pip = Command::new(folder.join("venv/bin/python"));
            run(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements)).map(|_| ())
        })?;
        let script = workshop.source("clients/confluent-python/main.py");
        self.program = Some((folder.join("venv/bin/python"), script));
        Ok(Presence::Ready)
    }

    fn start(&mut self, bootstrap: &str, logs: &Path) -> Result<()> {
        let (python, script) = self.program.as_ref().context("not installed")?;
        let mut command = Command::new(python);
        command.arg("-B").arg(script).arg(bootstrap);
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
