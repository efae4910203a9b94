//! Kendall's rank correlation τ-b (1945): whether two measures put the same things in the same order.

use super::few::{TooFew, enough};
use super::ranking::tie_sizes;
use super::special::normal_above;

/// Up to this many values p is counted over all orders.
const COUNTED: usize = 8;

/// A correlation of ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kendall {
    /// τ-b, −1 to 1; 0 where one of the two measures never differs.
    pub tau: f64,
    /// The two-sided p of an order that has nothing to do with the other.
    pub p: f64,
}

/// τ-b of two measures of the same things, with p: up to 8 values twice the share of all n! orders whose τ is as far on its
/// side; above, by the normal distribution with the correction for ties. At least 5 values: 2 / 4! is above 0.05.
pub fn kendall(x: &[f64], y: &[f64]) -> Result<Kendall, TooFew> {
    enough("Kendall's test", x.len().min(y.len()), 5, "datasets")?;
    let (score, tau) = (concordance(x, y), tau(x, y));
    let p = if x.len() <= COUNTED { counted(x, y, score) } else { normal(x, y, score) };
    Ok(Kendall { tau, p })
}

/// τ-b alone, of any number of values.
pub fn tau(x: &[f64], y: &[f64]) -> f64 {
    let pairs = |n: usize| (n * n.saturating_sub(1) / 2) as f64;
    let tied = |v: &[f64]| tie_sizes(v).into_iter().map(pairs).sum::<f64>();
    let all = pairs(x.len());
    let below = ((all - tied(x)) * (all - tied(y))).sqrt();
    if below == 0.0 { 0.0 } else { concordance(x, y) as f64 / below }
}

/// How many pairs have the same order in both, less those of the opposite one.
fn concordance(x: &[f64], y: &[f64]) -> i64 {
    let sign = |a: f64, b: f64| i64::from(a > b) - i64::from(a < b);
    let of = |i: usize| (0..i).map(|j| sign(x[i], x[j]) * sign(y[i], y[j])).sum::<i64>();
    (0..x.len()).map(of).sum()
}

fn counted(x: &[f64], y: &[f64], score: i64) -> f64 {
    let (mut below, mut above, mut all) = (0_u64, 0_u64, 0_u64);
    let mut order: Vec<usize> = (0..y.len()).collect();
    orders(&mut order, 0, &mut |order| {
        let other: Vec<f64> = order.iter().map(|&i| y[i]).collect();
        let of_order = concordance(x, &other);
        below += u64::from(of_order <= score);
        above += u64::from(of_order >= score);
        all += 1;
    });
    (2.0 * below.min(above) as f64 / all as f64).min(1.0)
}

/// Calls `each` with every order of what follows the first `fixed`.
fn orders(order: &mut [usize], fixed: usize, each: &mut dyn FnMut(&[usize])) {
    if fixed == order.len() {
        return each(order);
    }
    for i in fixed..order.len() {
        order.swap(fixed, i);
        orders(order, fixed + 1, each);
        order.swap(fixed, i);
    }
}

/// The variance of the score with ties (Kendall 1970), as SciPy's asymptotic p.
fn normal(x: &[f64], y: &[f64], score: i64) -> f64 {
    let n = x.len() as f64;
    let sum = |v: &[f64], f: &dyn Fn(f64) -> f64| tie_sizes(v).into_iter().map(|t| f(t as f64)).sum::<f64>();
    let whole = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
    let (two, three) = (|t: f64| t * (t - 1.0), |t: f64| t * (t - 1.0) * (t - 2.0));
    let variance = (whole(n) - sum(x, &whole) - sum(y, &whole)) / 18.0
        + sum(x, &two) * sum(y, &two) / (2.0 * two(n))
        + sum(x, &three) * sum(y, &three) / (9.0 * three(n));
    if variance <= 0.0 { 1.0 } else { 2.0 * normal_above(score.abs() as f64 / variance.sqrt()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near};

    #[test]
    fn correlations_are_those_of_scipy() {
        for case in Golden::read().cases("kendall") {
            let (x, y) = (case.numbers("x"), case.numbers("y"));
            let found = kendall(&x, &y).unwrap();
            near(found.tau, case.number("tau"), 1e-12, &format!("tau of {x:?}"));
            near(found.p, case.number("p"), 1e-9, &format!("p of {x:?}"));
        }
    }

    #[test]
    fn four_values_are_too_few_and_a_constant_has_no_order() {
        assert_eq!(kendall(&[1.0; 4], &[1.0; 4]).unwrap_err().need, 5);
        assert_eq!(kendall(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap(), Kendall { tau: 0.0, p: 1.0 });
        let order = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(kendall(&order, &order).unwrap(), Kendall { tau: 1.0, p: 2.0 / 120.0 });
    }
}
