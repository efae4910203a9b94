//! Instance-dependent noise (Xia et al. 2020, arXiv 2006.07836, appendix, algorithm 2): sample i goes wrong with a probability
//! q_i of its own, drawn from a normal distribution around `rate` with deviation 0.1 that is cut to [0, 1]. What it becomes
//! depends on the image: p = softmax(x_i W_c) over the other classes, where x_i is the image in the space of `space.rs` and
//! W_c a matrix of standard normals for the true class c.
//!
//! The rate is the centre before the cut, as in the authors' code. Near 0 and 1 the share of wrong labels is another: with
//! deviation 0.1 it is 0.101 at rate 0.05, 0.129 at 0.1, 0.871 at 0.9 and 0.920 at 1.
//!
//! The authors flatten the whole image. Means of blocks keep W small, and do not let fine texture decide.

use super::space::Space;
use super::{Corrupted, Kind, STREAM};
use crate::base::Result;
use crate::base::range::{Mistake, positive};
use crate::base::rng::Rng;
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "instance_dependent",
    about: "how easily a label goes wrong differs between images, and what it becomes depends on what the image looks like",
    overlay: include_str!("../../../configs/noise/instance_dependent.toml"),
    read: |from| read(from, |kind: InstanceDependent| Arc::new(kind)),
};

/// The streams of q ("inst") and of W ("proj"), apart from that of the flips.
const RATES: u32 = STREAM ^ 0x696e_7374;
const PROJECTION: u32 = STREAM ^ 0x7072_6f6a;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceDependent {
    /// The deviation of the samples' own probabilities.
    deviation: f64,
}

impl Checked for InstanceDependent {
    fn check(&self) -> Result<(), Mistake> {
        positive("deviation", self.deviation)
    }
}

/// Φ, the standard normal distribution function.
fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// The value that a normal distribution around `mean`, cut to [0, 1], is below with probability `u`. It grows with `mean`, so
/// that what is wrong at a low rate is wrong at a higher one.
fn quantile(u: f64, mean: f64, deviation: f64) -> f64 {
    let below = |q: f64| phi((q - mean) / deviation);
    let (least, most) = (below(0.0), below(1.0));
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..53 {
        let middle = 0.5 * (low + high);
        let share = (below(middle) - least) / (most - least);
        (low, high) = if share < u { (middle, high) } else { (low, middle) };
    }
    0.5 * (low + high)
}

/// W: for each true class, a weight for each dimension and class.
struct Projection {
    weights: Vec<f32>,
    width: usize,
    classes: usize,
}

impl Projection {
    fn new(seed: u64, width: usize, classes: usize) -> Projection {
        let of_class = |c: usize| {
            let mut rng = Rng::new(seed, PROJECTION, c as u64);
            (0..width * classes).map(move |_| rng.normal()).collect::<Vec<f32>>()
        };
        Projection { weights: (0..classes).flat_map(of_class).collect(), width, classes }
    }

    /// The scores x W_c of every class.
    fn scores(&self, x: &[f64], class: usize) -> Vec<f64> {
        let mut scores = vec![0.0; self.classes];
        let rows = self.weights[class * self.width * self.classes..].chunks(self.classes);
        for (x, row) in x.iter().zip(rows) {
            scores.iter_mut().zip(row).for_each(|(s, w)| *s += x * f64::from(*w));
        }
        scores
    }
}

/// One of `others` by softmax of their scores.
fn drawn(rng: &mut Rng, scores: &[f64], others: impl Iterator<Item = u32> + Clone) -> Option<u32> {
    let most = others.clone().map(|c| scores[c as usize]).fold(f64::NEG_INFINITY, f64::max);
    let weight = |c: u32| (scores[c as usize] - most).exp();
    let mut left = f64::from(rng.uniform()) * others.clone().map(weight).sum::<f64>();
    let mut last = None;
    for c in others {
        last = Some(c);
        left -= weight(c);
        if left < 0.0 {
            break;
        }
    }
    last
}

impl Kind for InstanceDependent {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        if on.rate == 0.0 {
            return Ok(on.labels.to_vec());
        }
        let (space, present) = (Space::of(on)?, on.present());
        let projection = Projection::new(on.seed, space.width, on.classes);
        let chance = |i: usize, _| {
            let u = f64::from(Rng::new(on.seed, RATES, i as u64).uniform());
            quantile(u, on.rate, self.deviation)
        };
        Ok(on.flipped(chance, |rng, i, label| {
            let scores = projection.scores(space.sample(i), label as usize);
            drawn(rng, &scores, present.iter().copied().filter(|&c| c != label)).unwrap_or(label)
        }))
    }

    fn reads_pixels(&self) -> bool {
        true
    }

    fn no_signal(&self, _: usize) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::labels;
    use super::super::{Pixels, realised_rate};
    use super::*;

    /// Values by scipy 1.17.1: `truncnorm.ppf(u, (0 - m) / s, (1 - m) / s, m, s)`.
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (u, mean, deviation, due) in SCIPY {
            let found = quantile(u, mean, deviation);
            assert!((found - due).abs() < 1e-12, "{u}, {mean}, {deviation}: {found} and not {due}");
        }
    }

    const SCIPY: [(f64, f64, f64, f64); 5] = [
        (0.3, 0.4, 0.1, 0.3475663248216939),
        (0.9, 0.05, 0.1, 0.19821796784409074),
        (0.5, 0.95, 0.1, 0.9103128824910455),
        (0.01, 0.2, 0.5, 0.00812851825742808),
        (0.999, 0.8, 0.05, 0.9540484655095529),
    ];

    /// Means by scipy 1.17.1: `truncnorm.mean((0 - m) / 0.1, (1 - m) / 0.1, m, 0.1)`.
    #[test]
    fn the_rate_is_the_centre_before_the_cut() {
        let (n, clean) = (20_000, labels(20_000, 4));
        let bytes: Vec<u8> = (0..n).map(|i| (i * 89 % 251) as u8).collect();
        let pixels = Some(Pixels { bytes: &bytes, shape: [1, 1, 1] });
        for (rate, due) in MEANS {
            let on = Corrupted { pixels, ..Corrupted::of(&clean, 4, rate, 6) };
            let given = InstanceDependent { deviation: 0.1 }.corrupt(&on).unwrap();
            let (found, sigma) = (realised_rate(&clean, &given).unwrap(), (due * (1.0 - due) / n as f64).sqrt());
            assert!((found - due).abs() < 4.0 * sigma, "{rate}: {found} and not {due}");
            assert!((rate - due).abs() > 8.0 * sigma, "the centre itself is told apart");
        }
    }

    const MEANS: [(f64, f64); 4] =
        [(0.05, 0.10091604338370336), (0.1, 0.12875999709391783), (0.9, 0.8712400029060822), (1.0, 0.9202115439197135)];

    #[test]
    fn the_rate_is_right_and_images_differ() {
        let (n, clean) = (20_000, labels(20_000, 4));
        let bytes: Vec<u8> = (0..n).map(|i| (i * 89 % 251) as u8).collect();
        let pixels = Some(Pixels { bytes: &bytes, shape: [1, 1, 1] });
        let kind = InstanceDependent { deviation: 0.1 };
        let at = |rate| kind.corrupt(&Corrupted { pixels, ..Corrupted::of(&clean, 4, rate, 6) }).unwrap();
        let given = at(0.4);
        let sigma = (0.4f64 * 0.6 / n as f64).sqrt();
        assert!((realised_rate(&clean, &given).unwrap() - 0.4).abs() < 4.0 * sigma);
        // Dark and bright images of one class do not become the same classes.
        let share = |bright: bool, g: u32| {
            let of = |i: &usize| clean[*i] == 0 && given[*i] != 0 && (bytes[*i] > 125) == bright;
            let all: Vec<u32> = (0..n).filter(of).map(|i| given[i]).collect();
            all.iter().filter(|&&x| x == g).count() as f64 / all.len() as f64
        };
        assert!((1..4).any(|g| (share(true, g) - share(false, g)).abs() > 0.1));
        let more = at(0.7);
        assert!((0..n).all(|i| given[i] == clean[i] || given[i] == more[i]), "wrong labels stay wrong");
    }
}
