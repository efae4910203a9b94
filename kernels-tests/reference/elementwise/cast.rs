//! cast: the nearest number of the other type, found by search where that is the simplest definition.

use crate::reference::{Answer, Expected, HALF_ULP, Tensor, cast};
use wgslab::kernels::cast::Cast;
use wgslab::tape::Op;

/// The value of a half float, IEEE 754 binary16: sign 1, exponent 5, fraction 10 bits.
pub fn value(half: u32) -> f64 {
    let (sign, exponent, fraction) = (half >> 15, (half >> 10 & 31) as i32, (half & 1023) as f64 / 1024.0);
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if sign == 1 { -size } else { size }
}

/// The half float nearest to `x`. Of two equally near ones it is the one with an even fraction. From halfway past the
/// largest half on, it is infinity.
fn half(x: f64) -> u32 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    if x.is_nan() {
        return sign | 0x7e00;
    }
    if x.abs() >= 65_520.0 {
        return sign | 0x7c00;
    }
    let above = (0..0x7c00u32).find(|&h| value(h) >= x.abs()).unwrap_or(0x7bff);
    let below = above.saturating_sub(1);
    let (up, down) = ((value(above) - x.abs()).abs(), (x.abs() - value(below)).abs());
    let nearest = if up < down || (up == down && above % 2 == 0) { above } else { below };
    sign | nearest
}

/// A word as a float, and how far off it may be in units of 2⁻²⁴: not at all where it is a float, else it is either
/// neighbour. WGSL lets a device choose, and SwiftShader rounds twice.
fn float(word: u32) -> (f64, f64) {
    let lost = (u32::BITS - word.leading_zeros()).saturating_sub(24);
    let gap = 1u32 << lost;
    (word.into(), if word.is_multiple_of(gap) { 0.0 } else { f64::from(gap) / HALF_ULP })
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let x = &x[0];
    let op = cast::<Cast>(op);
    let answer = Answer::new(vec![match op {
        Cast::F16 => Expected::exact(x.f.iter().map(|&x| value(half(x))).collect()),
        Cast::F32 if !x.f.is_empty() => Expected::exact(x.f.clone()),
        Cast::F32 => Expected::within(x.u.iter().map(|&u| float(u)).collect()),
        Cast::U32 => Expected::Words(x.f.iter().map(|f| f.clamp(0.0, 4_294_967_040.0) as u32).collect()),
        Cast::PackF16 => {
            let pair = |pair: &[f64]| half(pair[0]) | pair.get(1).map_or(0, |&x| half(x)) << 16;
            Expected::Words(x.f.chunks(2).map(pair).collect())
        }
        Cast::UnpackF16 { shape } => {
            let halves = x.u.iter().flat_map(|&w| [value(w & 0xffff), value(w >> 16)]);
            Expected::exact(halves.take(shape.numel()).collect())
        }
    }]);
    // Each cotangent goes to the element of the same index.
    match op {
        Cast::F16 | Cast::F32 if !x.f.is_empty() => answer.gradient(&[0], &[0]).picks((0..x.f.len()).collect()),
        _ => answer,
    }
}
