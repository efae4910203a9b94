//! Comparisons and their messages: where, both values, and the tolerance.

use super::recording::Values;
use crate::reference::{Expected, HALF_ULP};

/// The same values with the same bits.
pub fn same_bits(what: &str, a: &Values, b: &Values) -> Result<(), String> {
    for ((name, a), (_, b)) in a.0.iter().zip(&b.0) {
        if let Some(i) = a.chunks(4).zip(b.chunks(4)).position(|(a, b)| a != b) {
            let f = |v: &[u8]| f32::from_le_bytes([v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]]);
            return Err(format!("{what} differ: {name}[{i}] is {:e} and {:e}", f(a), f(b)));
        }
        if a.len() != b.len() {
            return Err(format!("{what} differ: {name} has {} bytes and {}", a.len(), b.len()));
        }
    }
    Ok(())
}

/// An output against the reference.
pub fn output(what: &str, expected: &Expected, got: &[u32]) -> Result<(), String> {
    match expected {
        Expected::Words(want) => match want.iter().zip(got).position(|(w, g)| w != g) {
            Some(i) => Err(format!("{what}[{i}] is {} and must be {}", got[i], want[i])),
            None => Ok(()),
        },
        Expected::Floats { value, terms, length, ulps } => {
            let scale = HALF_ULP * (4.0 * (*length as f64).sqrt().max(1.0) + 2.0 * ulps);
            worst(what, value, got, |i| scale * terms[i])
        }
    }
}

/// Fails at the element that is furthest past its tolerance. A tolerance of 0 asks for the nearest f32.
pub fn worst(what: &str, want: &[f64], got: &[u32], tolerance: impl Fn(usize) -> f64) -> Result<(), String> {
    let (mut at, mut excess, mut failures) = (0, 0.0, 0);
    for (i, (&w, &g)) in want.iter().zip(got).enumerate() {
        let g = f32::from_bits(g) as f64;
        let (error, allowed) = ((g - w).abs(), tolerance(i));
        if error <= allowed || g == w as f32 as f64 {
            continue;
        }
        failures += 1;
        let past = if g.is_nan() { f64::INFINITY } else { error / allowed.max(1e-300) };
        if failures == 1 || past > excess {
            (at, excess) = (i, past);
        }
    }
    if failures == 0 {
        return Ok(());
    }
    let (g, w, t) = (f32::from_bits(got[at]), want[at], tolerance(at));
    Err(format!(
        "{what}: {failures} of {} elements are wrong; worst is [{at}] = {g:e}, must be {w:e}; off by {:e}, allowed {t:e}",
        want.len(),
        (g as f64 - w).abs()
    ))
}
