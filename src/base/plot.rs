//! Line plots as SVG text for an HTML page. Text, axes and grid take the page's own colour, so a plot is readable on a
//! light and on a dark page. The size follows the page.

mod look;
#[cfg(test)]
mod tests;

use crate::base::{Error, Result};
use look::{MARKERS, dash};
pub use look::{colour, key, mark_key, marker, rgb};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

/// Width and height of a plot in its own coordinates.
const SIZE: (u32, u32) = (380, 250);

/// The largest coordinate that is drawn. Beyond it an axis has no floats left between its ends.
const FARTHEST: f64 = 1e12;

/// Whether a number is too large to draw, or is NaN.
fn is_far(v: f64) -> bool {
    v.is_nan() || v.abs() >= FARTHEST
}

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The horizontal value.
    pub x: f64,
    /// The vertical value.
    pub y: f64,
    /// Half the length of the bar drawn around it.
    pub spread: Option<f64>,
}

/// A line of a plot.
#[derive(Clone, Debug)]
pub struct Line {
    /// Which line of all it is: its colour, dashes and marker follow.
    pub style: usize,
    /// Its points, from left to right.
    pub points: Vec<Point>,
    /// The ends of the band around it, from below to above, one pair for each point; or none at all.
    pub band: Vec<[f64; 2]>,
    /// Whether each point has its marker; else a few have.
    pub dots: bool,
}

/// A plot of lines in percent. The caption must say what the vertical axis is, because text along that axis is hard to
/// read.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What the plot shows, as text for screen readers.
    pub title: String,
    /// The name of the horizontal axis.
    pub x_label: String,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Plot {
    /// The plot as an `<svg>` element.
    pub fn svg(&self) -> Result<String> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|e| Error::Failed(format!("cannot draw the plot {:?}: {e}", self.title)))?;
        element(&self.title, &text)
    }

    fn draw(&self, text: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
        self.expect_near()?;
        // Where all points have one place, it alone has a tick: nothing was measured beside it. It is drawn at 0, where there
        // always is one.
        let first = self.points().map(|p| p.x).next().filter(|x| self.points().all(|p| p.x == *x));
        let at = |x: f64| x - first.unwrap_or(0.0);
        let (x0, x1) = span(self.points().map(|p| at(p.x)));
        let air_x = (x1 - x0) * 0.05;
        let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
        let axes = Axes {
            room: [10, 12, 48],
            x: x0 - air_x..x1 + air_x,
            y: self.heights(),
            x_label: &self.x_label,
            ticks: 6,
            x_tick: &|v| match first {
                Some(only) if v.abs() < 1e-9 => number(only),
                Some(_) => String::new(),
                None => number(*v),
            },
            y_tick: &|v| format!("{} %", number(*v)),
        };
        let mut chart = axes.on(&root)?;
        // Bands lie below all lines: where many overlap, the lines still show.
        for line in self.lines.iter().filter(|l| !l.band.is_empty()) {
            let end = |i: usize| line.points.iter().zip(&line.band).map(move |(p, ends)| (at(p.x), ends[i]));
            let (below, above): (Vec<_>, Vec<_>) = (end(0).collect(), end(1).collect());
            let around = below.into_iter().chain(above.into_iter().rev());
            chart.draw_series([Polygon::new(around.collect::<Vec<_>>(), rgb(line.style).mix(0.13).filled())])?;
        }
        self.lines.iter().try_for_each(|line| line.draw(&mut chart, &at, (x1 - x0) * 0.012))?;
        root.present()?;
        drop(chart);
        Ok(())
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.lines.iter().flat_map(|l| &l.points)
    }

    fn bands(&self) -> impl Iterator<Item = f64> {
        self.lines.iter().flat_map(|l| l.band.iter().flatten().copied())
    }

    /// It is an error if a number cannot be drawn.
    fn expect_near(&self) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let is_beyond = |p: &&Point| [p.x, p.y, p.spread.unwrap_or(0.0)].iter().any(|&v| is_far(v));
        if let Some(p) = self.points().find(is_beyond) {
            return Err(format!("a point at {} and {} ± {:?} is not a measurement", p.x, p.y, p.spread).into());
        }
        if self.bands().any(is_far) || self.lines.iter().any(|l| !l.band.is_empty() && l.band.len() != l.points.len()) {
            return Err("a band has an end for each point, and each is a measurement".into());
        }
        Ok(())
    }

    /// From where to where the vertical axis goes, with some space around the data. An axis of percent ends at 0 and 100.
    fn heights(&self) -> Range<f64> {
        let spread = |p: &Point| p.spread.unwrap_or(0.0);
        let (y0, y1) = span(self.points().flat_map(|p| [p.y - spread(p), p.y + spread(p)]).chain(self.bands()));
        let air = ((y1 - y0) * 0.08).max(1.0);
        // If all the data lie beyond 0 or 100, the axis follows the data.
        match (y0 - air).max(-2.0) < (y1 + air).min(102.0) {
            true => (y0 - air).max(-2.0)..(y1 + air).min(102.0),
            false => y0 - air..y1 + air,
        }
    }
}

/// The axes of a chart, in the style of all plots of a page.
pub struct Axes<'a> {
    /// Space above the chart and at its right, and room for labels at its left, in its own coordinates.
    pub room: [u32; 3],
    /// From where to where the horizontal axis goes.
    pub x: Range<f64>,
    /// The same of the vertical axis.
    pub y: Range<f64>,
    /// The name of the horizontal axis.
    pub x_label: &'a str,
    /// The most numbers at each axis.
    pub ticks: usize,
    /// The text of a number at the horizontal axis.
    pub x_tick: &'a dyn Fn(&f64) -> String,
    /// The same at the vertical axis.
    pub y_tick: &'a dyn Fn(&f64) -> String,
}

/// A chart with its axes, to draw in.
pub type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Text of this size, so dark.
pub fn ink(size: u32, alpha: f64) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK.mix(alpha))
}

impl Axes<'_> {
    /// Draws the axes and their grid.
    pub fn on<'a>(
        self,
        root: &DrawingArea<SVGBackend<'a>, Shift>,
    ) -> std::result::Result<Chart<'a>, Box<dyn std::error::Error>> {
        let [top, right, left] = self.room;
        let mut chart = ChartBuilder::on(root)
            .margin_top(top)
            .margin_right(right)
            .set_label_area_size(LabelAreaPosition::Left, left)
            .set_label_area_size(LabelAreaPosition::Bottom, 44)
            .build_cartesian_2d(self.x, self.y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.13))
            .axis_style(BLACK.mix(0.45))
            .x_labels(self.ticks)
            .y_labels(self.ticks)
            .x_label_formatter(&self.x_tick)
            .y_label_formatter(&self.y_tick)
            .label_style(ink(15, 0.8))
            .axis_desc_style(ink(16, 0.9))
            .x_desc(self.x_label)
            .draw()?;
        Ok(chart)
    }
}

impl Line {
    /// Draws the line, its markers and its bars, whose ends are `cap` wide on either side. `at` gives the place of a
    /// horizontal value.
    fn draw(
        &self,
        chart: &mut Chart<'_>,
        at: &dyn Fn(f64) -> f64,
        cap: f64,
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let (style, filled) = (rgb(self.style).stroke_width(2), rgb(self.style).filled());
        let places = self.points.iter().map(|p| (at(p.x), p.y));
        match dash(self.style) {
            None => chart.draw_series(LineSeries::new(places, style)).map(drop)?,
            Some((on, off)) => chart.draw_series(DashedLineSeries::new(places, on, off, style)).map(drop)?,
        }
        for (x, y) in self.marked() {
            let place = (at(x), y);
            match marker(self.style) {
                [] => chart.draw_series([Circle::new(place, 4, filled)]).map(drop)?,
                corners => {
                    let shape = EmptyElement::at(place) + Polygon::new(corners.to_vec(), filled);
                    chart.draw_series([shape]).map(drop)?;
                }
            }
        }
        for (p, s) in self.points.iter().filter_map(|p| Some((p, p.spread?))) {
            let bar = |ends: [(f64, f64); 2]| PathElement::new(ends, style);
            let x = at(p.x);
            chart.draw_series([
                bar([(x, p.y - s), (x, p.y + s)]),
                bar([(x - cap, p.y - s), (x + cap, p.y - s)]),
                bar([(x - cap, p.y + s), (x + cap, p.y + s)]),
            ])?;
        }
        Ok(())
    }

    /// The places of its markers: all points, or about four, which differ from line to line.
    fn marked(&self) -> impl Iterator<Item = (f64, f64)> {
        let every = if self.dots { 1 } else { self.points.len().div_ceil(4).max(1) };
        let first = (self.style * every / MARKERS.len()) % every;
        self.points.iter().skip(first).step_by(every).map(|p| (p.x, p.y))
    }
}

/// The drawing of plotters as an `<svg>` element of the page. Its size and its black follow the page.
pub fn element(title: &str, text: &str) -> Result<String> {
    let Some(body) = text.find("viewBox").map(|i| &text[i..]) else {
        return Err(Error::Failed(format!("the plot {title:?} came out without a size")));
    };
    let title = escape(title);
    Ok(format!("<svg role=\"img\" aria-label=\"{title}\" {}", body.replace("#000000", "currentColor")))
}

/// The smallest and the largest of the finite values. They always differ.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0); // there are no points
    }
    // An axis has no ticks if its ends are equal, or so close that hardly a float lies between them.
    let scale = low.abs().max(high.abs()).max(1.0);
    if high - low > 1e-6 * scale { (low, high) } else { (low - scale * 1e-6 - 1.0, high + scale * 1e-6 + 1.0) }
}

/// Escapes text for HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The number of a tick, without a fraction if it is whole.
pub fn number(v: f64) -> String {
    let v = if v.abs() < 1e-9 { 0.0 } else { v };
    if (v - v.round()).abs() < 1e-6 { format!("{v:.0}") } else { format!("{v:.1}") }
}
