//! Wilcoxon's signed-rank test of paired differences (Wilcoxon 1945; Demšar 2006, 3.1.3).

use super::few::{TooFew, enough};
use super::ranking::{average_ranks, tie_sizes};
use super::special::normal_above;

/// Up to this many differences that are not 0, p is counted out.
pub const EXACT: usize = 50;

/// How a p value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Counted over all signs that the differences might have had.
    Exact,
    /// By the normal distribution, with the correction for ties and without one for continuity.
    Normal,
}

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRank {
    /// How many differences are not 0.
    pub n: usize,
    /// How many are 0. They are left out, as Wilcoxon did (`zero_method="wilcox"` in SciPy).
    pub zeros: usize,
    /// The sum of the ranks of the positive differences.
    pub plus: f64,
    /// The sum of the ranks of the negative ones.
    pub minus: f64,
    /// The two-sided p of differences that are as often positive as negative.
    pub p: f64,
    /// How it was found.
    pub manner: Manner,
}

/// How many differences the exact test needs so that p can be `alpha` or less: 2 · 2⁻ⁿ ≤ α.
pub fn fewest_pairs(alpha: f64) -> usize {
    (1..64).find(|&n| 2.0_f64.powi(1 - n) <= alpha).map_or(64, |n| n as usize)
}

/// The test at the level `alpha`, which decides alone whether there are enough pairs: of m tests at once give α / m. Exact
/// up to [`EXACT`] differences that are not 0, also where some tie.
pub fn signed_rank(differences: &[f64], alpha: f64) -> Result<SignedRank, TooFew> {
    enough("Wilcoxon's signed-rank test", differences.len(), fewest_pairs(alpha).max(1), "pairs")?;
    let counted = differences.iter().filter(|d| **d != 0.0).count() <= EXACT;
    Ok(signed_rank_by(differences, if counted { Manner::Exact } else { Manner::Normal }))
}

/// The test in one manner, of any number of pairs; p is 1 where all differences are 0.
pub fn signed_rank_by(differences: &[f64], manner: Manner) -> SignedRank {
    let kept: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let sizes: Vec<f64> = kept.iter().map(|d| d.abs()).collect();
    let ranks = average_ranks(&sizes);
    let of_sign = |plus: bool| kept.iter().zip(&ranks).filter(|(d, _)| (**d > 0.0) == plus).map(|(_, r)| r).sum();
    let (plus, minus): (f64, f64) = (of_sign(true), of_sign(false));
    let p = match manner {
        _ if kept.is_empty() => 1.0,
        Manner::Exact => exact(&ranks, plus.min(minus)),
        Manner::Normal => normal(&sizes, plus),
    };
    SignedRank { n: kept.len(), zeros: differences.len() - kept.len(), plus, minus, p, manner }
}

/// Twice the share of all 2ⁿ signs whose positive ranks sum to at most `least`. Ranks that tie are halves, so that twice a
/// rank is whole; the counts are whole numbers below 2⁵³.
fn exact(ranks: &[f64], least: f64) -> f64 {
    let doubled: Vec<usize> = ranks.iter().map(|r| (2.0 * r).round() as usize).collect();
    let mut ways = vec![0.0_f64; doubled.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    let mut reached = 0;
    for rank in doubled {
        for sum in (0..=reached).rev() {
            ways[sum + rank] += ways[sum];
        }
        reached += rank;
    }
    let below: f64 = ways[..=(2.0 * least).round() as usize].iter().sum();
    (2.0 * below / 2.0_f64.powi(ranks.len() as i32)).min(1.0)
}

/// z = (W⁺ − n(n+1)/4) / √(n(n+1)(2n+1)/24 − Σ(t³−t)/48), with t the sizes of ties.
fn normal(sizes: &[f64], plus: f64) -> f64 {
    let n = sizes.len() as f64;
    let ties: f64 = tie_sizes(sizes).into_iter().map(|t| (t * t * t - t) as f64).sum();
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    2.0 * normal_above((plus - n * (n + 1.0) / 4.0).abs() / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near};

    #[test]
    fn p_is_that_of_scipy() {
        for case in Golden::read().cases("signed_rank") {
            let d = case.numbers("differences");
            let (exact, normal) = (signed_rank_by(&d, Manner::Exact), signed_rank_by(&d, Manner::Normal));
            if let Some(due) = case.maybe("exact") {
                near(exact.p, due, 1e-12, &format!("exact p of {d:?}"));
            }
            near(normal.p, case.number("normal"), 1e-12, &format!("normal p of {d:?}"));
            near(exact.plus.min(exact.minus), case.number("statistic"), 1e-12, "statistic");
            let chosen = signed_rank(&d, 1.0).unwrap();
            assert_eq!(chosen.manner == Manner::Exact, chosen.n <= EXACT);
        }
    }

    #[test]
    fn too_few_pairs_are_told() {
        assert_eq!([0.05, 0.05 / 8.0, 1.0].map(fewest_pairs), [6, 9, 1]);
        let few = signed_rank(&[1.0, 2.0, 3.0], 0.05).unwrap_err();
        assert_eq!(few.to_string(), "Wilcoxon's signed-rank test needs at least 6 pairs, and there are 3");
        assert_eq!(signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.05).unwrap().p, 2.0 / 64.0);
        assert_eq!(signed_rank(&[0.0; 7], 0.05).unwrap().p, 1.0);
    }
}
