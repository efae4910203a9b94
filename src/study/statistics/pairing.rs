//! Pairs of measurements that share everything but what is compared.

use std::collections::BTreeMap;

/// Two sets of measurements, each of ours beside its partner.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs<K> {
    /// (key, ours, theirs) in the order of the keys.
    pub both: Vec<(K, f64, f64)>,
    /// How many keys only one of the two has.
    pub alone: usize,
}

impl<K> Pairs<K> {
    /// Ours less theirs.
    pub fn differences(&self) -> Vec<f64> {
        self.both.iter().map(|(_, ours, theirs)| ours - theirs).collect()
    }
}

/// Pairs measurements by their key, for instance the seed. Of a key that comes twice the first counts.
pub fn pair<K: Ord + Clone>(ours: &[(K, f64)], theirs: &[(K, f64)]) -> Pairs<K> {
    let first = |all: &[(K, f64)]| -> BTreeMap<K, f64> { all.iter().rev().cloned().collect() };
    let (ours, theirs) = (first(ours), first(theirs));
    let both: Vec<(K, f64, f64)> = ours.iter().filter_map(|(k, v)| Some((k.clone(), *v, *theirs.get(k)?))).collect();
    let alone = ours.len() + theirs.len() - 2 * both.len();
    Pairs { both, alone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_have_is_compared() {
        let pairs = pair(&[(2u64, 5.0), (0, 1.0), (2, 9.0), (7, 4.0)], &[(0, 0.5), (2, 1.0), (3, 8.0)]);
        assert_eq!(pairs, Pairs { both: vec![(0, 1.0, 0.5), (2, 5.0, 1.0)], alone: 2 });
        assert_eq!(pairs.differences(), [0.5, 4.0]);
        assert_eq!(pair::<u64>(&[], &[(1, 1.0)]), Pairs { both: vec![], alone: 1 });
    }
}
