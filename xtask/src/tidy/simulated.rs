//! What code must not do that runs in simulations: spawn a task of which its process does not know, or choose by chance.
//!
//! Not here: pure crates, which do neither, and programs and tools, which no simulation runs.

use std::path::Path;

use super::{
    Problem,
    architecture::{Kind, Map},
    tree::TextFile,
};

// Spelt in two halves, so that this file does not trip over itself.
const SELECT: &str = concat!("sel", "ect! {");

pub(super) fn check(files: &[TextFile], map: &Map) -> Vec<Problem> {
    files.iter().filter(|file| is_simulated(file, map)).flat_map(problems).collect()
}

fn is_simulated(file: &TextFile, map: &Map) -> bool {
    let row_is = |row: &super::architecture::Row| {
        matches!(row.kind, Kind::Storage | Kind::Shell)
            && file.path.starts_with(Path::new(&row.folder).join("src"))
    };
    file.is_rust() && map.rows.iter().any(row_is)
}

fn problems(file: &TextFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut lines = file.product_lines().peekable();
    while let Some((line, text)) = lines.next() {
        let spawns = text.contains("tokio::spawn(")
            || text.contains("task::spawn(")
            || (text.contains(".spawn(") && !text.contains("self.spawn("));
        if spawns {
            let message =
                "spawns past `ottla_env::process`: a simulation could neither pause nor end the task";
            problems.push(Problem::at(&file.path, line, message));
        }
        let is_biased = lines.peek().is_some_and(|(_, next)| next.trim() == "biased;");
        if text.trim_end().ends_with(SELECT) && !is_biased {
            let message =
                format!("`{SELECT}` without `biased;` chooses by chance, and a seed would not say all");
            problems.push(Problem::at(&file.path, line, message));
        }
    }
    problems
}
