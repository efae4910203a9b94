//! Line plots as SVG text for an HTML page. Text, axes and grid take the page's own colour, so a plot is readable on a
//! light and on a dark page. The size follows the page.

use crate::base::{Error, Result};
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

/// Colours of lines, which can be told apart on light and dark pages, also without red, green or blue cones: a test
/// measures it. The first is for the line that others are compared with. Each of the others is as far as possible from
/// those before it.
const COLOURS: [(u8, u8, u8); 13] = [
    (136, 140, 150),
    (60, 0, 255),
    (255, 135, 30),
    (120, 180, 255),
    (135, 0, 180),
    (150, 45, 30),
    (0, 90, 120),
    (105, 75, 75),
    (210, 60, 0),
    (165, 135, 105),
    (165, 90, 255),
    (225, 165, 90),
    (240, 30, 195),
];

/// The colour of line `i`; after the last colour they repeat, but for the first.
pub fn rgb(i: usize) -> RGBColor {
    let (r, g, b) = COLOURS[if i == 0 { 0 } else { 1 + (i - 1) % (COLOURS.len() - 1) }];
    RGBColor(r, g, b)
}

/// The colour of line `i` for HTML.
pub fn colour(i: usize) -> String {
    let RGBColor(r, g, b) = rgb(i);
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// Corners of the markers of lines, in pixels; no corners are a circle. With the colours, 60 lines are told apart; with the
/// dashes, 15 without any colour.
const MARKERS: [&[(i32, i32)]; 5] = [
    &[],
    &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
    &[(0, -5), (5, 4), (-5, 4)],
    &[(0, -6), (5, 0), (0, 6), (-5, 0)],
    &[(-2, -5), (2, -5), (2, -2), (5, -2), (5, 2), (2, 2), (2, 5), (-2, 5), (-2, 2), (-5, 2), (-5, -2), (-2, -2)],
];

/// Lengths of the dashes of lines and of the gaps between them, in pixels; none of a whole line.
const DASHES: [Option<(i32, i32)>; 3] = [None, Some((8, 4)), Some((2, 4))];

/// The corners of the marker of line `i`, in pixels around its point; none of a circle.
pub fn marker(i: usize) -> &'static [(i32, i32)] {
    MARKERS[i % MARKERS.len()]
}

fn dash(i: usize) -> Option<(i32, i32)> {
    DASHES[i / MARKERS.len() % DASHES.len()]
}

/// A piece of line `i` with its marker as an `<svg>` element of the class `key`, for a legend.
pub fn key(i: usize) -> String {
    let colour = colour(i);
    let dashes = dash(i).map_or(String::new(), |(on, off)| format!(" stroke-dasharray=\"{on} {off}\""));
    format!(
        "<svg class=\"key\" viewBox=\"0 0 32 14\" aria-hidden=\"true\"><path d=\"M1 7h30\" stroke=\"{colour}\" \
         stroke-width=\"2\"{dashes}/>{}</svg>",
        mark(i, (16, 7))
    )
}

/// A marker alone, as [`key`].
pub fn mark_key(i: usize) -> String {
    format!("<svg class=\"key\" viewBox=\"0 0 14 14\" aria-hidden=\"true\">{}</svg>", mark(i, (7, 7)))
}

/// The marker of line `i` at a place, as an SVG element.
fn mark(i: usize, (x, y): (i32, i32)) -> String {
    let colour = colour(i);
    match marker(i) {
        [] => format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/>"),
        corners => {
            let corners: Vec<String> = corners.iter().map(|(dx, dy)| format!("{},{}", x + dx, y + dy)).collect();
            format!("<polygon points=\"{}\" fill=\"{colour}\"/>", corners.join(" "))
        }
    }
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
        let points = || self.lines.iter().flat_map(|l| &l.points);
        if let Some(p) = points().find(|p| [p.x, p.y, p.spread.unwrap_or(0.0)].iter().any(|&v| is_far(v))) {
            return Err(format!("a point at {} and {} ± {:?} is not a measurement", p.x, p.y, p.spread).into());
        }
        // Where all points have one place, it alone has a tick: nothing was measured beside it. It is drawn at 0, where there
        // always is one.
        let first = points().map(|p| p.x).next().filter(|x| points().all(|p| p.x == *x));
        let at = |x: f64| x - first.unwrap_or(0.0);
        let (x0, x1) = span(points().map(|p| at(p.x)));
        let spread = |p: &Point| p.spread.unwrap_or(0.0);
        let bands = || self.lines.iter().flat_map(|l| l.band.iter().flatten().copied());
        if bands().any(is_far) || self.lines.iter().any(|l| !l.band.is_empty() && l.band.len() != l.points.len()) {
            return Err("a band has an end for each point, and each is a measurement".into());
        }
        let (y0, y1) = span(points().flat_map(|p| [p.y - spread(p), p.y + spread(p)]).chain(bands()));
        // There is some space around the data. An axis of percent ends at 0 and 100.
        let (air_x, air_y) = ((x1 - x0) * 0.05, ((y1 - y0) * 0.08).max(1.0));
        // If all the data lie beyond 0 or 100, the axis follows the data.
        let (y0, y1) = match (y0 - air_y).max(-2.0) < (y1 + air_y).min(102.0) {
            true => ((y0 - air_y).max(-2.0), (y1 + air_y).min(102.0)),
            false => (y0 - air_y, y1 + air_y),
        };

        let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
        let axes = Axes {
            room: [10, 12, 48],
            x: x0 - air_x..x1 + air_x,
            y: y0..y1,
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
        let cap = (x1 - x0) * 0.012;
        // Bands lie below all lines: where many overlap, the lines still show.
        for line in self.lines.iter().filter(|l| !l.band.is_empty()) {
            let end = |i: usize| line.points.iter().zip(&line.band).map(move |(p, ends)| (at(p.x), ends[i]));
            let (below, above): (Vec<_>, Vec<_>) = (end(0).collect(), end(1).collect());
            let around = below.into_iter().chain(above.into_iter().rev());
            chart.draw_series([Polygon::new(around.collect::<Vec<_>>(), rgb(line.style).mix(0.13).filled())])?;
        }
        for line in &self.lines {
            let style = rgb(line.style).stroke_width(2);
            let places = line.points.iter().map(|p| (at(p.x), p.y));
            match dash(line.style) {
                None => chart.draw_series(LineSeries::new(places, style)).map(drop)?,
                Some((on, off)) => chart.draw_series(DashedLineSeries::new(places, on, off, style)).map(drop)?,
            }
            for (x, y) in line.marked() {
                let x = at(x);
                let filled = rgb(line.style).filled();
                match marker(line.style) {
                    [] => chart.draw_series([Circle::new((x, y), 4, filled)]).map(drop)?,
                    corners => {
                        let shape = EmptyElement::at((x, y)) + Polygon::new(corners.to_vec(), filled);
                        chart.draw_series([shape]).map(drop)?;
                    }
                }
            }
            for (p, s) in line.points.iter().filter_map(|p| Some((p, p.spread?))) {
                let bar = |ends: [(f64, f64); 2]| PathElement::new(ends, style);
                let x = at(p.x);
                chart.draw_series([
                    bar([(x, p.y - s), (x, p.y + s)]),
                    bar([(x - cap, p.y - s), (x + cap, p.y - s)]),
                    bar([(x - cap, p.y + s), (x + cap, p.y + s)]),
                ])?;
            }
        }
        root.present()?;
        drop(chart);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_draws_its_lines_labels_and_bars() {
        let point = |x, y, spread| Point { x, y, spread };
        let plot = Plot {
            title: "a <b>".into(),
            x_label: "wrong labels".into(),
            lines: vec![Line {
                style: 1,
                points: vec![point(0.0, 90.0, Some(2.0)), point(40.0, 70.0, None)],
                band: vec![],
                dots: true,
            }],
        };
        let svg = plot.svg().unwrap();
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a &lt;b&gt;\" viewBox=\"0 0 380 250\""), "{svg}");
        for part in ["wrong labels", "80 %", "currentColor", &colour(1), "<polygon", "</svg>"] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert!(!svg.contains("#000000"));
        assert_eq!(svg, plot.svg().unwrap());
    }

    #[test]
    fn a_band_lies_around_its_line_and_has_an_end_for_each_point() {
        let points = [10.0, 20.0].map(|x| Point { x, y: 50.0, spread: None }).to_vec();
        let plot = |band| Plot {
            title: "bands".into(),
            x_label: "x".into(),
            lines: vec![Line { style: 0, points: points.clone(), band, dots: true }],
        };
        let bare = plot(vec![]).svg().unwrap();
        let svg = plot(vec![[40.0, 60.0], [30.0, 90.0]]).svg().unwrap();
        assert_eq!(svg.matches("<polygon").count(), bare.matches("<polygon").count() + 1);
        assert!(svg.contains("80 %") && !bare.contains("80 %"), "the axis holds the band");
        assert!(plot(vec![[40.0, 60.0]]).svg().is_err(), "one end short");
    }

    #[test]
    fn an_axis_with_one_place_names_that_place_alone() {
        let at = |x, y| Point { x, y, spread: None };
        let plot = |points: Vec<Point>| {
            let line = Line { style: 1, points, band: vec![], dots: true };
            let svg = Plot { title: "t".into(), x_label: "x".into(), lines: vec![line] }.svg().unwrap();
            // The words of an element stand alone on their line.
            svg.lines().map(str::trim).filter(|l| l.parse::<f64>().is_ok()).map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(plot(vec![at(33.3, 60.0)]), ["33.3"]);
        assert_eq!(plot(vec![at(0.0, 60.0), at(0.0, 70.0)]), ["0"]);
        assert!(plot(vec![at(0.0, 60.0), at(40.0, 50.0)]).len() > 3);
    }

    /// sRGB's levels as shares of light.
    fn light((r, g, b): (u8, u8, u8)) -> [f64; 3] {
        [r, g, b].map(|v| match f64::from(v) / 255.0 {
            v if v <= 0.04045 => v / 12.92,
            v => ((v + 0.055) / 1.055).powf(2.4),
        })
    }

    fn times(matrix: [[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(v).map(|(m, v)| m * v).sum())
    }

    /// From light to CIE XYZ.
    const XYZ: [[f64; 3]; 3] =
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];

    /// CIE L*a*b* of light, white at D65.
    fn lab(light: [f64; 3]) -> [f64; 3] {
        let xyz = times(XYZ, light.map(|v| v.clamp(0.0, 1.0)));
        let edge = 6.0f64 / 29.0;
        let root = |v: f64| if v > edge.powi(3) { v.cbrt() } else { v / (3.0 * edge * edge) + 4.0 / 29.0 };
        let [x, y, z] = [xyz[0] / 0.95047, xyz[1], xyz[2] / 1.08883].map(root);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Any two colours are at least 20 apart in L*a*b* (about 2 can just be seen), as most people see them and as those do
    /// who lack one kind of cone (Machado et al. 2009, severity 1), and have a contrast of at least 2 with both pages.
    #[test]
    fn colours_are_told_apart_by_everybody_on_both_pages() {
        let sights = [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ];
        for sight in sights {
            let seen = COLOURS.map(|c| lab(times(sight, light(c))));
            for (i, a) in seen.iter().enumerate() {
                for (j, b) in seen[..i].iter().enumerate() {
                    let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(apart > 20.0, "{:?} and {:?} are {apart:.1} apart", COLOURS[i], COLOURS[j]);
                }
            }
        }
        let luminance = |c| times(XYZ, light(c))[1];
        for page in [(255, 255, 255), (27, 32, 41)].map(luminance) {
            for colour in COLOURS {
                let (a, b) = (luminance(colour).max(page), luminance(colour).min(page));
                assert!((a + 0.05) / (b + 0.05) >= 2.0, "{colour:?} on a page of {page:.2}");
            }
        }
    }

    /// For any numbers, a plot is drawn or refused, in a short time.
    #[test]
    fn any_number_is_drawn_or_refused() {
        let odd = [0.0, -0.0, 1.0, 100.0, 750.0, -300.0, 1e-300, 5e11, -5e11, 1e12, 1e300, f64::INFINITY, f64::NAN];
        for (x, y) in odd.iter().flat_map(|x| odd.iter().map(move |y| (*x, *y))) {
            for spread in [None, Some(0.0), Some(1e11), Some(f64::NAN)] {
                for other in [0.0, x, x + 1.0] {
                    let points = vec![Point { x: other, y: 50.0, spread: None }, Point { x, y, spread }];
                    let (title, x_label) = (String::new(), "epoch".to_string());
                    let lines = vec![Line { style: 0, points, band: vec![], dots: true }];
                    let drawn = Plot { title, x_label, lines }.svg();
                    let far = is_far;
                    assert_eq!(drawn.is_err(), [x, y, spread.unwrap_or(0.0), other].into_iter().any(far), "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn one_point_or_none_still_draws() {
        let plot = |points| Plot {
            title: String::new(),
            x_label: String::new(),
            lines: vec![Line { style: 0, points, band: vec![], dots: true }],
        };
        assert!(plot(vec![]).svg().is_ok());
        assert!(plot(vec![Point { x: 0.0, y: 50.0, spread: None }]).svg().is_ok());
    }

    /// Fifteen lines differ without any colour, sixty with them, of which thirteen by their colour alone.
    #[test]
    fn lines_are_told_apart() {
        let gray: std::collections::BTreeSet<_> = (0..15).map(|i| (marker(i), dash(i))).collect();
        let all: std::collections::BTreeSet<_> = (0..60).map(|i| (colour(i), marker(i))).collect();
        let colours: std::collections::BTreeSet<_> = (0..13).map(colour).collect();
        assert_eq!((gray.len(), all.len(), colours.len()), (15, 60, 13));
        assert!((1..40).all(|i| colour(i) != colour(0)), "the first colour is for one line alone");
        let points = (0..12).map(|i| Point { x: f64::from(i), y: 3.0, spread: None }).collect();
        let line = |style, points| Plot {
            title: String::new(),
            x_label: String::new(),
            lines: vec![Line { style, points, band: vec![], dots: false }],
        };
        let svg = line(6, points).svg().unwrap();
        assert!(svg.matches("<polyline").count() > 12, "its dashes are drawn: {svg}");
        assert_eq!(svg.matches("<polygon").count(), 4);
        assert!(key(6).contains("stroke-dasharray=\"8 4\"") && !key(1).contains("dasharray"));
    }
}
