//! How the lines of plots look: colours, markers and dashes that are told apart, and a piece of a line for a legend.

use plotters::style::RGBColor;

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
pub(super) const MARKERS: [&[(i32, i32)]; 5] = [
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

/// The dashes of line `i`: their length and that of the gaps, in pixels; none of a whole line.
pub(super) fn dash(i: usize) -> Option<(i32, i32)> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
