//! Folds: which images are held out together. What belongs together, such as the images of one patient, is never in two
//! folds, and each class is spread over the folds as evenly as that allows.

use crate::base::rng::Rng;

/// The random stream that orders what is put into folds.
const STREAM: u32 = 0x464F;

/// The fold, from 0, of each image. Images with the same number in `groups` are in one fold.
///
/// Groups are taken from the largest to the smallest, those of equal size in an order drawn by `seed`. Each goes to the
/// fold in which its classes have least of their images; of equals, to the one with the fewest images.
pub fn folds(labels: &[u32], groups: &[usize], classes: usize, count: usize, seed: u64) -> Vec<usize> {
    let most = groups.iter().max().map_or(0, |m| m + 1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); most];
    groups.iter().enumerate().for_each(|(i, &g)| members[g].push(i));
    let mut order = Rng::new(seed, STREAM, 0).permutation(most.min(u32::MAX as usize));
    order.sort_by_key(|&g| std::cmp::Reverse(members[g].len()));
    let mut totals = vec![0usize; classes];
    labels.iter().for_each(|&l| totals[l as usize] += 1);
    let (mut of_class, mut sizes) = (vec![vec![0usize; classes]; count], vec![0usize; count]);
    let mut fold_of = vec![0; labels.len()];
    for group in order.into_iter().filter(|&g| !members[g].is_empty()) {
        let cost = |fold: usize| -> f64 {
            members[group]
                .iter()
                .map(|&i| labels[i] as usize)
                .map(|c| of_class[fold][c] as f64 / totals[c] as f64)
                .sum()
        };
        let costs: Vec<f64> = (0..count).map(cost).collect();
        let better = |a: usize, b: usize| costs[b].total_cmp(&costs[a]).then(sizes[b].cmp(&sizes[a])).is_lt();
        let best = (1..count).fold(0, |best, fold| if better(best, fold) { fold } else { best });
        for &i in &members[group] {
            fold_of[i] = best;
            of_class[best][labels[i] as usize] += 1;
            sizes[best] += 1;
        }
    }
    fold_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_together_and_classes_are_spread() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed, 1, 0);
            let labels: Vec<u32> = (0..600).map(|_| if rng.below(10) == 0 { 2 } else { rng.below(2) as u32 }).collect();
            let groups: Vec<usize> = (0..600).map(|i| if i < 200 { i / 7 } else { i }).collect();
            let found = folds(&labels, &groups, 3, 5, seed);
            for i in 1..600 {
                assert!(groups[i] != groups[i - 1] || found[i] == found[i - 1], "seed {seed}");
            }
            for class in 0..3 {
                let of = |fold| (0..600).filter(|&i| labels[i] == class && found[i] == fold).count();
                let counts: Vec<usize> = (0..5).map(of).collect();
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 6, "seed {seed}, class {class}: {counts:?}");
            }
            assert_eq!(found, folds(&labels, &groups, 3, 5, seed));
        }
        let single: Vec<usize> = (0..50).collect();
        let found = folds(&[0; 50], &single, 1, 5, 0);
        assert!((0..5).all(|f| found.iter().filter(|&&v| v == f).count() == 10));
        assert_ne!(found, folds(&[0; 50], &single, 1, 5, 1));
        assert_eq!(folds(&[], &[], 3, 5, 0), [0; 0]);
    }
}
