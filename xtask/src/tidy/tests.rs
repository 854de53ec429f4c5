//! `tidy` on small trees of its own: the good one passes, and each bad one fails with the place and the reason.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::check;

/// A tree with a pure crate, a shell above it and a tool, all in order.
struct Tree {
    folder: TempDir,
}

const MAP: &str = "# Map\n\n\
    | crate | kind | may use | what lives there |\n\
    |---|---|---|---|\n\
    | `crates/core` | pure | nothing of ours | decisions |\n\
    | `crates/shell` | shell | core | sockets |\n\
    | `tool` | tool | anything | checks |\n\n\
    Change a decision in `core/src/lib.rs`.\n";

impl Tree {
    fn good() -> Self {
        let tree = Self { folder: TempDir::new().unwrap() };
        tree.write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\", \"tool\"]\n[workspace.lints]\n",
        );
        tree.write("ARCHITECTURE.md", MAP);
        tree.member("crates/core", "");
        tree.member("crates/shell", "core = { path = \"../core\" }\ntokio = \"1\"\n");
        tree.member("tool", "core = { path = \"../crates/core\" }\nshell = { path = \"../crates/shell\" }\n");
        tree
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn member(&self, folder: &str, dependencies: &str) {
        let name = folder.rsplit('/').next().unwrap();
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        let dependencies = format!("[dependencies]\n{dependencies}");
        let lints = "[lints]\nworkspace = true\n";
        self.write(&format!("{folder}/Cargo.toml"), &format!("{package}\n{dependencies}\n{lints}"));
        self.write(&format!("{folder}/src/lib.rs"), "//! A crate.\n");
    }

    fn problems(&self) -> Vec<String> {
        // The temporary folder may be reached through a link, which `cargo metadata` follows.
        let root = self.root().canonicalize().unwrap();
        check(&root).unwrap().iter().map(ToString::to_string).collect()
    }

    /// Asserts that there is one problem, at `place`, that says `what`.
    #[track_caller]
    fn fails_only_at(&self, place: &str, what: &str) {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with(&format!("{place}: ")), "at {place}: {}", problems[0]);
        assert!(problems[0].contains(what), "{what}: {}", problems[0]);
    }
}

#[test]
fn a_good_tree_passes() {
    assert_eq!(Tree::good().problems(), Vec::<String>::new());
}

#[test]
fn this_projects_own_tree_can_be_read() {
    // Whether it is tidy is what `cargo xtask tidy` says; that it is understood is what this says.
    let root = crate::workspace::root().unwrap();
    let mut problems = Vec::new();
    let map = super::architecture::Map::read(&root, &mut problems).unwrap();
    assert_eq!(problems, []);
    assert!(map.rows.len() > 10, "{} rows", map.rows.len());
}

#[test]
fn a_dependency_that_the_table_does_not_allow_fails() {
    let tree = Tree::good();
    tree.member("crates/core", "shell = { path = \"../shell\" }\n");
    tree.member("crates/shell", "");
    tree.fails_only_at("crates/core/Cargo.toml:7", "`crates/core` may not use `shell` (ARCHITECTURE.md:5)");
}

#[test]
fn a_build_dependency_obeys_the_table_and_a_dev_dependency_need_not() {
    let tree = Tree::good();
    tree.member("crates/shell", "");
    tree.member("crates/core", "\n[dev-dependencies]\nshell = { path = \"../shell\" }\n");
    assert_eq!(tree.problems(), Vec::<String>::new());
    tree.member("crates/core", "\n[build-dependencies]\nshell = { path = \"../shell\" }\n");
    tree.fails_only_at("crates/core/Cargo.toml:9", "may not use `shell`");
}

#[test]
fn nothing_depends_on_a_tool_even_in_its_tests() {
    let tree = Tree::good();
    tree.member("tool", "");
    tree.member("crates/core", "\n[dev-dependencies]\ntool = { path = \"../../tool\" }\n");
    tree.fails_only_at("crates/core/Cargo.toml:9", "`tool` is a tool");
}

#[test]
fn a_pure_crate_may_not_use_tokio_but_its_tests_may() {
    let tree = Tree::good();
    tree.member("crates/core", "tokio = \"1\"\n");
    tree.fails_only_at("crates/core/Cargo.toml:7", "pure");
    tree.member("crates/core", "\n[dev-dependencies]\ntokio = \"1\"\n");
    assert_eq!(tree.problems(), Vec::<String>::new());
}

#[test]
fn a_pure_crate_may_not_read_the_clock_or_files_but_its_tests_may() {
    let tree = Tree::good();
    tree.write("crates/core/src/lib.rs", "//! A crate.\nfn now() -> Instant {\n    Instant::now()\n}\n");
    tree.fails_only_at("crates/core/src/lib.rs:3", "`Instant::now` in a pure crate");
    let in_tests = "//! A crate.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    tree.write("crates/core/src/lib.rs", in_tests);
    tree.write("crates/core/tests/all.rs", "//! Tests.\nuse std::fs;\n");
    assert_eq!(tree.problems(), Vec::<String>::new());
}

#[test]
fn what_is_simulated_spawns_through_env_and_chooses_nothing_by_chance() {
    let tree = Tree::good();
    let file = "crates/shell/src/lib.rs";
    for spawn in ["tokio::spawn(run());", "tasks.spawn(run());"] {
        tree.write(file, &format!("//! A crate.\nfn start() {{\n    {spawn}\n}}\n"));
        tree.fails_only_at(&format!("{file}:3"), "process");
    }
    let select = |biased: &str| {
        format!("//! A crate.\nfn run() {{\n    tokio::{} {{\n{biased}    }}\n}}\n", concat!("sel", "ect!"))
    };
    tree.write(file, &select(""));
    tree.fails_only_at(&format!("{file}:3"), "biased");
    tree.write(file, &select("        biased;\n"));
    assert_eq!(tree.problems(), Vec::<String>::new());
    tree.write("tool/src/lib.rs", "//! A crate.\nfn start() {\n    tokio::spawn(run());\n}\n");
    assert_eq!(tree.problems(), Vec::<String>::new());
}

#[test]
fn a_crate_without_a_row_fails_whether_in_the_workspace_or_not() {
    let tree = Tree::good();
    tree.member("crates/extra", "");
    tree.fails_only_at("crates/extra/Cargo.toml", "add a row for `crates/extra`");

    let tree = Tree::good();
    tree.write("outside/Cargo.toml", "[package]\nname = \"outside\"\nversion = \"0.1.0\"\n[workspace]\n");
    tree.write("outside/src/lib.rs", "//! A crate.\n");
    tree.fails_only_at("outside/Cargo.toml", "add a row for `outside`");
}

#[test]
fn a_member_that_does_not_take_the_workspaces_lints_fails() {
    let tree = Tree::good();
    let manifest = fs::read_to_string(tree.root().join("crates/core/Cargo.toml")).unwrap();
    tree.write("crates/core/Cargo.toml", manifest.split("[lints]").next().unwrap());
    tree.fails_only_at("crates/core/Cargo.toml", "the workspace's lints");
}

#[test]
fn a_row_without_a_crate_fails() {
    let tree = Tree::good();
    let row = "| `tool` | tool | anything | checks |\n";
    tree.write("ARCHITECTURE.md", &MAP.replace(row, &format!("{row}| `sim` | tool | anything | faults |\n")));
    tree.fails_only_at("ARCHITECTURE.md:8", "there is no crate `sim`");
}

#[test]
fn a_row_that_cannot_be_read_fails() {
    let tree = Tree::good();
    tree.write("ARCHITECTURE.md", &MAP.replace("| shell | core |", "| wrapper | core |"));
    let problems = tree.problems();
    assert!(problems[0].starts_with("ARCHITECTURE.md:6: `wrapper` is no kind"), "{problems:#?}");
}

#[test]
fn a_map_without_the_table_fails() {
    let tree = Tree::good();
    tree.write("ARCHITECTURE.md", "# Map\n");
    assert!(tree.problems()[0].starts_with("ARCHITECTURE.md: has no table"), "{:#?}", tree.problems());
}

#[test]
fn a_path_in_the_map_that_does_not_exist_fails() {
    let tree = Tree::good();
    tree.write("ARCHITECTURE.md", &MAP.replace("core/src/lib.rs", "core/src/gone.rs"));
    tree.fails_only_at("ARCHITECTURE.md:9", "`core/src/gone.rs` does not exist");
}

#[test]
fn a_file_over_700_lines_fails_unless_exempted_by_its_exact_length() {
    let long = |lines: usize| format!("//! Long.\n{}", "\n".repeat(lines - 1));
    let tree = Tree::good();
    let file = "crates/core/src/long.rs";
    tree.write(file, &long(700));
    assert_eq!(tree.problems(), Vec::<String>::new());
    tree.write(file, &long(701));
    tree.fails_only_at(file, "701 lines, 700 at most");

    tree.write(super::sizes::EXEMPTIONS, &format!("# The list.\n{file} 701\n"));
    assert_eq!(tree.problems(), Vec::<String>::new());
    tree.write(file, &long(702));
    tree.fails_only_at("xtask/tidy-exemptions.txt:2", "has grown from 701 to 702");
}

#[test]
fn an_exemption_that_is_larger_than_needed_or_not_needed_fails() {
    let tree = Tree::good();
    let file = "crates/core/src/long.rs";
    tree.write(file, &format!("//! Long.\n{}", "\n".repeat(700)));
    tree.write(super::sizes::EXEMPTIONS, &format!("{file} 800\n"));
    tree.fails_only_at("xtask/tidy-exemptions.txt:1", "lower its entry to 701");
    tree.write(file, "//! Short.\n");
    tree.fails_only_at("xtask/tidy-exemptions.txt:1", "remove the entry");
    fs::remove_file(tree.root().join(file)).unwrap();
    tree.fails_only_at("xtask/tidy-exemptions.txt:1", "does not exist");
    tree.write(super::sizes::EXEMPTIONS, &format!("{file}\n"));
    tree.fails_only_at("xtask/tidy-exemptions.txt:1", "not `path lines`");
}

#[test]
fn every_rust_file_opens_with_its_head_tests_and_build_scripts_included() {
    for file in ["crates/core/src/more.rs", "crates/core/tests/claims.rs", "crates/core/build.rs"] {
        let tree = Tree::good();
        tree.write(file, "fn main() {}\n");
        tree.fails_only_at(&format!("{file}:1"), "does not open with `//!`");
    }
}

#[test]
fn markers_of_unfinished_work_fail() {
    // Spelt so that this file has none.
    for marker in
        ["to-do!()", "unimpl-emented!()", "#[ig-nore = \"slow\"]", "// FIX-ME later", "// X-XX", "// HA-CK:"]
    {
        let tree = Tree::good();
        tree.write("crates/core/src/lib.rs", &format!("//! A crate.\n{}\n", marker.replace('-', "")));
        tree.fails_only_at("crates/core/src/lib.rs:2", "finish it");
    }
    let tree = Tree::good();
    tree.write("run.sh", "mktemp -d ottla.XXXXXX\n");
    assert_eq!(tree.problems(), Vec::<String>::new());
}

#[test]
fn a_machines_path_fails_outside_tests() {
    let tree = Tree::good();
    let source = "//! A crate.\nconst HERE: &str = \"/home/someone/ottla\";\n";
    tree.write("crates/core/src/lib.rs", source);
    tree.fails_only_at("crates/core/src/lib.rs:2", "`/home/` is a path of one machine");
    tree.write("crates/core/src/lib.rs", "//! A crate.\n");
    tree.write("crates/core/tests/claims.rs", source);
    // Kafka's own default, and a link with such a part.
    tree.write(
        "crates/shell/src/lib.rs",
        "//! See https://example.org/home/x.\nconst D: &str = \"/tmp/kafka-logs\";\n",
    );
    assert_eq!(tree.problems(), Vec::<String>::new());
}

#[test]
fn white_space_at_the_end_of_a_line_and_a_missing_newline_fail() {
    let tree = Tree::good();
    tree.write("README.md", "# A tree \n");
    tree.fails_only_at("README.md:1", "white space");
    tree.write("README.md", "# A tree");
    tree.fails_only_at("README.md", "does not end with a newline");
}
