//! The roofline as a picture for a paper: GFLOP/s over flops a byte, both logarithmic, the measured roofs as lines and
//! kernels as numbered points with a key beside them. Dark on white, whatever page it lands on.

use super::Roof;
use crate::base::plot::rgb;
use crate::base::{Error, Result};
use crate::lab::Row;
use plotters::prelude::*;

/// Width of the plot, of the key, and the height of both.
const SIZE: (u32, u32, u32) = (700, 420, 520);
/// Height of a line of the key; what does not fit is counted.
const LINE: i32 = 18;

/// A kernel.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must move.
    pub bytes: u64,
    /// How long it took.
    pub ms: f64,
}

impl From<&Row> for Point {
    fn from(row: &Row) -> Point {
        Point { name: row.name(), flops: row.flops, bytes: row.bytes, ms: row.ms().median }
    }
}

impl Point {
    fn intensity(&self) -> f64 {
        self.flops as f64 / self.bytes as f64
    }

    fn rate(&self) -> f64 {
        self.flops as f64 / self.ms * 1e-6
    }
}

/// The picture as SVG text. Points without arithmetic have no place on it and are counted in the key.
pub fn svg(roof: &Roof, points: &[Point]) -> Result<String> {
    let mut text = String::new();
    draw(roof, points, &mut text).map_err(|e| Error::Failed(format!("cannot draw the roofline: {e}")))?;
    Ok(text)
}

/// A roof: GFLOP/s at an intensity, its name, and whether it is the one that kernels are judged by.
struct Line {
    name: String,
    bandwidth: Option<f64>,
    peak: f64,
    main: bool,
}

fn lines(roof: &Roof) -> Vec<Line> {
    let Some(peak) = roof.f32.median() else { return Vec::new() };
    let mut lines = Vec::new();
    for (what, bandwidth, main) in [("copy", &roof.copy, true), ("cache", &roof.cache, false)] {
        if let Some(b) = bandwidth.median() {
            lines.push(Line { name: format!("{what} {b:.1} GB/s"), bandwidth: Some(b), peak, main });
        }
    }
    for (what, figure) in [("f32", &roof.f32), ("f16", &roof.f16), ("matrix", &roof.matrix)] {
        if let Some(p) = figure.median() {
            let name = format!("{what} {p:.1} GFLOP/s");
            lines.push(Line { name, bandwidth: None, peak: p, main: what == "f32" });
        }
    }
    lines
}

fn draw(roof: &Roof, points: &[Point], text: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut drawn, lines): (Vec<&Point>, _) =
        (points.iter().filter(|p| p.flops > 0 && p.bytes > 0).collect(), lines(roof));
    drawn.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let fits = ((SIZE.2 as i32 - 90) / LINE) as usize;
    drawn.truncate(fits);
    let (x0, x1) = range(drawn.iter().map(|p| p.intensity()).chain(ridges(&lines)), 2.5);
    let low = drawn.iter().map(|p| p.rate()).chain(lines.iter().filter_map(|l| Some(l.bandwidth? * x0)));
    let (y0, y1) = range(low.chain(lines.iter().map(|l| l.peak)), 1.8);
    let root = SVGBackend::with_string(text, (SIZE.0 + SIZE.1, SIZE.2)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0);
    let ink = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    let mut chart = ChartBuilder::on(&left)
        .margin(14)
        .set_label_area_size(LabelAreaPosition::Left, 62)
        .set_label_area_size(LabelAreaPosition::Bottom, 48)
        .build_cartesian_2d(
            (x0..x1).log_scale().with_key_points(ticks(x0, x1)),
            (y0..y1).log_scale().with_key_points(ticks(y0, y1)),
        )?;
    chart
        .configure_mesh()
        .light_line_style(BLACK.mix(0.05))
        .bold_line_style(BLACK.mix(0.16))
        .x_label_formatter(&|v| tick(*v))
        .y_label_formatter(&|v| tick(*v))
        .label_style(ink(15))
        .axis_desc_style(ink(16))
        .x_desc("flops a byte")
        .y_desc("GFLOP/s")
        .draw()?;
    let mut slopes: Vec<i32> = Vec::new(); // where their names stand
    for line in &lines {
        let style = BLACK.mix(if line.main { 1.0 } else { 0.45 }).stroke_width(if line.main { 2 } else { 1 });
        let (ends, at, below) = place(line, &lines, [x0, x1, y0]);
        chart.draw_series([PathElement::new(ends, style)])?;
        let (x, y) = chart.backend_coord(&at);
        let width = (line.name.chars().count() as i32) * 7;
        let (x, mut y) = (if line.bandwidth.is_some() { x + 8 } else { x - width - 6 }, y + below);
        if line.bandwidth.is_some() {
            // Where a cache is no faster than memory the slopes are one; their names are not.
            while slopes.iter().any(|other| (other - y).abs() < 16) {
                y += 16;
            }
            slopes.push(y);
        }
        left.draw(&Text::new(line.name.clone(), (x, y), ink(14)))?;
    }
    for (i, p) in drawn.iter().enumerate() {
        let (at, colour) = ((p.intensity(), p.rate()), rgb(i + 1));
        chart.draw_series([Circle::new(at, 5, colour.mix(0.9).filled())])?;
        let (x, y) = chart.backend_coord(&at);
        left.draw(&Text::new((i + 1).to_string(), (x + 6, y - 13), ink(13)))?;
    }
    key(roof, &drawn, points.len(), &right)?;
    root.present()?;
    Ok(())
}

/// The ends of a roof, and where its name stands and how far below that.
fn place(line: &Line, lines: &[Line], [x0, x1, y0]: [f64; 3]) -> (Vec<(f64, f64)>, (f64, f64), i32) {
    match line.bandwidth {
        Some(b) => {
            let (ridge, from) = (line.peak / b, x0.max(y0 / b));
            (vec![(from, b * from), (ridge.min(x1), (b * ridge).min(b * x1))], (from * 1.12, b * from * 1.12), 2)
        }
        None => (vec![(x0.max(least_ridge(lines, line.peak)), line.peak), (x1, line.peak)], (x1, line.peak), -18),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The numbered names beside the plot.
fn key(
    roof: &Roof,
    drawn: &[&Point],
    all: usize,
    area: &Area<'_>,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let ink = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    let e = &roof.environment;
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    area.draw(&Text::new(short(&e.adapter, 52), (0, 20), ink(15)))?;
    area.draw(&Text::new(short(&format!("{}, {}", e.backend, e.driver), 62), (0, 40), ink(12)))?;
    for (i, p) in drawn.iter().enumerate() {
        let y = 68 + LINE * i as i32;
        area.draw(&Circle::new((5, y + 6), 4, rgb(i + 1).filled()))?;
        let share = roof.share(p.flops, p.bytes, p.ms).map_or(String::new(), |s| format!(" {:.0} %", 100.0 * s));
        let line = format!("{} {}{share}", i + 1, short(&p.name, 46));
        area.draw(&Text::new(line, (14, y), ink(13)))?;
    }
    let left = all - drawn.len();
    if left > 0 {
        let note = format!("{left} more: shorter ones, or without arithmetic");
        area.draw(&Text::new(note, (14, 68 + LINE * drawn.len() as i32), ink(12)))?;
    }
    Ok(())
}

/// Where slopes meet the f32 roof.
fn ridges(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().filter_map(|l| Some(l.peak / l.bandwidth?))
}

/// Where a flat roof begins: at the steepest slope.
fn least_ridge(lines: &[Line], peak: f64) -> f64 {
    lines.iter().filter_map(|l| Some(peak / l.bandwidth?)).fold(f64::INFINITY, f64::min)
}

/// Smallest and largest value, with air, at least two decades.
fn range(values: impl Iterator<Item = f64>, air: f64) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = finite.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = if low > high { (0.1, 10.0) } else { (low, high) };
    let (low, high) = (low / air, high * air);
    if high / low < 100.0 {
        (low * (high / low / 100.0).sqrt(), high / (high / low / 100.0).sqrt())
    } else {
        (low, high)
    }
}

/// The numbers of a logarithmic axis: 1, 2 and 5 of each decade. (The drawing library's own have each power of ten twice.)
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all = decades.flat_map(|d| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(d)));
    all.filter(|v| (low..=high).contains(v)).collect()
}

/// A number of a logarithmic axis.
fn tick(v: f64) -> String {
    let digits = (-v.log10().floor()).max(0.0) as usize;
    format!("{v:.digits$}")
}
