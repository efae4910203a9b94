//! The Bayesian signed-rank test with a region of practical equivalence (Benavoli et al. 2017, section 4.2): how probable
//! it is that one method is better by more than a margin, equal in practice, or worse.

use super::few::{TooFew, enough};
use crate::base::rng::Rng;

/// The stream of the posterior's draws ("baye").
const STREAM: u32 = 0x6261_7965;

/// How many draws the posterior has: the standard error of a probability is at most 0.0022.
pub const DRAWS: usize = 50_000;

/// The probabilities that the next difference lies below, within and above the region; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Worse by more than the margin.
    pub below: f64,
    /// Within the margin.
    pub within: f64,
    /// Better by more than the margin.
    pub above: f64,
}

/// The share of draws of the posterior in which each of the three regions is the most probable. The prior is a Dirichlet
/// process of strength ½ at a difference of 0, as baycomp's: a draw weighs that 0 and the differences by a Dirichlet vector w
/// of ½ and of ones. A region's probability is Σᵢⱼ wᵢ wⱼ [dᵢ + dⱼ in twice the region], with one half at its edge.
pub fn signed_rank_belief(differences: &[f64], margin: f64, seed: u64) -> Result<Belief, TooFew> {
    enough("the Bayesian signed-rank test", differences.len(), 2, "pairs")?;
    let table = Regions::of(differences, margin);
    let mut won = [0_u64; 3];
    for i in 0..DRAWS {
        let mut rng = Rng::new(seed, STREAM, i as u64);
        // Gamma variables over their sum are a Dirichlet vector: of ½ half the square of a normal one, of 1 an exponential.
        let mut gammas = vec![0.5 * f64::from(rng.normal()).powi(2)];
        gammas.extend(differences.iter().map(|_| -(1.0 - f64::from(rng.uniform())).ln()));
        let total: f64 = gammas.iter().sum();
        let shares = table.shares(&gammas.iter().map(|w| w / total).collect::<Vec<_>>());
        // Of equal ones the first, as baycomp.
        let best = (1..3).fold(0, |best, r| if shares[r] > shares[best] { r } else { best });
        won[best] += 1;
    }
    let [below, within, above] = won.map(|n| n as f64 / DRAWS as f64);
    Ok(Belief { below, within, above })
}

/// The differences and the prior's 0 in order, and for each the place from which on its sum with another lies beyond the region.
struct Regions {
    /// Which weight each value in order has; 0 is the prior's.
    order: Vec<usize>,
    /// Of each value: how many others sum with it to below −2 margins, at most that, below 2 margins, and at most that.
    edges: Vec<[usize; 4]>,
}

impl Regions {
    fn of(differences: &[f64], margin: f64) -> Self {
        let all: Vec<f64> = std::iter::once(0.0).chain(differences.iter().copied()).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| all[a].total_cmp(&all[b]));
        let edge = 2.0 * margin;
        let of_value = |&i: &usize| {
            let place = |kept: &dyn Fn(f64) -> bool| order.partition_point(|&j| kept(all[i] + all[j]));
            [place(&|s| s < -edge), place(&|s| s <= -edge), place(&|s| s < edge), place(&|s| s <= edge)]
        };
        let edges = order.iter().map(of_value).collect();
        Regions { order, edges }
    }

    /// The probability of each region under the weights of a draw. Weights are summed up once, so that it takes a step for each
    /// value and not for each two.
    fn shares(&self, weights: &[f64]) -> [f64; 3] {
        let mut upto = vec![0.0];
        upto.extend(self.order.iter().scan(0.0, |sum, &i| {
            *sum += weights[i];
            Some(*sum)
        }));
        let all = upto[self.order.len()];
        let (mut below, mut above) = (0.0, 0.0);
        for (&i, [l, le, h, he]) in self.order.iter().zip(&self.edges) {
            below += weights[i] * (upto[*l] + upto[*le]) / 2.0;
            above += weights[i] * (all - (upto[*h] + upto[*he]) / 2.0);
        }
        [below, 1.0 - below - above, above]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near, within};

    /// Under weights that are given nothing is drawn.
    #[test]
    fn regions_are_those_of_baycomp() {
        for case in Golden::read().cases("baycomp") {
            let regions = Regions::of(&case.numbers("differences"), case.number("margin"));
            for (weights, due) in case.rows("weights").iter().zip(case.rows("shares")) {
                for (got, due) in regions.shares(weights).iter().zip(due) {
                    near(*got, due, 1e-9, "a region");
                }
            }
        }
    }

    /// The standard error of a share of n draws is at most √(p (1 − p) / n) on each side.
    #[test]
    fn probabilities_are_those_of_baycomp_within_the_error_of_the_draws() {
        for case in Golden::read().cases("baycomp") {
            let got = signed_rank_belief(&case.numbers("differences"), case.number("margin"), 0).unwrap();
            let draws = case.number("draws");
            for (got, due) in [got.below, got.within, got.above].into_iter().zip(case.numbers("probabilities")) {
                let p = due.clamp(1.0 / draws, 1.0 - 1.0 / draws);
                let error = (p * (1.0 - p) * (1.0 / draws + 1.0 / DRAWS as f64)).sqrt();
                within(got, due, 5.0 * error, "a probability");
            }
        }
        assert!(signed_rank_belief(&[1.0], 0.0, 0).is_err());
    }
}
