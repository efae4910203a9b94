//! Charts of a report as SVG text for its page: a line of text and a mark for each row, from top to bottom.

use super::spread::figures;
use crate::base::plot::{element, number, rgb};
use crate::base::{Error, Result};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width of a chart, room for its labels and for the figures at its right end, height of a row, in its own coordinates.
const WIDTH: u32 = 900;
const LABELS: u32 = 400;
const FIGURES: u32 = 70;
const ROW: u32 = 22;
/// How far the axis of a strip reaches at the most, as a multiple of the median; what lies beyond is drawn at its end.
const FAR: f64 = 3.0;

/// The most samples of a row that get a dot; of more, every second, third, …
const DOTS: usize = 300;

/// A row of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What it is.
    pub label: String,
    /// Which of the colours it has.
    pub colour: usize,
    /// Its samples, as multiples of their median.
    pub samples: Vec<f64>,
    /// Its rate.
    pub rate: f64,
}

/// A row of a chart of intervals.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    /// What it is.
    pub label: String,
    /// Which of the colours it has.
    pub colour: usize,
    /// Its lower end.
    pub low: f64,
    /// The estimate.
    pub middle: f64,
    /// Its upper end.
    pub high: f64,
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// A bar of each row's rate.
pub(super) fn bars(title: &str, unit: &str, lines: &[Line]) -> Result<String> {
    let most = lines.iter().map(|l| l.rate).fold(0.0, f64::max);
    let tick = |v: &f64| if most < 1.0 { figures(*v, 2) } else { number(*v) };
    let labels: Vec<&str> = lines.iter().map(|l| l.label.as_str()).collect();
    chart(title, unit, 0.0..(most * 1.02).max(1e-9), &tick, &labels, &|area, i| {
        let (y, l) = (i as f64, &lines[i]);
        area.draw(&Rectangle::new([(0.0, y + 0.2), (l.rate, y + 0.8)], rgb(l.colour).filled()))?;
        Ok(vec![(l.rate, figures(l.rate, 3))])
    })
}

/// A dot for each sample of each row, and a box from quartile to quartile.
pub(super) fn strips(title: &str, lines: &[Line]) -> Result<String> {
    let all = || lines.iter().flat_map(|l| &l.samples);
    let low = all().copied().fold(0.9, f64::min);
    let high = all().copied().fold(1.1, f64::max).min(FAR);
    let x = "time of a sample over the row's median";
    let labels: Vec<&str> = lines.iter().map(|l| l.label.as_str()).collect();
    chart(title, x, low..high, &|v| format!("{v:.2}"), &labels, &|area, i| {
        let l = &lines[i];
        let (y, colour, s) = (i as f64, rgb(l.colour), super::Spread::of(&l.samples));
        let ends = [(s.q1.clamp(low, high), y + 0.15), (s.q3.clamp(low, high), y + 0.85)];
        area.draw(&Rectangle::new(ends, colour.mix(0.3).filled()))?;
        area.draw(&PathElement::new([(1.0, y + 0.1), (1.0, y + 0.9)], colour.stroke_width(2)))?;
        for (k, v) in l.samples.iter().enumerate().step_by(l.samples.len().div_ceil(DOTS)) {
            // Spread over the row's height in the order of time, so that a drift shows as a slope.
            let at = y + 0.2 + 0.6 * k as f64 / l.samples.len().max(2).saturating_sub(1) as f64;
            area.draw(&Circle::new((v.clamp(low, high), at), 1, colour.mix(0.7).filled()))?;
        }
        Ok(Vec::new())
    })
}

/// A dot for each row's ratio on the line of its interval, and a band for changes within the threshold.
pub(super) fn intervals(title: &str, threshold: f64, lines: &[Interval]) -> Result<String> {
    let ends = || lines.iter().flat_map(|l| [l.low, l.high]).filter(|v| v.is_finite());
    let low = ends().fold(1.0 / (1.0 + 2.0 * threshold), f64::min).max(1.0 / FAR);
    let high = ends().fold(1.0 + 2.0 * threshold, f64::max).min(FAR);
    let labels: Vec<&str> = lines.iter().map(|l| l.label.as_str()).collect();
    chart(title, "ratio of times", low..high, &|v| format!("{v:.2}"), &labels, &|area, i| {
        let (y, l) = (i as f64, &lines[i]);
        let (colour, at) = (rgb(l.colour), |v: f64| v.clamp(low, high));
        let band = [(1.0 / (1.0 + threshold), y), (1.0 + threshold, y + 1.0)];
        area.draw(&Rectangle::new(band, BLACK.mix(0.07).filled()))?;
        area.draw(&PathElement::new([(at(l.low), y + 0.5), (at(l.high), y + 0.5)], colour.stroke_width(2)))?;
        area.draw(&Circle::new((at(l.middle), y + 0.5), 4, colour.filled()))?;
        Ok(vec![(high, format!("{:.2}", l.middle))])
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// The figures beside a row: where, and what.
type Figures = std::result::Result<Vec<(f64, String)>, Box<dyn std::error::Error>>;
/// Draws a row.
type Draw<'d> = &'d dyn Fn(&Area<'_>, usize) -> Figures;

fn chart(
    title: &str,
    x_label: &str,
    x: std::ops::Range<f64>,
    tick: &dyn Fn(&f64) -> String,
    labels: &[&str],
    draw: Draw<'_>,
) -> Result<String> {
    let mut text = String::new();
    let drawn = chart_on(&mut text, x_label, x, tick, labels, draw);
    drawn.map_err(|e| Error::Failed(format!("cannot draw the chart {title:?}: {e}")))?;
    element(title, &text)
}

fn chart_on(
    text: &mut String,
    x_label: &str,
    x: std::ops::Range<f64>,
    tick: &dyn Fn(&f64) -> String,
    labels: &[&str],
    draw: Draw<'_>,
) -> Drawn {
    let root = SVGBackend::with_string(text, (WIDTH, ROW * labels.len() as u32 + 56)).into_drawing_area();
    let ink = |size: u32, alpha: f64| ("sans-serif", size).into_font().color(&BLACK.mix(alpha));
    let mut chart = ChartBuilder::on(&root)
        .margin_top(4)
        .margin_left(LABELS)
        .margin_right(FIGURES)
        .set_label_area_size(LabelAreaPosition::Bottom, 46)
        .build_cartesian_2d(x.clone(), labels.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.13))
        .axis_style(BLACK.mix(0.45))
        .x_labels(8)
        .x_label_formatter(&|v| tick(v))
        .label_style(ink(13, 0.8))
        .axis_desc_style(ink(14, 0.9))
        .x_desc(x_label)
        .draw()?;
    for (i, label) in labels.iter().enumerate() {
        let middle = i as f64 + 0.5;
        let beside = |h| Pos::new(h, VPos::Center);
        let at = chart.backend_coord(&(x.start, middle));
        root.draw(&Text::new(label.to_string(), (at.0 - 8, at.1), ink(13, 0.95).pos(beside(HPos::Right))))?;
        for (v, figure) in draw(chart.plotting_area(), i)? {
            let at = chart.backend_coord(&(v, middle));
            root.draw(&Text::new(figure, (at.0 + 5, at.1), ink(12, 0.8).pos(beside(HPos::Left))))?;
        }
    }
    root.present()?;
    drop(chart);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_label_and_mark() {
        let line = |label: &str, rate| Line { label: label.into(), colour: 1, samples: vec![0.95, 1.0, 9.0], rate };
        let lines = [line("relu <a>", 3.0), line("relu b", 123.4)];
        let svg = bars("rates", "GFLOP/s", &lines).unwrap();
        for part in ["relu &lt;a&gt;", "relu b", "123", "3.00", "GFLOP/s", "currentColor"] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        let svg = strips("samples", &lines).unwrap();
        assert_eq!(svg.matches("<circle").count(), 6);
        let row = |label: &str, low, middle, high| Interval { label: label.into(), colour: 2, low, middle, high };
        let svg = intervals("ratios", 0.1, &[row("a", 0.9, 1.0, 1.1), row("b", 0.0, 1.5, f64::NAN)]).unwrap();
        assert!(svg.matches("<circle").count() == 2 && svg.contains("1.50"), "{svg}");
        assert!(bars("nothing", "GB/s", &[]).is_ok() && strips("nothing", &[]).is_ok());
    }
}
