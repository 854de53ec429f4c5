//! Clients that are libraries, each through its program in `interop/clients/NAME/`: how programs of a language are
//! installed and run. Python's get a virtual environment, Go's are built, Node's get their packages, Java's are compiled
//! against Kafka's own jars.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    broker::{Target, java, logging},
    clients::{Client, Presence},
    command::{is_present, run},
    hands::Hands,
    scenario::Outcome,
    scripts,
    workshop::Workshop,
};

/// What a program is written in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Language {
    Python,
    Go,
    Node,
    Java,
}

/// A library client.
pub(crate) struct Library {
    name: &'static str,
    /// Where its program is, in `interop/clients/`.
    folder: &'static str,
    language: Language,
    /// Whether its program tells scenarios of its own, beside lending its hands to the scripts that all share.
    tells: bool,
    on_three: bool,
    program: Vec<OsString>,
    hands: Option<Hands>,
}

impl Library {
    /// One whose scenarios are the scripts.
    pub(crate) fn scripted(name: &'static str, language: Language) -> Self {
        Self { name, folder: name, language, tells: false, on_three: false, program: Vec::new(), hands: None }
    }

    /// One that tells most scenarios itself.
    pub(crate) fn telling(name: &'static str, language: Language) -> Self {
        Self { tells: true, ..Self::scripted(name, language) }
    }

    /// One whose program is another's, and whose scripts are those on three brokers.
    pub(crate) fn on_three(name: &'static str, folder: &'static str, language: Language) -> Self {
        Self { folder, on_three: true, ..Self::scripted(name, language) }
    }

    fn install_python(&mut self, workshop: &Workshop) -> Result<()> {
        let source = workshop.source(&format!("clients/{}", self.folder));
        let requirements = source.join("requirements.txt");
        let recipe = fs::read_to_string(&requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        let folder = workshop.installed(self.folder, &recipe, |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
            let mut pip = Command::new(folder.join("venv/bin/python"));
            run(pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements)).map(|_| ())
        })?;
        let python = folder.join("venv/bin/python");
        // What the programs share is found beside them. No byte code into the source tree.
        self.program = vec![python.into(), "-B".into(), source.join("main.py").into()];
        Ok(())
    }

    fn install_go(&mut self, workshop: &Workshop) -> Result<()> {
        let source = workshop.source(&format!("clients/{}", self.folder));
        let folder = workshop.installed(self.folder, &texts(&source)?, |folder| {
            let mut go = Command::new("go");
            go.current_dir(&source).env("GOFLAGS", "-mod=readonly").env("CGO_ENABLED", "0");
            run(go.args(["build", "-o"]).arg(folder.join(self.folder)).arg(".")).map(|_| ())
        })?;
        self.program = vec![folder.join(self.folder).into()];
        Ok(())
    }

    fn install_node(&mut self, workshop: &Workshop) -> Result<()> {
        let source = workshop.source(&format!("clients/{}", self.folder));
        let folder = workshop.installed(self.folder, &texts(&source)?, |folder| {
            for file in files(&source)? {
                let name = file.file_name().context("a file without name")?;
                fs::copy(&file, folder.join(name))
                    .with_context(|| format!("cannot copy {}", file.display()))?;
            }
            run(Command::new("npm").current_dir(folder).args(["ci", "--silent", "--no-audit", "--no-fund"]))
                .map(|_| ())
        })?;
        self.program = vec!["node".into(), folder.join("main.js").into()];
        Ok(())
    }

    fn install_java(&mut self, workshop: &Workshop, jars: &str) -> Result<()> {
        let source = workshop.source(&format!("clients/{}", self.folder));
        let recipe = format!("{jars}\n{}", texts(&source)?);
        let folder = workshop.installed(self.folder, &recipe, |folder| {
            run(Command::new("javac").args(["-cp", jars, "-d"]).arg(folder).args(files(&source)?)).map(|_| ())
        })?;
        let mut command = java(&format!("{}:{jars}", folder.display()), &logging(&folder)?);
        command.arg("Main");
        self.program =
            std::iter::once(command.get_program()).chain(command.get_args()).map(OsString::from).collect();
        Ok(())
    }
}

impl Client for Library {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_on_three(&self) -> bool {
        self.on_three
    }

    fn install(&mut self, workshop: &Workshop) -> Result<Presence> {
        let (program, version) = match self.language {
            Language::Python => ("python3", "Python 3.10 or later"),
            Language::Go => ("go", "Go 1.26 or later"),
            Language::Node => ("npm", "Node.js 18 or later, with npm"),
            Language::Java => ("javac", "a JDK, 17 or later"),
        };
        if !is_present(program) {
            return Ok(Presence::Missing(format!("no `{program}` on this machine: install {version}")));
        }
        match self.language {
            Language::Python => self.install_python(workshop)?,
            Language::Go => self.install_go(workshop)?,
            Language::Node => self.install_node(workshop)?,
            Language::Java => match workshop.kafka_jars()? {
                Ok(jars) => self.install_java(workshop, &jars)?,
                Err(reason) => return Ok(Presence::Missing(reason)),
            },
        }
        Ok(Presence::Ready)
    }

    fn start(&mut self, target: &Target, logs: &Path) -> Result<()> {
        self.hands = Some(Hands::start(self.program.clone(), target, logs)?);
        Ok(())
    }

    fn run(&mut self, scenario: &str) -> Result<Outcome> {
        self.hands.as_mut().context("not started")?.run(scenario)
    }

    fn hands(&mut self, scenario: &str) -> Option<&mut Hands> {
        if self.tells && !scripts::is_shared(scenario) {
            return None;
        }
        self.hands.as_mut()
    }

    fn stop(&mut self) {
        self.hands = None;
    }
}

/// The files of a program, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<_> = entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// The whole program's text: what it is installed from.
fn texts(folder: &Path) -> Result<String> {
    let read =
        |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    files(folder)?.iter().map(read).collect()
}
