//! How hard the classes of a dataset are to distinguish in a space of features (Fisher 1936). Each dimension is scaled
//! to variance 1 over all images. A constant dimension does not count.

use crate::base::{Error, Result};
use crate::noise::corrupt::fisher;

/// Fisher's criteria for labelled features.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Separability {
    /// tr S_b / tr S_w: the scatter between class means over the scatter inside classes. It is small if the dataset is
    /// hard. `None` if no class has any scatter inside.
    pub ratio: Option<f64>,
    /// For each two classes ‖μ_a − μ_b‖² / (s_a² + s_b²). It is small if the classes are similar. `None` for a class
    /// with itself, for a class without images, and for two classes without any scatter inside.
    pub pairs: Vec<Vec<Option<f64>>>,
}

impl Separability {
    /// Measures rows of `width` features with their labels. It needs memory for classes × width numbers, and makes no
    /// copy of the features.
    pub fn of(features: &[f32], width: usize, labels: &[u32], classes: usize) -> Result<Separability> {
        if features.len() != labels.len() * width || labels.iter().any(|&l| l as usize >= classes) {
            let (f, n) = (features.len(), labels.len());
            return Err(Error::Failed(format!(
                "{f} features are not {width} for each of {n} labels of {classes} classes"
            )));
        }
        let rows = || features.chunks_exact(width.max(1)).zip(labels).map(|(row, &label)| (row, label as usize));
        let (mut counts, mut means) = (vec![0.0; classes], vec![vec![0.0; width]; classes]);
        for (row, c) in rows() {
            counts[c] += 1.0;
            means[c].iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        let n = (labels.len() as f64).max(1.0);
        let all: Vec<f64> = (0..width).map(|d| means.iter().map(|m| m[d]).sum::<f64>() / n).collect();
        for (mean, count) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|m| *m /= f64::max(*count, 1.0));
        }
        let (mut inside, mut total) = (vec![vec![0.0; width]; classes], vec![0.0; width]);
        for (row, c) in rows() {
            for (d, &v) in row.iter().enumerate() {
                inside[c][d] += (f64::from(v) - means[c][d]).powi(2);
                total[d] += (f64::from(v) - all[d]).powi(2);
            }
        }
        // 1 / variance of each dimension.
        let scale: Vec<f64> = total.iter().map(|t| if *t > 0.0 { n / t } else { 0.0 }).collect();
        let scaled = |of: &[f64]| of.iter().zip(&scale).map(|(v, s)| v * s).sum::<f64>();
        let within: Vec<f64> = inside.iter().map(|of| scaled(of)).collect();
        let (all_within, all_total): (f64, f64) = (within.iter().sum(), scaled(&total));
        let root: Vec<f64> = scale.iter().map(|s| s.sqrt()).collect();
        let standard: Vec<Vec<f64>> = means.iter().map(|m| m.iter().zip(&root).map(|(v, r)| v * r).collect()).collect();
        let spreads: Vec<f64> = within.iter().zip(&counts).map(|(w, c)| w / f64::max(*c, 1.0)).collect();
        let pair = |a: usize, b: usize| {
            let found =
                || Some(fisher([&standard[a], &standard[b]], [spreads[a], spreads[b]])).filter(|f| f.is_finite());
            if a == b || counts[a] == 0.0 || counts[b] == 0.0 { None } else { found() }
        };
        Ok(Separability {
            ratio: Some((all_total - all_within).max(0.0) / all_within).filter(|r| r.is_finite()),
            pairs: (0..classes).map(|a| (0..classes).map(|b| pair(a, b)).collect()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    /// Features whose criteria NumPy computed by scatter matrices; see kernels-tests/golden/measures.py.
    #[test]
    fn criteria_are_those_of_scatter_matrices() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/measures.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = |name: &str| file.tensor(&format!("fisher/{name}")).unwrap().data().to_vec();
        let features = bytemuck::pod_collect_to_vec::<u8, f32>(&data("features"));
        let labels = bytemuck::pod_collect_to_vec::<u8, u32>(&data("labels"));
        let of = |name: &str| bytemuck::pod_collect_to_vec::<u8, f64>(&data(name));
        let found = Separability::of(&features, 6, &labels, 4).unwrap();
        assert!((found.ratio.unwrap() - of("ratio")[0]).abs() < 1e-9, "{:?} {:?}", found.ratio, of("ratio"));
        let (pairs, due) = (found.pairs.concat(), of("pairs"));
        let pairs: Vec<f64> = pairs.into_iter().map(|p| p.unwrap_or(0.0)).collect();
        assert!(pairs.iter().zip(&due).all(|(a, b)| (a - b).abs() < 1e-9 * b.max(1.0)), "{pairs:?} {due:?}");
    }

    #[test]
    fn what_has_no_scatter_has_no_ratio() {
        let of = |features: &[f32], labels: &[u32]| Separability::of(features, 1, labels, 3).unwrap();
        assert_eq!(of(&[1.0, 2.0], &[0, 1]).ratio, None);
        assert_eq!(of(&[1.0, 1.0, 1.0], &[0, 1, 1]).ratio, None, "a constant dimension");
        assert_eq!(of(&[], &[]).pairs, vec![vec![None; 3]; 3]);
        assert_eq!(of(&[1.0, 2.0], &[0, 1]).pairs[0][1], None, "classes without scatter");
        // The means are 0 and 4, and the values lie ±1 around them: the scatter between is 4, within 1.
        let two = of(&[-1.0, 1.0, 3.0, 5.0], &[0, 0, 2, 2]);
        assert!((two.ratio.unwrap() - 4.0).abs() < 1e-12 && (two.pairs[0][2].unwrap() - 8.0).abs() < 1e-12, "{two:?}");
        assert_eq!(two.pairs[0][1], None, "a class without images");
        assert!(Separability::of(&[1.0], 1, &[3], 3).is_err());
    }
}
