//! Every key that the program takes is read by something, or is marked as one that nothing reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;

use ottla_types::config::{Definition, broker, topic};

/// Keys that `types` itself puts together with others, and what the rest of the program asks for instead.
const ASKED_FOR_BY: &[(&str, &str)] = &[
    ("advertised.listeners", ".listeners()"),
    ("broker.id", ".node_id()"),
    ("compression.gzip.level", "config.compression_type"),
    ("compression.lz4.level", "config.compression_type"),
    ("compression.zstd.level", "config.compression_type"),
    ("controller.listener.names", ".listeners()"),
    ("controller.quorum.voters", ".quorum_voters()"),
    ("inter.broker.listener.name", ".listeners()"),
    ("listener.security.protocol.map", ".listeners()"),
    ("listeners", ".listeners()"),
    ("log.dir", ".log_dirs()"),
    ("log.dirs", ".log_dirs()"),
    ("metadata.log.dir", ".metadata_log_dir()"),
    ("node.id", ".node_id()"),
    ("process.roles", ".process_roles()"),
    ("security.inter.broker.protocol", ".listeners()"),
];

/// All code outside `types` that is not a test, without its comments.
fn code() -> String {
    let mut code = String::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for entry in fs::read_dir(crates).unwrap().map(Result::unwrap) {
        if entry.file_name() != "types" {
            collect(&entry.path().join("src"), &mut code);
        }
    }
    code
}

fn collect(dir: &Path, code: &mut String) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            collect(&path, code);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.for_each(|line| code.extend([line, "\n"]));
        }
    }
}

/// Whether a word stands in the code by itself.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (code[..at].chars().next_back(), code[at + word.len()..].chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Whether the code asks for the key, for what stands for it, or for the topic setting whose default it is.
fn is_read(code: &str, key: &Definition) -> bool {
    let constant = key.name.replace('.', "_").to_ascii_uppercase();
    let stands_for_it =
        ASKED_FOR_BY.iter().any(|(name, accessor)| *name == key.name && code.contains(accessor));
    let is_default_of = |topic_key: &&Definition| {
        topic::broker_synonyms(topic_key.name).iter().any(|synonym| synonym.name == key.name)
    };
    let of_topics = topic::TOPIC_KEYS
        .iter()
        .copied()
        .filter(is_default_of)
        .any(|topic_key| code.contains(&format!("config.{}", topic_key.name.replace('.', "_"))));
    stands_for_it || of_topics || has_word(code, &constant)
}

#[test]
fn every_key_is_read_or_marked_as_unused() {
    let code = code();
    let names = |is_wrong: &dyn Fn(&Definition) -> bool| -> Vec<&str> {
        broker::all().filter(|key| is_wrong(key)).map(|key| key.name).collect()
    };
    let forgotten = names(&|key| key.unused.is_none() && !is_read(&code, key));
    assert_eq!(forgotten, [""; 0], "nothing reads these: mark them in types::config::broker, or honour them");
    let honoured = names(&|key| key.unused.is_some() && is_read(&code, key));
    assert_eq!(honoured, [""; 0], "something reads these: take their mark away");
}
