//! The distributions that tests are judged by, from their formulas in f64. Where a probability is small it is computed as it
//! is and not as 1 minus a large one, so that it keeps its digits.

use std::f64::consts::{PI, SQRT_2};

/// The most steps of a series or of a continued fraction. They end after some √a of them.
const STEPS: usize = 100_000;

/// P(Z > z) of a standard normal Z: erfc(z / √2) / 2.
pub fn normal_above(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The z with P(Z ≤ z) = `p`; ±∞ at 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    match p {
        p if p <= 0.0 => f64::NEG_INFINITY,
        p if p >= 1.0 => f64::INFINITY,
        // The smaller tail has the digits.
        p if p < 0.5 => -falling(normal_above, p, 0.0),
        p => falling(normal_above, 1.0 - p, 0.0),
    }
}

/// P(|T| > |t|) of Student's t with `v` degrees of freedom: I_x(v/2, 1/2) with x = v / (v + t²) (DLMF 8.17).
pub fn t_two_sided(t: f64, v: f64) -> f64 {
    let below = v + t * t;
    beta_share(v / 2.0, 0.5, v / below, t * t / below)
}

/// The t with P(|T| > t) = `alpha`: half the width of a confidence interval in standard errors.
pub fn t_critical(alpha: f64, v: f64) -> f64 {
    falling(|t| t_two_sided(t, v), alpha, 0.0)
}

/// P(X > x) of χ² with `k` degrees of freedom: Q(k/2, x/2), the upper incomplete gamma function over Γ.
pub fn chi_square_above(x: f64, k: f64) -> f64 {
    gamma_above(k / 2.0, x / 2.0)
}

/// P(X > x) of F with `d1` and `d2` degrees of freedom: I_y(d2/2, d1/2) with y = d2 / (d2 + d1 x); 0 at ∞.
pub fn f_above(x: f64, d1: f64, d2: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    let below = d2 + d1 * x;
    beta_share(d2 / 2.0, d1 / 2.0, d2 / below, d1 * x / below)
}

/// P(X ≤ k) of a binomial X of `n` fair coins: I_½(n − k, k + 1).
pub fn fair_coins_at_most(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { beta_share((n - k) as f64, (k + 1) as f64, 0.5, 0.5) }
}

/// P(R > q) of the range R of `k` standard normals, which is Tukey's studentized range with infinite degrees of freedom:
/// 1 − k ∫ φ(z) [Φ(z) − Φ(z − q)]^(k−1) dz. The integrand is smooth and falls off as φ does, so that the trapezoid rule
/// is right to rounding.
pub fn range_above(q: f64, k: usize) -> f64 {
    if q <= 0.0 {
        return 1.0;
    }
    const STEP: f64 = 1.0 / 32.0;
    let within: f64 = (-10 * 32..=10 * 32)
        .map(|i| {
            let z = f64::from(i) * STEP;
            let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
            // Φ(z) − Φ(z − q), of the smaller tails.
            let between =
                if z > 0.0 { normal_above(z - q) - normal_above(z) } else { normal_above(-z) - normal_above(q - z) };
            density * between.powi(k as i32 - 1)
        })
        .sum();
    (1.0 - k as f64 * within * STEP).clamp(0.0, 1.0)
}

/// The q with P(R > q) = `alpha` of the range R of `k` standard normals.
pub fn range_critical(alpha: f64, k: usize) -> f64 {
    falling(|q| range_above(q, k), alpha, 0.0)
}

/// The x above `low` where `f`, which falls, comes down to `target`: by doubling, then by halving to the last bit.
fn falling(f: impl Fn(f64) -> f64, target: f64, low: f64) -> f64 {
    let (mut low, mut high) = (low, low + 1.0);
    while f(high) > target && high < 1e300 {
        (low, high) = (high, high * 2.0);
    }
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if f(middle) > target { low = middle } else { high = middle }
    }
}

/// I_x(a, b), the regularized incomplete beta function, by its continued fraction (DLMF 8.17.22); `y` is 1 − x, given
/// apart because it may be small.
fn beta_share(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let (large, small) = (a.max(b), a.min(b));
    let front = (ln_gamma_ratio(large, small) - libm::lgamma(small) + a * x.ln() + b * y.ln()).exp();
    // The fraction is quick below the middle. Above it, the other tail is below.
    if x < (a + 1.0) / (a + b + 2.0) {
        front / (a * beta_fraction(a, b, x))
    } else {
        1.0 - front / (b * beta_fraction(b, a, y))
    }
}

/// ln Γ(a + b) − ln Γ(a). Of large a both are large and nearly equal: there, what is left of Stirling's formula (DLMF 5.11.1)
/// is subtracted term by term.
fn ln_gamma_ratio(a: f64, b: f64) -> f64 {
    if a < 15.0 {
        return libm::lgamma(a + b) - libm::lgamma(a);
    }
    const TERMS: [f64; 6] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let rest = |x: f64| TERMS.iter().rev().fold(0.0, |sum, term| sum / (x * x) + term) / x;
    (a - 0.5) * (b / a).ln_1p() + b * (a + b).ln() - b + rest(a + b) - rest(a)
}

/// 1 + d₁ / (1 + d₂ / (1 + …)), with the d of DLMF 8.17.23.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    fraction(1.0, |i| {
        let m = (i / 2) as f64;
        let d = if i % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        (d, 1.0)
    })
}

/// Q(a, x), the upper regularized incomplete gamma function: 1 minus the series of the lower one (DLMF 8.11.4) where x is
/// small, else by its continued fraction (DLMF 8.9.2 in even form).
fn gamma_above(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for i in 1..STEPS {
            term *= x / (a + i as f64);
            sum += term;
            if term < sum * f64::EPSILON / 4.0 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    front
        / fraction(x + 1.0 - a, |i| {
            let i = i as f64;
            (-i * (i - a), x + 2.0 * i + 1.0 - a)
        })
}

/// b₀ + a₁ / (b₁ + a₂ / (b₂ + …)) by Lentz's method as Thompson and Barnett have it; `part` gives (aᵢ, bᵢ) from i = 1.
fn fraction(b0: f64, part: impl Fn(usize) -> (f64, f64)) -> f64 {
    const TINY: f64 = 1e-300;
    let kept = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut value = kept(b0);
    let (mut c, mut d) = (value, 0.0);
    for i in 1..STEPS {
        let (a, b) = part(i);
        d = 1.0 / kept(b + a * d);
        c = kept(b + a / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near};

    /// Over a grid from the middle to far tails, each by SciPy; `statistical_tests.py` lists the grid.
    #[test]
    fn distributions_are_those_of_scipy() {
        let golden = Golden::read();
        let of = |name: &str| golden.rows(&format!("special/{name}"));
        let mut all = 0;
        let mut compare = |name: &str, f: &dyn Fn(&[f64]) -> f64, relative: f64| {
            for row in of(name) {
                let (due, at) = row.split_last().unwrap();
                near(f(at), *due, relative, &format!("{name}{at:?}"));
                all += 1;
            }
        };
        compare("normal_above", &|x| normal_above(x[0]), 1e-12);
        compare("normal_quantile", &|x| normal_quantile(x[0]), 1e-12);
        compare("t_two_sided", &|x| t_two_sided(x[0], x[1]), 1e-10);
        compare("t_critical", &|x| t_critical(x[0], x[1]), 1e-10);
        compare("chi_square_above", &|x| chi_square_above(x[0], x[1]), 1e-10);
        compare("f_above", &|x| f_above(x[0], x[1], x[2]), 1e-10);
        compare("fair_coins_at_most", &|x| fair_coins_at_most(x[0] as u64, x[1] as u64), 1e-10);
        compare("range_above", &|x| range_above(x[0], x[1] as usize), 1e-9);
        compare("range_critical", &|x| range_critical(x[0], x[1] as usize), 1e-9);
        assert!(all > 150, "{all} values");
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!((t_two_sided(0.0, 3.0), chi_square_above(0.0, 2.0)), (1.0, 1.0));
        assert_eq!((f_above(0.0, 3.0, 9.0), f_above(f64::INFINITY, 3.0, 9.0)), (1.0, 0.0));
        assert_eq!((fair_coins_at_most(4, 4), range_above(0.0, 3)), (1.0, 1.0));
        near(fair_coins_at_most(0, 5), 1.0 / 32.0, 1e-14, "five coins");
    }
}
