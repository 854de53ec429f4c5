//! `cargo xtask golden`: writes `crates/wire/tests/golden/API.txt` anew: bytes of every message and version as Kafka's
//! own generated classes write them, for `crates/wire/tests/golden.rs` to read and write again. Needs a JDK; the files
//! are committed, so the tests do not.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use ottla_wire::{DATA, REQUESTS, RESPONSES};

use crate::{
    jars::{self, Profile},
    workspace,
};

/// The headers have no schema of ours to take these from.
const HEADERS: &str = "RequestHeader 1 2\nResponseHeader 0 1\n";

#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<()> {
    let root = workspace::root()?;
    let vectors = vectors(&root)?;
    let folder = root.join("crates/wire/tests/golden");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (api, lines) in by_api(&vectors)? {
        let path = folder.join(format!("{api}.txt"));
        fs::write(&path, lines).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// What the Java program says of every message that is implemented.
fn vectors(root: &Path) -> Result<String> {
    let mut wanted = HEADERS.to_owned();
    let schemas = REQUESTS.iter().chain(RESPONSES).chain(DATA).map(|erased| erased.schema);
    for schema in schemas.filter(|schema| !schema.is_private()) {
        wanted.push_str(&format!("{} {} {}\n", schema.name, schema.versions.first, schema.versions.last));
    }
    let mut java = Command::new("java")
        .arg("-cp")
        .arg(jars::folder(Profile::Clients)?.join("*"))
        .arg(root.join("interop/java/GoldenVectors.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `java`: install a JDK, 17 or later")?;
    // It reads a line and answers it, and the pipe to us is read only when it has everything: hand over from aside.
    let mut stdin = java.stdin.take().context("java has no standard input")?;
    let writer = std::thread::spawn(move || stdin.write_all(wanted.as_bytes()));
    let output = java.wait_with_output().context("cannot read what `java` writes")?;
    if !output.status.success() {
        bail!("interop/java/GoldenVectors.java ended with {}; its output above says why", output.status);
    }
    writer.join().ok().context("the thread that writes to java panicked")?.context("cannot write to java")?;
    String::from_utf8(output.stdout).context("java wrote something that is not UTF-8")
}

/// The lines by the API that they are of: `FetchRequest 4 empty 00` belongs to `Fetch`. Headers are together, and what
/// consumers tell each other; a principal is in an envelope.
fn by_api(vectors: &str) -> Result<BTreeMap<&str, String>> {
    let mut apis = BTreeMap::<&str, String>::new();
    for line in vectors.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let api = ["Request", "Response"].iter().find_map(|end| name.strip_suffix(end));
        let api = api.or_else(|| name.ends_with("Header").then_some("headers"));
        let api = api.or_else(|| name.starts_with("ConsumerProtocol").then_some("ConsumerProtocol"));
        let api = api.or_else(|| (name == "DefaultPrincipalData").then_some("Envelope"));
        let lines =
            apis.entry(api.with_context(|| format!("java wrote a line of no message: {line}"))?).or_default();
        lines.push_str(line);
        lines.push('\n');
    }
    Ok(apis)
}

#[cfg(test)]
mod tests {
    use super::by_api;

    #[test]
    fn lines_go_to_the_file_of_their_api_and_headers_to_one_of_their_own() {
        let vectors = "RequestHeader 1 full 00\nFetchRequest 4 full 01\nFetchResponse 4 full 02\n";
        let apis = by_api(vectors).unwrap();
        assert_eq!(apis["headers"], "RequestHeader 1 full 00\n");
        assert_eq!(apis["Fetch"], "FetchRequest 4 full 01\nFetchResponse 4 full 02\n");
        assert_eq!(by_api("ConsumerProtocolAssignment 0 full 03\n").unwrap().len(), 1);
        assert_eq!(by_api("EnvelopeRequest 0 full 03\nDefaultPrincipalData 0 full 04\n").unwrap().len(), 1);
        let error = by_api("Exception in thread").unwrap_err().to_string();
        assert!(error.contains("Exception in thread"), "{error}");
    }
}
