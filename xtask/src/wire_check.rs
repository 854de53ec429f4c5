//! `cargo xtask wire-check`: the schemas that `wire`'s derive emits against the message definitions that Apache Kafka
//! publishes in its client's jar, field by field and version by version.
//!
//! What is compared: API key and direction, the valid and the flexible versions, and in each version each field's
//! existence, order, type, nullability, tag, default, and whether it may be dropped silently. Not compared: whether
//! the bytes are right; that is for `crates/wire/tests/`.

mod compare;
mod definition;
mod jar;
mod message;
mod ours;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use self::message::{Direction, Message};
use crate::jars::{self, Profile};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder with the definitions (`FetchRequest.json`); without it they come out of kafka-clients' jar
    #[arg(long, value_name = "DIR")]
    definitions: Option<PathBuf>,
}

/// The definitions' text by file name.
type Definitions = BTreeMap<String, String>;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let definitions = match &arguments.definitions {
        Some(folder) => from_folder(folder)?,
        None => jar::definitions(&jars::folder(Profile::Clients)?)?,
    };
    let ours = ours::messages();
    let theirs = parse(&definitions)?;
    let differences = compare_all(&ours, &theirs);
    for difference in &differences {
        println!("{difference}");
    }
    let versions: usize = ours.iter().map(|message| message.versions.iter().count()).sum();
    match differences.len() {
        0 => println!("{} messages, {versions} versions: as Kafka defines them", ours.len()),
        many => bail!("{many} differences in {} messages; Kafka's definitions decide", ours.len()),
    }
    Ok(())
}

/// Each of `ours` against its definition.
fn compare_all(ours: &[Message], theirs: &[Message]) -> Vec<String> {
    let mut differences = Vec::new();
    for message in ours {
        match theirs.iter().find(|definition| definition.name == message.name) {
            Some(definition) => differences.extend(compare::messages(message, definition)),
            None => differences.push(format!("{}: Kafka defines no such message", message.name)),
        }
        if ours.iter().filter(|other| other.name == message.name).count() > 1 {
            differences.push(format!("{}: ours twice", message.name));
        }
        let answers =
            |other: &&Message| other.api_key == message.api_key && other.direction != message.direction;
        match ours.iter().find(answers) {
            _ if message.direction == Direction::Neither => {}
            Some(other) if other.versions == message.versions => {}
            Some(other) => differences.push(format!(
                "{}: versions: ours {}, but {} has {}",
                message.name, message.versions, other.name, other.versions
            )),
            None if message.direction == Direction::Request => {
                differences.push(format!("{}: has no response", message.name));
            }
            None => differences.push(format!("{}: has no request", message.name)),
        }
    }
    differences
}

/// The messages among `definitions`.
fn parse(definitions: &Definitions) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for (file, text) in definitions {
        let parsed = definition::parse(text).with_context(|| format!("cannot understand Kafka's {file}"))?;
        messages.extend(parsed);
    }
    definition::leave_out_unstable(&mut messages);
    let messages: Vec<_> = messages.into_iter().map(|parsed| parsed.message).collect();
    if messages.is_empty() {
        bail!("found no definition of a request or response");
    }
    Ok(messages)
}

fn from_folder(folder: &PathBuf) -> Result<Definitions> {
    let mut definitions = Definitions::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            definitions.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    Ok(definitions)
}
