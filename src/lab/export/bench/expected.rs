//! What a kernel's output must be in a browser: some of its values, and sums of all of them with random signs.
//!
//! An element may be off by its tolerance times (its size + the root mean square of the output). If every element is
//! within that, a sum with random signs is off by more than six times the root of the summed squares of what is allowed
//! only in 1 of 30 million cases (Hoeffding's inequality). So a sum notices one wrong element among some hundred thousand,
//! and any wrong region, without the values of all elements. `web/values.js` has the same rules.

use crate::base::DType;
use crate::base::rng::Rng;
use crate::lab::check::SEED;
use crate::lab::check::recording::Got;
use crate::tape::Type;
use serde::Serialize;

/// How many values of an output are kept; all of them if there are no more.
const SAMPLES: usize = 200;
/// The stream of the places of these values.
const PLACES: u32 = 5000;
/// The stream of the signs, a bit for each element.
const SIGNS: u32 = 5001;
/// A sum is over at most about this many elements, as long as there are no more than [`MOST_SUMS`].
const STRETCH: usize = 1 << 16;
/// The most sums of an output.
const MOST_SUMS: usize = 16;
/// How far a sum may be off, in multiples of the root of the summed squares of what its elements may be off.
const DEVIATIONS: f64 = 6.0;

/// Relative tolerances of an element. Drivers sum in another order and round exp, sin and division in their own way: a
/// sum of a million products by another order differs by some 10⁻⁵.
const F32: f64 = 2e-4;
/// The same for halves, whose own rounding is 5·10⁻⁴.
const F16: f64 = 2e-3;

/// A value of an output: not a number in a file if it is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Sample {
    Whole(u32),
    Float(f32),
}

/// What an output must be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Expected {
    /// `<op>.<entry>` and the number of the output, for people.
    pub name: String,
    /// How many elements.
    numel: usize,
    /// f32, f16 or u32.
    dtype: &'static str,
    /// The relative tolerance; 0 asks for equal words.
    tolerance: f64,
    /// The root mean square of the finite elements.
    rms: f64,
    /// How many elements are finite numbers.
    finite: usize,
    /// Values at the places that [`places`] draws.
    values: Vec<Sample>,
    /// Sums of the finite elements of each stretch, each with its sign.
    sums: Vec<f64>,
    /// How far each sum may be off.
    sum_allowed: Vec<f64>,
}

/// The places of the kept values of an output of `n` elements.
fn places(n: usize) -> Vec<usize> {
    let mut rng = Rng::new(SEED, PLACES, 0);
    (0..n.min(SAMPLES)).map(|i| if n <= SAMPLES { i } else { rng.below(n) }).collect()
}

/// The elements as numbers.
fn numbers(ty: Type, bytes: &[u8]) -> Vec<f64> {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    match ty.dtype {
        DType::U32 => words.iter().map(|w| f64::from(*w)).collect(),
        dtype => {
            let got = Got { dtype, words };
            (0..ty.shape.numel()).map(|i| got.number(i)).collect()
        }
    }
}

/// The sum of each stretch of `x`, each element with its sign; elements that are not finite count nothing.
fn sums(x: &[f64]) -> Vec<f64> {
    let stretches = x.len().div_ceil(STRETCH).clamp(1, MOST_SUMS);
    let (mut rng, mut word, mut sums) = (Rng::new(SEED, SIGNS, 0), 0, vec![0.0; stretches]);
    for (i, v) in x.iter().enumerate() {
        if i % 32 == 0 {
            word = rng.word();
        }
        if v.is_finite() {
            sums[i * stretches / x.len()] += if word >> (i % 32) & 1 == 1 { -v } else { *v };
        }
    }
    sums
}

impl Expected {
    /// What an output of the type `ty` with these bytes must be elsewhere.
    pub fn of(name: String, ty: Type, bytes: &[u8]) -> Expected {
        let x = numbers(ty, bytes);
        let (dtype, tolerance) = match ty.dtype {
            DType::F32 => ("f32", F32),
            DType::F16 => ("f16", F16),
            DType::U32 => ("u32", 0.0),
        };
        let finite = x.iter().filter(|v| v.is_finite()).count();
        let squares: f64 = x.iter().filter(|v| v.is_finite()).map(|v| v * v).sum();
        let rms = (squares / finite.max(1) as f64).sqrt();
        let sums = sums(&x);
        let mut sum_allowed = vec![0.0; sums.len()];
        for (i, v) in x.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            sum_allowed[i * sums.len() / x.len()] += (tolerance * (v.abs() + rms)).powi(2);
        }
        sum_allowed.iter_mut().for_each(|s: &mut f64| *s = DEVIATIONS * s.sqrt());
        let sample = |i: usize| match ty.dtype {
            DType::U32 => Sample::Whole(x[i] as u32),
            _ => Sample::Float(x[i] as f32),
        };
        let values = places(x.len()).into_iter().map(sample).collect();
        Expected { name, numel: x.len(), dtype, tolerance, rms, finite, values, sums, sum_allowed }
    }

    /// An error if an output with these bytes is not what it must be.
    pub fn check(&self, ty: Type, bytes: &[u8]) -> Result<(), String> {
        let (x, name) = (numbers(ty, bytes), &self.name);
        for (place, want) in places(x.len()).into_iter().zip(&self.values) {
            let (got, want) = (
                x[place],
                match want {
                    Sample::Whole(w) => f64::from(*w),
                    Sample::Float(f) => f64::from(*f),
                },
            );
            let allowed = self.tolerance * (want.abs() + self.rms);
            let same = if want.is_finite() { (got - want).abs() <= allowed } else { !got.is_finite() };
            if !same {
                return Err(format!("{name}[{place}] is {got:e} and must be {want:e}, give or take {allowed:.1e}"));
            }
        }
        let finite = x.iter().filter(|v| v.is_finite()).count();
        if finite != self.finite {
            return Err(format!("{finite} elements of {name} are finite, and {} must be", self.finite));
        }
        let mut each = sums(&x).into_iter().zip(&self.sums).zip(&self.sum_allowed).enumerate();
        match each.find(|(_, ((got, want), allowed))| (got - *want).abs() > **allowed) {
            Some((i, ((got, want), allowed))) => Err(format!(
                "sum {i} of {name} with random signs is {got:e} and must be {want:e}, give or take {allowed:.1e}"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(x: &[f32]) -> Vec<u8> {
        bytemuck::cast_slice(x).to_vec()
    }

    #[test]
    fn one_wrong_element_of_many_and_a_wrong_tail_are_noticed() {
        let mut rng = Rng::new(1, 2, 3);
        let x: Vec<f32> = (0..100_003).map(|_| rng.normal()).collect();
        let ty = Type::f32([x.len()]);
        let due = Expected::of("y".into(), ty, &bytes(&x));
        assert_eq!(due.sums.len(), 2);
        due.check(ty, &bytes(&x)).unwrap();
        let rounded: Vec<f32> = x.iter().enumerate().map(|(i, v)| v * (1.0 + 1e-4 * (i as f32).sin())).collect();
        due.check(ty, &bytes(&rounded)).unwrap();
        let wrong = |edit: &dyn Fn(&mut Vec<f32>)| {
            let mut x = x.clone();
            edit(&mut x);
            due.check(ty, &bytes(&x)).unwrap_err()
        };
        assert!(wrong(&|x| x[77_777] += 2.0).contains("sum 1 of y"));
        assert!(wrong(&|x| x[99_000..].fill(0.0)).contains("must be"));
        assert!(wrong(&|x| x[5] = f32::NAN).contains("finite"));
        let whole = Type::u32([3]);
        let due = Expected::of("i".into(), whole, bytemuck::cast_slice(&[1u32, 2, u32::MAX]));
        assert!(due.check(whole, bytemuck::cast_slice(&[1u32, 3, u32::MAX])).unwrap_err().contains("i[1] is 3e0"));
    }
}
