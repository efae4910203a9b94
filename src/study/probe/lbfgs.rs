//! L-BFGS (Nocedal & Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5). A step is halved until the value
//! falls enough (algorithm 3.1). It is for smooth convex functions whose values are rounded to f32.

use crate::base::Result;
use std::collections::VecDeque;

/// How many pairs (a step, the change of the gradient) are kept.
const PAIRS: usize = 10;
/// The share of the expected fall that a step must reach.
const SUFFICIENT: f64 = 1e-4;
/// The most halvings of a step. Further halvings would only find rounding.
const HALVINGS: usize = 30;
/// If no step brings a fall, the search has converged when no element of the gradient is larger than this many times
/// the tolerance. Values are rounded to f32, which hides a small fall before the gradient, which is rounded separately,
/// is as small as was asked for.
const ROUNDED: f64 = 10.0;

/// The end of a search.
pub(super) struct Minimum {
    pub at: Vec<f64>,
    pub value: f64,
    /// Whether no element of the gradient is larger than the tolerance or, if no step brings a fall any more, than ten
    /// times the tolerance. It is false if the search ran out of iterations.
    pub converged: bool,
}

/// A value and its gradient.
pub(super) type Point = (f64, Vec<f64>);

/// Minimizes `f`, starting from `at`, until no element of the gradient is larger than `tolerance`.
pub(super) fn minimize(
    mut at: Vec<f64>,
    (tolerance, iterations): (f64, usize),
    f: &mut dyn FnMut(&[f64]) -> Result<Point>,
) -> Result<Minimum> {
    let (mut value, mut gradient) = f(&at)?;
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    for _ in 0..iterations {
        if largest(&gradient) <= tolerance {
            return Ok(Minimum { at, value, converged: true });
        }
        let mut direction = towards(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear(); // rounding spoilt the direction, so the steepest one is taken
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        // At first the scale of the function is unknown.
        let mut step = if pairs.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let point = f(&next)?;
            if point.0 <= value + SUFFICIENT * step * slope {
                found = Some((next, point));
                break;
            }
            step /= 2.0;
        }
        let Some((next, (next_value, next_gradient))) = found else {
            if !pairs.is_empty() {
                pairs.clear(); // the pairs may be out of date, so the next try goes along the gradient
                continue;
            }
            let converged = largest(&gradient) <= ROUNDED * tolerance;
            return Ok(Minimum { at, value, converged });
        };
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        let (moved, turned) = (difference(&next, &at), difference(&next_gradient, &gradient));
        if dot(&moved, &turned) > 1e-12 * dot(&turned, &turned) {
            pairs.push_back((moved, turned));
            if pairs.len() > PAIRS {
                pairs.pop_front();
            }
        }
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    let converged = largest(&gradient) <= tolerance;
    Ok(Minimum { at, value, converged })
}

/// The direction −H·gradient of algorithm 7.4.
fn towards(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (moved, turned) in pairs.iter().rev() {
        let alpha = dot(moved, &q) / dot(moved, turned);
        q.iter_mut().zip(turned).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    if let Some((moved, turned)) = pairs.back() {
        let scale = dot(moved, turned) / dot(turned, turned);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, turned), alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = dot(turned, &q) / dot(moved, turned);
        q.iter_mut().zip(moved).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q.iter_mut().for_each(|q| *q = -*q);
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn largest(of: &[f64]) -> f64 {
    of.iter().fold(0.0, |most: f64, v| most.max(v.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley, and a bowl whose axes differ by a factor of ten thousand.
    #[test]
    fn the_lowest_point_is_found() {
        let mut valley = |x: &[f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
        };
        let found = minimize(vec![-1.2, 1.0], (1e-8, 1000), &mut valley).unwrap();
        assert!(found.converged && found.at.iter().all(|x| (x - 1.0).abs() < 1e-6), "{:?}", found.at);
        let mut bowl = |x: &[f64]| {
            let scales = x.iter().enumerate().map(|(i, x)| (10f64.powi(i as i32), x));
            let (value, gradient) = scales.map(|(s, x)| (s * x * x / 2.0, s * x)).unzip::<_, _, Vec<_>, Vec<_>>();
            Ok((value.iter().sum(), gradient))
        };
        let found = minimize(vec![1.0; 5], (1e-9, 1000), &mut bowl).unwrap();
        assert!(found.converged && found.value < 1e-12, "{}", found.value);
        assert!(!minimize(vec![1.0; 5], (1e-9, 2), &mut bowl).unwrap().converged);
    }

    /// Values that round to whole steps show no fall, far from the minimum and close to it.
    #[test]
    fn where_no_step_falls_the_gradient_decides() {
        let rounded = |step: f64, from: f64| {
            let mut f = |x: &[f64]| Ok(((x[0] * x[0] / 2.0 / step).round() * step, vec![x[0]]));
            minimize(vec![from], (1e-3, 1000), &mut f).unwrap()
        };
        let far = rounded(1e9, 3.0);
        assert!(!far.converged && far.at == [3.0], "{:?}", far.at);
        assert!(rounded(1e9, 5e-3).converged, "ten times the tolerance");
        // Every step of the second search seems to rise, but a third search along the gradient reaches the end.
        let mut calls = 0;
        let mut bowl = |x: &[f64]| {
            calls += 1;
            let rise = if (3..3 + HALVINGS).contains(&calls) { 100.0 } else { 0.0 };
            Ok((x[0] * x[0] + 4.0 * x[1] * x[1] + rise, vec![2.0 * x[0], 8.0 * x[1]]))
        };
        let found = minimize(vec![3.0, 1.0], (1e-6, 1000), &mut bowl).unwrap();
        assert!(found.converged && found.at.iter().all(|x| x.abs() < 1e-5), "{:?}", found.at);
    }
}
