//! The definitions inside kafka-clients' jar.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};

use super::Definitions;

/// Where the jar keeps them.
const FOLDER: &str = "common/message/";

/// The definitions in the kafka-clients jar in `folder`.
pub(super) fn definitions(folder: &Path) -> Result<Definitions> {
    let jar = find(folder)?;
    let context = || format!("cannot read {}", jar.display());
    let file = fs::File::open(&jar).with_context(context)?;
    let mut archive = zip::ZipArchive::new(file).with_context(context)?;
    let mut definitions = Definitions::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(context)?;
        let path = entry.name().with_context(context)?.into_owned();
        if let Some(name) = path.strip_prefix(FOLDER).filter(|name| name.ends_with(".json")) {
            let mut text = String::new();
            entry.read_to_string(&mut text).with_context(context)?;
            definitions.insert(name.to_owned(), text);
        }
    }
    Ok(definitions)
}

fn find(folder: &Path) -> Result<std::path::PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.file_name().to_string_lossy().starts_with("kafka-clients-") {
            return Ok(entry.path());
        }
    }
    bail!(
        "there is no kafka-clients jar in {}: remove the folder and run `cargo xtask jars`",
        folder.display()
    )
}
