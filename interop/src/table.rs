//! What is printed at the end: the matrix of scenarios and clients, the failures in full, and the closing line.

use std::{fmt::Write as _, time::Duration};

use comfy_table::{CellAlignment, Table as Grid, presets};

use crate::scenario::{self, Outcome, Scenario};

/// All clients' results.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<Column>,
}

/// One client's results.
#[derive(Debug)]
pub(crate) struct Column {
    client: &'static str,
    cells: Vec<(Scenario, Outcome, Duration)>,
    /// Why nothing was run, for a client that is not on this machine.
    skipped: Option<String>,
    /// Failures that belong to no scenario.
    failures: Vec<String>,
}

impl Column {
    pub(crate) fn new(client: &'static str) -> Self {
        Self { client, cells: Vec::new(), skipped: None, failures: Vec::new() }
    }

    pub(crate) fn skipped(client: &'static str, reason: String) -> Self {
        Self { skipped: Some(reason), ..Self::new(client) }
    }

    pub(crate) fn failed(client: &'static str, reason: String) -> Self {
        Self { failures: vec![reason], ..Self::new(client) }
    }

    pub(crate) fn add(&mut self, scenario: Scenario, outcome: Outcome, took: Duration) {
        self.cells.push((scenario, outcome, took));
    }

    /// Records a failure that belongs to no scenario.
    pub(crate) fn note(&mut self, failure: String) {
        self.failures.push(failure);
    }

    pub(crate) fn summary(&self) -> String {
        match &self.skipped {
            Some(reason) => format!("skipped: {reason}"),
            None => format!("{} passed, {} failed", self.count_passed(), self.count_failed()),
        }
    }

    fn count_passed(&self) -> usize {
        self.cells.iter().filter(|(_, outcome, _)| *outcome == Outcome::Passed).count()
    }

    fn count_failed(&self) -> usize {
        let cells = self.cells.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).count();
        cells + self.failures.len()
    }

    fn cell(&self, wanted: &Scenario) -> String {
        match self.cells.iter().find(|(scenario, _, _)| scenario == wanted) {
            None => String::new(),
            Some((_, Outcome::Passed, took)) => format!("{:.1} s", took.as_secs_f64()),
            Some((_, Outcome::Failed(_), _)) => "FAILED".to_owned(),
            Some((_, Outcome::NotOffered, _)) => "-".to_owned(),
        }
    }
}

impl Table {
    pub(crate) fn add(&mut self, column: Column) {
        self.columns.push(column);
    }

    /// Whether nothing failed, and something passed: an empty run proves nothing.
    pub(crate) fn passed(&self) -> bool {
        self.total(Column::count_failed) == 0 && self.total(Column::count_passed) > 0
    }

    pub(crate) fn closing_line(&self) -> String {
        let skipped = self.columns.iter().filter(|column| column.skipped.is_some()).count();
        let mut line = format!(
            "{} passed, {} failed",
            self.total(Column::count_passed),
            self.total(Column::count_failed)
        );
        if skipped > 0 {
            let _ = write!(line, ", {skipped} skipped");
        }
        line
    }

    fn total(&self, count: impl Fn(&Column) -> usize) -> usize {
        self.columns.iter().map(count).sum()
    }

    /// The matrix, and below it what failed and what was skipped, each with its reason.
    pub(crate) fn render(&self) -> String {
        let mut text = self.grid();
        text.push('\n');
        for column in &self.columns {
            if let Some(reason) = &column.skipped {
                let _ = writeln!(text, "skipped {}: {reason}", column.client);
            }
            for (scenario, outcome, _) in &column.cells {
                if let Outcome::Failed(reason) = outcome {
                    let _ = writeln!(
                        text,
                        "failed {}/{} ({}): {}",
                        column.client,
                        scenario.name,
                        scenario.claim,
                        shortened(reason)
                    );
                }
            }
            for failure in &column.failures {
                let _ = writeln!(text, "failed {}: {failure}", column.client);
            }
        }
        text
    }

    fn grid(&self) -> String {
        let ran: Vec<_> = self.columns.iter().filter(|column| !column.cells.is_empty()).collect();
        let mut grid = Grid::new();
        grid.load_style(presets::ASCII_MARKDOWN);
        grid.set_header(std::iter::once("scenario").chain(ran.iter().map(|column| column.client)));
        let was_run = |wanted: &&Scenario| {
            ran.iter().any(|column| column.cells.iter().any(|(scenario, _, _)| scenario == *wanted))
        };
        for scenario in scenario::ALL.iter().chain(scenario::ON_THREE).filter(was_run) {
            let cells = ran.iter().map(|column| column.cell(scenario));
            grid.add_row(std::iter::once(scenario.name.to_owned()).chain(cells));
        }
        for column in grid.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        grid.to_string()
    }
}

/// On one line, its middle left out if it is very long.
fn shortened(reason: &str) -> String {
    const ENDS: usize = 500;
    let words: Vec<char> = reason.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if words.len() <= 2 * ENDS {
        return words.iter().collect();
    }
    let (first, last) = (&words[..ENDS], &words[words.len() - ENDS..]);
    format!("{} ... {}", first.iter().collect::<String>(), last.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(outcomes: &[Outcome]) -> Column {
        let mut column = Column::new("kcat");
        for (scenario, outcome) in scenario::ALL.iter().zip(outcomes) {
            column.add(*scenario, outcome.clone(), Duration::from_millis(1500));
        }
        column
    }

    #[test]
    fn what_a_client_cannot_do_counts_neither_as_passed_nor_as_failed() {
        let mut table = Table::default();
        table.add(ran(&[Outcome::Passed, Outcome::NotOffered, Outcome::Passed]));
        assert_eq!(table.closing_line(), "2 passed, 0 failed");
        assert!(table.passed());
    }

    #[test]
    fn a_failure_is_counted_and_told_with_its_reason() {
        let mut table = Table::default();
        table.add(ran(&[Outcome::Passed, Outcome::Failed("9 of 10 records came back".to_owned())]));
        table.add(Column::failed("franz-go", "cannot be installed: no network".to_owned()));
        assert_eq!(table.closing_line(), "1 passed, 2 failed");
        assert!(!table.passed());
        let text = table.render();
        assert!(text.contains("9 of 10 records came back"), "{text}");
        assert!(text.contains("failed franz-go: cannot be installed: no network"), "{text}");
    }

    #[test]
    fn a_skipped_client_is_named_and_an_empty_run_does_not_pass() {
        let mut table = Table::default();
        table.add(Column::skipped("franz-go", "no `go` on this machine".to_owned()));
        assert_eq!(table.closing_line(), "0 passed, 0 failed, 1 skipped");
        assert!(!table.passed());
        assert!(table.render().contains("skipped franz-go: no `go` on this machine"));
    }
}
