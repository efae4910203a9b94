//! What mixup draws on the host: partners and λ.

use crate::base::range::{Mistake, mistake};
use crate::base::rng::Rng;

/// The range of the key `alpha`: outside it a number from Beta(α, α) is ½, or 0 or 1, but for rounding.
pub(super) fn check(alpha: f64) -> Result<(), Mistake> {
    if (0.01..=1000.0).contains(&alpha) {
        return Ok(());
    }
    mistake("alpha", format!("is {alpha}; use a number from 0.01 to 1000"))
}

/// The partner of each of `n` samples and the λ of all, from (seed, stream, counter): a permutation and a number from
/// Beta(α, α).
pub(super) fn drawn((seed, stream, counter): (u64, u32, u64), n: usize, alpha: f64) -> (Vec<u32>, f32) {
    let mut rng = Rng::new(seed, stream, counter);
    let partners = rng.permutation(n).into_iter().map(|i| i as u32).collect();
    (partners, beta(&mut rng, alpha) as f32)
}

/// A number from Beta(α, α): X / (X + Y) of two numbers from Gamma(α), by their logarithms, since for small α they may be too
/// small for a float.
fn beta(rng: &mut Rng, alpha: f64) -> f64 {
    let (x, y) = (log_gamma_draw(rng, alpha), log_gamma_draw(rng, alpha));
    1.0 / (1.0 + (y - x).exp())
}

/// The logarithm of a number from Gamma(α, 1) (Marsaglia and Tsang 2000); for α < 1 that of Gamma(α + 1) · U^(1/α).
fn log_gamma_draw(rng: &mut Rng, alpha: f64) -> f64 {
    let raised = if alpha < 1.0 { alpha + 1.0 } else { alpha };
    let d = raised - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let drawn = loop {
        let x = f64::from(rng.normal());
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - f64::from(rng.uniform());
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            break (d * v).ln();
        }
    };
    let boost = if alpha < 1.0 { (1.0 - f64::from(rng.uniform())).ln() / alpha } else { 0.0 };
    drawn + boost
}

#[cfg(test)]
mod tests {
    use super::drawn;

    /// Beta(α, α) has mean 1/2 and variance 1 / (4 (2α + 1)).
    #[test]
    fn lambda_has_the_moments_of_its_distribution() {
        for alpha in [0.2, 1.0, 4.0] {
            let n = 4000;
            let draws: Vec<f64> = (0..n).map(|i| f64::from(drawn((3, 5, i), 2, alpha).1)).collect();
            let mean = draws.iter().sum::<f64>() / n as f64;
            let variance = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            let due = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!(draws.iter().all(|v| (0.0..=1.0).contains(v)));
            let sigma = (due / n as f64).sqrt();
            assert!((mean - 0.5).abs() < 4.0 * sigma, "α {alpha}: mean {mean}");
            assert!((variance / due - 1.0).abs() < 0.1, "α {alpha}: variance {variance} of {due}");
        }
    }

    #[test]
    fn partners_are_a_permutation_that_follows_seed_and_step() {
        let (mut partners, lambda) = drawn((1, 2, 3), 7, 1.0);
        assert_eq!((partners.clone(), lambda), drawn((1, 2, 3), 7, 1.0));
        assert_ne!(partners, drawn((1, 2, 4), 7, 1.0).0);
        partners.sort_unstable();
        assert_eq!(partners, (0..7).collect::<Vec<_>>());
    }
}
