//! Confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
//! JAIR 70). From probabilities out of sample it counts how many images of each given class are truly of each class.

/// Added to a probability where it is compared with a threshold, as cleanlab does.
const CLOSE: f64 = 1e-6;
/// The threshold of a class without images: no probability reaches it.
const OUT_OF_REACH: f64 = 2.0;
/// The least threshold of a class.
const LEAST: f64 = 2e-6;

/// Probabilities with the labels that were given.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Rows of `classes` probabilities, each by a classifier that did not see the image.
    pub probabilities: &'a [f64],
    /// The given label of each row.
    pub labels: &'a [u32],
    /// How many classes there are.
    pub classes: usize,
}

impl Judged<'_> {
    fn rows(&self) -> impl Iterator<Item = (&[f64], usize)> {
        self.probabilities.chunks_exact(self.classes.max(1)).zip(self.labels.iter().map(|&l| l as usize))
    }

    /// The images of each given class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|&l| counts[l as usize] += 1);
        counts
    }

    /// The probability of the given label of each image.
    pub fn self_confidence(&self) -> Vec<f64> {
        self.rows().map(|(row, label)| row[label]).collect()
    }

    /// (p(given) − the largest other probability + 1) / 2 of each image.
    pub fn normalized_margin(&self) -> Vec<f64> {
        let other = |row: &[f64], label: usize| {
            let others = row.iter().enumerate().filter(|(class, _)| *class != label);
            others.map(|(_, p)| *p).fold(0.0, f64::max)
        };
        self.rows().map(|(row, label)| (row[label] - other(row, label) + 1.0) / 2.0).collect()
    }

    /// The threshold t of each class: the mean probability of that class over the images that are given it (Eq. 2).
    pub fn thresholds(&self) -> Vec<f64> {
        let (mut sums, counts) = (vec![0.0; self.classes], self.counts());
        self.rows().for_each(|(row, label)| sums[label] += row[label]);
        let mean = |(sum, count): (f64, usize)| {
            if count == 0 { OUT_OF_REACH } else { (sum / count as f64).max(LEAST) }
        };
        sums.into_iter().zip(counts).map(mean).collect()
    }

    /// The class that each image is confidently of: of the classes whose threshold it reaches, the most probable one.
    /// None where it reaches none (Eq. 1).
    pub fn confident(&self) -> Vec<Option<usize>> {
        let thresholds = self.thresholds();
        let one = |(row, _): (&[f64], usize)| {
            let reached = (0..self.classes).filter(|&c| row[c] >= thresholds[c] - CLOSE);
            reached.reduce(|best, c| if row[c] > row[best] { c } else { best })
        };
        self.rows().map(one).collect()
    }

    /// The confident joint: rows are given classes, columns the classes that images are confidently of. Each class is
    /// taken to have at least one image with a right label.
    pub fn joint(&self) -> Vec<Vec<usize>> {
        let mut joint = vec![vec![0; self.classes]; self.classes];
        for (given, truth) in self.labels.iter().zip(self.confident()) {
            truth.into_iter().for_each(|truth| joint[*given as usize][truth] += 1);
        }
        (0..self.classes).for_each(|c| joint[c][c] = joint[c][c].max(1));
        joint
    }

    /// The confident joint scaled to the images that there are (Eq. 3): whole numbers, each row of which sums to the
    /// images of its given class.
    pub fn calibrated(&self) -> Vec<Vec<usize>> {
        let scaled = |(row, count): (Vec<usize>, usize)| {
            let all = row.iter().sum::<usize>().max(1) as f64;
            rounded(&row.iter().map(|&n| n as f64 / all * count as f64).collect::<Vec<_>>())
        };
        self.joint().into_iter().zip(self.counts()).map(scaled).collect()
    }

    /// How many labels of each given class are probably wrong: what of its row of the joint is not on the diagonal.
    pub fn wrong(&self) -> Vec<usize> {
        let off = |(class, row): (usize, Vec<usize>)| row.iter().sum::<usize>() - row[class];
        self.calibrated().into_iter().enumerate().map(off).collect()
    }
}

/// Numbers rounded so that their sum is kept: those that rounding changed most against it go to the other side.
fn rounded(values: &[f64]) -> Vec<usize> {
    let mut whole: Vec<f64> = values.iter().map(|v| v.round_ties_even()).collect();
    let due = values.iter().sum::<f64>().round_ties_even();
    loop {
        let off = due - whole.iter().sum::<f64>();
        if off.abs() < 0.5 || whole.is_empty() {
            return whole.into_iter().map(|v| v.max(0.0) as usize).collect();
        }
        let step = off.signum();
        let mut order: Vec<usize> = (0..values.len()).collect();
        // Of equals cleanlab raises the last and lowers the first.
        let tie = |a: usize, b: usize| if step > 0.0 { b.cmp(&a) } else { a.cmp(&b) };
        let by = |i: usize| step * (values[i] - whole[i]);
        order.sort_by(|&a, &b| by(b).total_cmp(&by(a)).then(tie(a, b)));
        order.iter().take(off.abs() as usize).for_each(|&i| whole[i] += step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    /// Numbers by cleanlab; see kernels-tests/golden/confident.py.
    #[test]
    fn scores_and_joints_are_those_of_cleanlab() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/confident.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut cases = 0;
        for case in ["balanced", "rare", "missing", "two"] {
            let floats = |name: &str| {
                bytemuck::pod_collect_to_vec::<u8, f64>(file.tensor(&format!("{case}.{name}")).unwrap().data())
            };
            let words = |name: &str| {
                bytemuck::pod_collect_to_vec::<u8, u32>(file.tensor(&format!("{case}.{name}")).unwrap().data())
            };
            let (probabilities, labels) = (floats("probabilities"), words("labels"));
            let judged =
                Judged { probabilities: &probabilities, labels: &labels, classes: probabilities.len() / labels.len() };
            let near = |found: &[f64], due: &[f64]| {
                found.len() == due.len() && found.iter().zip(due).all(|(a, b)| (a - b).abs() < 1e-12)
            };
            assert!(near(&judged.self_confidence(), &floats("self_confidence")), "{case}");
            assert!(near(&judged.normalized_margin(), &floats("normalized_margin")), "{case}");
            assert!(near(&judged.thresholds(), &floats("thresholds")), "{case}");
            let flat = |joint: Vec<Vec<usize>>| joint.concat().into_iter().map(|n| n as u32).collect::<Vec<_>>();
            assert_eq!(flat(judged.joint()), words("joint"), "{case}");
            assert_eq!(flat(judged.calibrated()), words("calibrated"), "{case}");
            let off = judged.wrong().iter().sum::<usize>();
            assert!(off > 5 && off == words("issues")[0] as usize, "{case}: {off}");
            cases += 1;
        }
        assert_eq!(cases, 4);
    }

    #[test]
    fn rounding_keeps_sums() {
        assert_eq!(rounded(&[0.4, 0.4, 0.2]), [0, 1, 0]);
        assert_eq!(rounded(&[1.6, 1.6, 1.8]), [1, 2, 2]);
        assert_eq!(rounded(&[2.5, 0.5, 3.0]), [2, 1, 3]);
        assert_eq!(rounded(&[]), [0; 0]);
    }
}
