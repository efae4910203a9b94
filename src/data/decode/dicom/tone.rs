//! From stored values to levels of gray: rescale, then window, VOI LUT or the full range, then MONOCHROME1 (PS3.3, C.11.1
//! and C.11.2). Padding is black, of MONOCHROME1 too, as the ground beside a picture on a viewer, and no value of it counts
//! in the full range.

use super::elements::{self, Elements};
use super::lut::Lut;
use std::ops::RangeInclusive;

/// How a gray picture is shown.
pub struct Tone {
    slope: f64,
    intercept: f64,
    view: View,
    /// Whether the smallest value is white.
    inverted: bool,
    /// Stored values that are no part of the picture.
    padding: Option<RangeInclusive<i64>>,
}

/// Which values are told apart.
enum View {
    /// The first window: centre, width and its function.
    Window(f64, f64, Function),
    /// The first lookup table.
    Lut(Lut),
    /// All values.
    Full,
}

/// PS3.3, C.11.2.1.2 and C.11.2.1.3.
#[derive(Clone, Copy, PartialEq)]
enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Tone {
    /// As the elements say. Where they have a window and a table, the window is used.
    pub fn of(e: &Elements, inverted: bool) -> Result<Self, String> {
        if e.modality_lut {
            return Err("a modality lookup table is not read; save it with a rescale slope and intercept".into());
        }
        let slope = e.decimal(elements::SLOPE, "RescaleSlope")?.unwrap_or(1.0);
        let intercept = e.decimal(elements::INTERCEPT, "RescaleIntercept")?.unwrap_or(0.0);
        // At the largest value of 32 bits two neighbours must still differ, or values that differ would have one level.
        let [a, b] = [2f64.powi(32), 2f64.powi(32) - 1.0].map(|v| v * slope + intercept);
        if !(a - b).is_finite() || a == b {
            return Err(format!(
                "its RescaleSlope {slope:?} and RescaleIntercept {intercept:?} do not keep its values apart; save it with others"
            ));
        }
        let center = e.decimal(elements::CENTER, "WindowCenter")?;
        let width = e.decimal(elements::WIDTH, "WindowWidth")?;
        let view = match (center, width) {
            (Some(center), Some(width)) => {
                let function = match e.text(elements::FUNCTION).as_deref() {
                    None | Some("LINEAR") => Function::Linear,
                    Some("LINEAR_EXACT") => Function::LinearExact,
                    Some("SIGMOID") => Function::Sigmoid,
                    Some(other) => {
                        let other: String = other.chars().take(32).collect();
                        return Err(format!("the VOILUTFunction {other} is not read"));
                    }
                };
                if width <= 0.0 || function == Function::Linear && width < 1.0 {
                    return Err(format!("its window is {width} wide, which it cannot be"));
                }
                View::Window(center, width, function)
            }
            (None, None) => match e.voi_lut()? {
                Some(lut) => View::Lut(lut),
                None => View::Full,
            },
            _ => return Err("it has a WindowCenter or a WindowWidth without the other".into()),
        };
        Ok(Tone { slope, intercept, view, inverted, padding: padding(e) })
    }

    /// Whether some of these values are no part of the picture.
    pub fn pads(&self, mut values: impl Iterator<Item = i64>) -> bool {
        self.padding.as_ref().is_some_and(|padding| values.any(|v| padding.contains(&v)))
    }

    /// The level of each value, and whether the smallest was made black and the largest white because nothing says what
    /// they are. Unsigned samples of up to eight bits (`bits`) that are not rescaled have the range of their bits.
    pub fn levels(&self, values: impl Iterator<Item = i64> + Clone, bits: Option<u32>) -> (Vec<u8>, bool) {
        let plain = (self.slope, self.intercept) == (1.0, 0.0);
        let (range, stretched) = match (&self.view, bits.filter(|_| plain)) {
            (View::Full, None) => {
                let seen = values.clone().filter(|v| !self.is_padding(*v));
                let ends = seen.fold((i64::MAX, i64::MIN), |(a, b), v| (a.min(v), b.max(v)));
                let [a, b] = [ends.0, ends.1].map(|v| self.rescaled(v));
                ((a.min(b), a.max(b)), true)
            }
            (_, bits) => ((0.0, bits.map_or(1.0, |bits| f64::from((1u32 << bits) - 1))), false),
        };
        (values.map(|v| self.level(v, range)).collect(), stretched)
    }

    fn is_padding(&self, value: i64) -> bool {
        self.padding.as_ref().is_some_and(|padding| padding.contains(&value))
    }

    fn rescaled(&self, value: i64) -> f64 {
        value as f64 * self.slope + self.intercept
    }

    fn level(&self, value: i64, (low, high): (f64, f64)) -> u8 {
        if self.is_padding(value) {
            return 0;
        }
        let x = self.rescaled(value);
        let share = match &self.view {
            View::Window(c, w, Function::Linear) => {
                let (c, w) = (c - 0.5, w - 1.0);
                if x <= c - w / 2.0 {
                    0.0
                } else if x > c + w / 2.0 {
                    1.0
                } else {
                    (x - c) / w + 0.5
                }
            }
            View::Window(c, w, Function::LinearExact) => (x - c) / w + 0.5,
            View::Window(c, w, Function::Sigmoid) => 1.0 / (1.0 + libm::exp(-4.0 * (x - c) / w)),
            View::Lut(lut) => {
                let top = (1u32 << lut.bits) - 1;
                f64::from(lut.at(x.clamp(-1e12, 1e12) as i64)) / f64::from(top)
            }
            View::Full if high > low => (x - low) / (high - low),
            View::Full => 0.0,
        };
        let share = share.clamp(0.0, 1.0);
        let share = if self.inverted { 1.0 - share } else { share };
        (share * 255.0 + 0.5).floor() as u8
    }
}

/// The stored values that fill a picture up to its rectangle (PS3.3, C.7.5.1.1.2): PixelPaddingValue, or all from it to
/// PixelPaddingRangeLimit.
fn padding(e: &Elements) -> Option<RangeInclusive<i64>> {
    let signed = e.short(elements::SIGNED) == Some(1);
    let of = |tag| e.short(tag).map(|v| if signed { i64::from(v as i16) } else { i64::from(v) });
    let value = of(elements::PADDING)?;
    let limit = of(elements::PADDING_LIMIT).unwrap_or(value);
    Some(value.min(limit)..=value.max(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rescale_that_makes_values_equal_or_endless_is_refused_by_name() {
        let of = |slope: &str, intercept: &str| {
            let mut e = Elements::default();
            e.put(elements::SLOPE, slope);
            e.put(elements::INTERCEPT, intercept);
            Tone::of(&e, false).map(|tone| tone.levels([0, 1, 2].into_iter(), None).0)
        };
        for (slope, intercept) in [("0", "0"), ("-0.0", "5"), ("1e308", "0"), ("1", "1e300"), ("1e-300", "1")] {
            let said = of(slope, intercept).err().unwrap();
            assert!(said.contains("its RescaleSlope") && said.contains("RescaleIntercept"), "{said}");
        }
        for (slope, intercept) in [("1", "-1024"), ("0.0001", "0"), ("-0.25", "7.5"), ("1e6", "1e9")] {
            let due: [u8; 3] = if slope.starts_with('-') { [255, 128, 0] } else { [0, 128, 255] };
            assert_eq!(of(slope, intercept).unwrap(), due, "{slope} {intercept}");
        }
    }
}
