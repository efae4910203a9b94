//! Comparisons and their messages: where, both values, and the tolerance.

use super::answer::{Expected, HALF_ULP};
use super::recording::{Got, Values};
use crate::base::DType;

/// An error unless both hold the same values with the same bits: as many, with the same names and types. Two empty
/// lists are an error, since nothing would be compared.
pub fn same_bits(what: &str, a: &Values, b: &Values) -> Result<(), String> {
    let heads = |v: &Values| v.0.iter().map(|v| (v.0.clone(), v.1)).collect::<Vec<_>>();
    let (ours, theirs) = (heads(a), heads(b));
    if ours != theirs || ours.is_empty() {
        return Err(format!(
            "{what} differ: there are the values {ours:?} and {theirs:?}, and both must be the same some"
        ));
    }
    if let Some((name, ..)) = a.0.iter().chain(&b.0).find(|v| v.2.is_empty()) {
        return Err(format!("{what}: {name} has no element to compare"));
    }
    for ((name, dtype, a), (_, _, b)) in a.0.iter().zip(&b.0) {
        let size = dtype.bytes();
        if a.len() != b.len() {
            return Err(format!("{what} differ: {name} has {} bytes and {}", a.len(), b.len()));
        }
        if let Some(i) = a.chunks(size).zip(b.chunks(size)).position(|(a, b)| a != b) {
            let shown = |v: &[u8]| Got { dtype: *dtype, words: bytemuck::pod_collect_to_vec(v) }.number(i);
            return Err(format!("{what} differ: {name}[{i}] is {:e} and {:e}", shown(a), shown(b)));
        }
    }
    Ok(())
}

/// An output against the reference.
pub fn output(what: &str, expected: &Expected, got: &Got) -> Result<(), String> {
    match expected {
        Expected::Words(want) => match want.iter().zip(&got.words).position(|(w, g)| w != g) {
            Some(i) => Err(format!("{what}[{i}] is {} and must be {}", got.words[i], want[i])),
            None => Ok(()),
        },
        Expected::Floats { value, terms, length, ulps } => {
            let scale = HALF_ULP * (4.0 * (*length as f64).sqrt().max(1.0) + 2.0 * ulps);
            worst(what, value, got, |i| scale * terms[i])
        }
    }
}

/// What rounding `want` to f16 adds to the tolerance of f32: half an ulp of f16, at least 2⁻²⁵.
fn rounding(dtype: DType, want: f64) -> f64 {
    match dtype {
        DType::F16 => (want.abs() * 2f64.powi(-11)).max(2f64.powi(-25)),
        DType::F32 | DType::U32 => 0.0,
    }
}

/// The nearest number of the type `dtype`.
fn nearest(dtype: DType, want: f64) -> f64 {
    match dtype {
        DType::F16 => half::f16::from_f64(want).to_f64(),
        DType::F32 | DType::U32 => want as f32 as f64,
    }
}

/// Fails at the element that is furthest past its tolerance. A tolerance of 0 asks for the nearest number. With another
/// tolerance, an f16 element may also be off by its own rounding. If a NaN is wanted, any NaN will do.
pub fn worst(what: &str, want: &[f64], got: &Got, tolerance: impl Fn(usize) -> f64) -> Result<(), String> {
    let (mut at, mut excess, mut failures) = (0, 0.0, 0);
    let tolerance = |i: usize| match tolerance(i) {
        0.0 => 0.0,
        some => some + rounding(got.dtype, want[i]),
    };
    for (i, &w) in want.iter().enumerate() {
        let g = got.number(i);
        let (error, allowed) = ((g - w).abs(), tolerance(i));
        if error <= allowed || g == nearest(got.dtype, w) || (g.is_nan() && w.is_nan()) {
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
    let (g, w, t) = (got.number(at), want[at], tolerance(at));
    Err(format!(
        "{what}: {failures} of {} elements are wrong; worst is [{at}] = {g:e}, must be {w:e}; off by {:e}, allowed {t:e}",
        want.len(),
        (g - w).abs()
    ))
}
