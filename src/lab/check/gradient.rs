//! Gradients against central differences of the f64 reference.

use super::answer::{Answer, Expected, HALF_ULP, Tensor};
use super::compare::worst;
use super::recording::{Got, Recording, Values};
use super::{Reference, SEED, tensors};
use crate::base::DType;
use crate::base::rng::Rng;
use crate::kernels::Case;

/// Step of the central difference: in f64 its error is about 1e-10 of the function's own scale.
const STEP: f64 = 1e-5;
/// Error allowed, relative to the root mean square of the gradient.
const RELATIVE: f64 = 1e-4;
/// The work allowed for a named case, in flops and bytes of its formula.
pub const WORK: u64 = 50_000_000;
/// How many directions.
const DIRECTIONS: u32 = 8;

/// Compares every gradient of a run: each entry if that takes at most `work` elementary operations, otherwise along
/// random directions.
pub fn check(
    reference: &Reference<'_>,
    case: &Case,
    answer: &Answer,
    recording: &Recording,
    inputs: &[Vec<u32>],
    got: &Values,
    work: u64,
) -> Result<(), String> {
    let x = tensors(case, inputs);
    let cotangents = recording.cotangents();
    let dy: Vec<(usize, Vec<f64>)> = cotangents.map(|(i, dy)| (i, dy.numbers(&answer.outputs[i]))).collect();
    let loss = |x: &[Tensor]| {
        let outputs = reference(case.op.as_ref(), x).outputs;
        dy.iter().map(|(i, dy)| dot(values(&outputs[*i]), dy)).sum::<f64>()
    };
    let types: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
    let cost = case.op.cost(&types, &case.op.infer(&types).map_err(super::text)?);
    for &i in &answer.wrt {
        let none = || Got { dtype: DType::F32, words: vec![0; x[i].f.len()] }; // no path is a zero
        let got = got.find(&format!("dx{i}")).unwrap_or_else(|_| none());
        let what = format!("gradient of input {i}");
        if let Some(picks) = &answer.picks {
            chosen(&what, picks, &dy[0].1, x[i].f.len(), &got)?;
        } else if 2 * x[i].f.len() as u64 * (cost.flops + cost.bytes) <= work {
            entries(&what, &loss, x.clone(), i, &got, answer.floor_of(i, got.dtype))?;
        } else {
            directions(&what, &loss, &x, i, &got, answer.floor_of(i, got.dtype))?;
        }
    }
    Ok(())
}

fn entries(
    what: &str,
    loss: &dyn Fn(&[Tensor]) -> f64,
    mut x: Vec<Tensor>,
    i: usize,
    got: &Got,
    floor: f64,
) -> Result<(), String> {
    let mut want = Vec::with_capacity(x[i].f.len());
    for k in 0..x[i].f.len() {
        let at = x[i].f[k];
        x[i].f[k] = at + STEP;
        let up = loss(&x);
        x[i].f[k] = at - STEP;
        let down = loss(&x);
        x[i].f[k] = at;
        want.push((up - down) / (2.0 * STEP));
    }
    let allowed = (RELATIVE * rms(&want)).max(floor);
    worst(what, &want, got, |_| allowed)
}

/// For ops that choose: each cotangent goes to the element that its output chose.
fn chosen(what: &str, picks: &[usize], dy: &[f64], elements: usize, got: &Got) -> Result<(), String> {
    let (mut want, mut terms) = (vec![0.0; elements], vec![0.0; elements]);
    for (&at, dy) in picks.iter().zip(dy) {
        want[at] += dy;
        terms[at] += dy.abs();
    }
    worst(what, &want, got, |i| 4.0 * HALF_ULP * terms[i])
}

/// ⟨dx, v⟩ against the slope along v, for random v. Errors of the entries add up like a random walk.
fn directions(
    what: &str,
    loss: &dyn Fn(&[Tensor]) -> f64,
    x: &[Tensor],
    i: usize,
    got: &Got,
    floor: f64,
) -> Result<(), String> {
    let dx: Vec<f64> = (0..x[i].f.len()).map(|k| got.number(k)).collect();
    let allowed = (RELATIVE * rms(&dx)).max(floor) * (dx.len() as f64).sqrt();
    // An f16 element is off by up to half an ulp, 2⁻¹¹ of its size, evenly distributed. Six standard deviations of
    // their sum are allowed.
    let half = if got.dtype == DType::F16 { 6.0 * 2f64.powi(-11) / 3f64.sqrt() } else { 0.0 };
    for d in 0..DIRECTIONS {
        let mut rng = Rng::new(SEED, 2000 + d, 0);
        let v: Vec<f64> = dx.iter().map(|_| rng.normal() as f64).collect();
        let moved = |step: f64| {
            let mut x = x.to_vec();
            x[i].f.iter_mut().zip(&v).for_each(|(x, v)| *x += step * v);
            loss(&x)
        };
        let (want, is) = ((moved(STEP) - moved(-STEP)) / (2.0 * STEP), dot(&dx, &v));
        let moves: Vec<f64> = dx.iter().zip(&v).map(|(dx, v)| dx * v).collect();
        let allowed = allowed + half * dot(&moves, &moves).sqrt();
        if (want - is).abs() <= allowed {
            continue;
        }
        return Err(format!("{what}: along direction {d} it is {is:e}, must be {want:e}; allowed {allowed:e}"));
    }
    Ok(())
}

fn values(e: &Expected) -> &[f64] {
    match e {
        Expected::Floats { value, .. } => value,
        Expected::Words(_) => &[],
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rms(v: &[f64]) -> f64 {
    (dot(v, v) / v.len().max(1) as f64).sqrt()
}
