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

/// A pretraining, and the share of its runs above each accuracy, both in percent.
pub(super) struct ProfileLine {
    pub pretraining: String,
    points: Vec<Share>,
}

/// The share of runs above an accuracy, and the ends of its interval; a dataset with a single run has none.
#[derive(Clone, Copy)]
struct Share {
    accuracy: f64,
    share: f64,
    between: Option<[f64; 2]>,
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
            let bands = statistics::profile_bands(&strata, &at, 0).ok();
            let share = |(i, share): (usize, f64)| {
                let between = bands.as_ref().map(|of| [of[i].low * 100.0, of[i].high * 100.0]);
                Share { accuracy: at[i], share: share * 100.0, between }
            };
            let points = statistics::profile(&strata, &at).into_iter().enumerate().map(share).collect();
            all.push(ProfileLine { pretraining: name, points });
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
    let banded = lines.iter().filter(|l| l.points.iter().any(|p| p.between.is_some())).count();
    let bands = match banded {
        0 => "There are no bands: a dataset has a single run.",
        n if n < lines.len() => {
            "A band holds, at each accuracy alone, 95 % of what drawing the runs of each dataset again gives; a line has none where a \
             dataset has a single run."
        }
        _ => "A band holds, at each accuracy alone, 95 % of what drawing the runs of each dataset again gives.",
    };
    Ok(format!(
        "<h2>Performance profile</h2>\n<p class=\"soft\">The share of runs under noise whose test accuracy is above a value. Every \
         dataset weighs the same, and only noise counts whose labels still say something of the truth. A line that lies above another \
         everywhere is better whatever accuracy one asks for. {bands}</p>\n<ul class=\"legend\">\n{legend}</ul>\n<div class=\"plots\">\n\
         <figure class=\"card\"><h3>Runs above an accuracy</h3>\n{}</figure>\n</div>\n",
        svg(lines)?
    ))
}

/// The picture.
pub(super) fn svg(lines: &[ProfileLine]) -> Result<String> {
    let line = |(i, line): (usize, &ProfileLine)| {
        let shown = shown(&line.points, lines);
        let points = shown.iter().map(|p| Point { x: p.accuracy, y: p.share, spread: None }).collect();
        let band = shown.iter().filter_map(|p| p.between).collect();
        Line { style: i, points, band, dots: false }
    };
    let lines = lines.iter().enumerate().map(line).collect();
    let title = "Share of runs above a test accuracy, by pretraining".to_string();
    Plot { title, x_label: "test accuracy, %".to_string(), lines }.svg()
}

/// The points where some line is neither at 0 nor at 100, and one more at each side.
fn shown(points: &[Share], all: &[ProfileLine]) -> Vec<Share> {
    let moves = |i: usize| all.iter().any(|l| l.points.get(i).is_some_and(|p| p.share > 0.0 && p.share < 100.0));
    let first = (0..points.len()).find(|&i| moves(i)).unwrap_or(0).saturating_sub(1);
    let last = (0..points.len()).rev().find(|&i| moves(i)).map_or(points.len(), |i| (i + 2).min(points.len()));
    points[first..last].to_vec()
}
