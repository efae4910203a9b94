//! The performance profile: how many runs under noise are above each accuracy.

use super::compared::{Signal, everywhere};
use super::names;
use super::read::Study;
use crate::base::Result;
use crate::base::plot::{Line, Plot, Point, escape, key};
use crate::ssl;
use crate::study::statistics;

/// The accuracies at which runs are counted, in percent.
const AT: std::ops::RangeInclusive<u32> = 0..=100;

/// A pretraining, and the share of its runs above each accuracy: (accuracy, share), both in percent.
pub(super) struct ProfileLine {
    pub pretraining: String,
    points: Vec<(f64, f64)>,
}

/// A line for each pretraining. Only runs whose labels are noisy and still say something of the truth count; each dataset
/// weighs the same.
pub(super) fn lines(study: &Study) -> Result<Vec<ProfileLine>> {
    let signal = Signal::of(study)?;
    let mut all = Vec::new();
    for name in std::iter::once(ssl::NONE.to_string()).chain(everywhere(study).0) {
        let of_set = |dataset: &str| -> Vec<f64> {
            let ours = study.runs.iter().filter(|r| signal.noisy(r) && r.result.dataset == dataset);
            ours.filter(|r| r.result.pretraining == name).map(|r| r.result.test_accuracy * 100.0).collect()
        };
        let strata: Vec<Vec<f64>> = study.datasets.iter().map(|(d, _)| of_set(d)).filter(|s| !s.is_empty()).collect();
        if !strata.is_empty() {
            let at: Vec<f64> = AT.map(f64::from).collect();
            let shares = statistics::profile(&strata, &at).into_iter().map(|s| s * 100.0);
            all.push(ProfileLine { pretraining: name, points: at.iter().copied().zip(shares).collect() });
        }
    }
    Ok(all)
}

/// The section.
pub(super) fn profile(lines: &[ProfileLine]) -> Result<String> {
    if lines.len() < 2 {
        return Ok(String::new());
    }
    let entry = |(i, line): (usize, &ProfileLine)| {
        format!("<li>{}{}</li>\n", key(i), escape(names::pretraining(&line.pretraining)))
    };
    let legend: String = lines.iter().enumerate().map(entry).collect();
    Ok(format!(
        "<h2>Performance profile</h2>\n<p class=\"soft\">The share of runs under noise whose test accuracy is above a value. Every \
         dataset weighs the same, and only noise counts whose labels still say something of the truth. A line that lies above another \
         everywhere is better whatever accuracy one asks for.</p>\n<ul class=\"legend\">\n{legend}</ul>\n<div class=\"plots\">\n\
         <figure class=\"card\"><h3>Runs above an accuracy</h3>\n{}</figure>\n</div>\n",
        svg(lines)?
    ))
}

/// The picture.
pub(super) fn svg(lines: &[ProfileLine]) -> Result<String> {
    let line = |(i, line): (usize, &ProfileLine)| {
        let shown = shown(&line.points, lines);
        let points = shown.iter().map(|&(x, y)| Point { x, y, spread: None }).collect();
        Line { style: i, points, dots: false }
    };
    let lines = lines.iter().enumerate().map(line).collect();
    let title = "Share of runs above a test accuracy, by pretraining".to_string();
    Plot { title, x_label: "test accuracy, %".to_string(), lines }.svg()
}

/// The points where some line is neither at 0 nor at 100, and one more at each side.
fn shown(points: &[(f64, f64)], all: &[ProfileLine]) -> Vec<(f64, f64)> {
    let moves = |i: usize| all.iter().any(|l| l.points.get(i).is_some_and(|p| p.1 > 0.0 && p.1 < 100.0));
    let first = (0..points.len()).find(|&i| moves(i)).unwrap_or(0).saturating_sub(1);
    let last = (0..points.len()).rev().find(|&i| moves(i)).map_or(points.len(), |i| (i + 2).min(points.len()));
    points[first..last].to_vec()
}
