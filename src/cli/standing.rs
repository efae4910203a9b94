//! How far a study is, in words.

use super::listener::clock;
use crate::base::grouped::Grouped;
use crate::base::text::counted;
use crate::study::{Cell, CellState, Standing};

/// This many reasons are printed; a table may have many cells that failed.
const TOLD: usize = 20;

/// The state of a cell for a table.
pub(super) fn in_words(state: &CellState) -> String {
    match state {
        CellState::Running { done, epochs } if *epochs > 0 => format!("running, {done}/{epochs} epochs"),
        other => other.word().to_string(),
    }
}

/// How many cells are in which state, the time left, and the reasons of what failed or is damaged.
pub(super) fn summary(standing: &Standing, grid: &[Cell]) -> String {
    let counts = standing.counts().into_iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}"));
    let mut lines =
        vec![format!("{}: {}{}", counted(grid.len(), "cell"), counts.collect::<Vec<_>>().join(", "), left(standing))];
    let mut reasons: Grouped<(&str, &str), (&str, usize)> = Grouped::default();
    for (cell, state) in grid.iter().zip(&standing.cells) {
        if let Some(why) = state.reason() {
            reasons.of((state.word(), why), || (cell.name.as_str(), 0)).1 += 1;
        }
    }
    let reasons = reasons.all();
    for ((word, why), (first, n)) in reasons.iter().take(TOLD) {
        let more = if *n > 1 { format!(" and {} more", counted(n - 1, "cell")) } else { String::new() };
        lines.push(format!("{word}: {first}{more}: {why}"));
    }
    if reasons.len() > TOLD {
        lines.push(format!("{} more reasons; --json has each", reasons.len() - TOLD));
    }
    lines.join("\n")
}

/// The time left, as far as it is known.
fn left(standing: &Standing) -> String {
    let at_work = match standing.processes {
        0 => "no process works on it".to_string(),
        1 => "one process works on it".to_string(),
        n => format!("{n} processes work on it"),
    };
    let going = standing.cells.iter().any(|c| matches!(c, CellState::Waiting | CellState::Running { .. }));
    match standing.left_s {
        _ if !going => String::new(),
        Some(s) if standing.processes == 0 => format!("; {at_work}, about {} left for one", clock(s)),
        Some(s) => format!("; {at_work}, about {} left", clock(s)),
        None => format!("; {at_work}, and no cell says yet how long one takes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Config, cells};

    #[test]
    fn a_summary_counts_and_names_each_reason_once() {
        let grid = cells(&Config::parse("t", "seeds = [0, 1]\n[pretraining]\nmethods = [\"none\"]\n").unwrap());
        let failed = || CellState::Failed("no room".into());
        let mut standing = Standing {
            cells: vec![CellState::Done(9.0), failed(), failed(), CellState::Running { done: 1, epochs: 3 }],
            processes: 1,
            left_s: Some(3725.0),
        };
        let said = summary(&standing, &grid);
        let due = "4 cells: 1 done, 1 running, 2 failed; one process works on it, about 1:02:05 left\n";
        assert!(said.starts_with(due), "{said}");
        assert_eq!(said[due.len()..], format!("failed: {} and 1 cell more: no room", grid[1].name));
        assert_eq!(in_words(&standing.cells[3]), "running, 1/3 epochs");
        (standing.left_s, standing.processes) = (None, 0);
        assert!(summary(&standing, &grid).contains("no process works on it, and no cell says yet"));
        standing.cells = vec![CellState::Done(9.0); 4];
        assert_eq!(summary(&standing, &grid), "4 cells: 4 done");
    }
}
