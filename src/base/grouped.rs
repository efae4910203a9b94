//! Things by a key, in the order in which the keys came first.

use std::collections::HashMap;
use std::hash::Hash;

/// Things by a key, in the order in which the keys came first. Finding a key takes the same time however many there are.
#[derive(Clone, Debug)]
pub struct Grouped<K, V> {
    at: HashMap<K, usize>,
    all: Vec<(K, V)>,
}

impl<K, V> Default for Grouped<K, V> {
    fn default() -> Self {
        Grouped { at: HashMap::new(), all: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Grouped<K, V> {
    /// The thing of a key, which `first` makes if the key is new.
    pub fn of(&mut self, key: K, first: impl FnOnce() -> V) -> &mut V {
        let at = *self.at.entry(key).or_insert_with_key(|key| {
            self.all.push((key.clone(), first()));
            self.all.len() - 1
        });
        &mut self.all[at].1
    }

    /// Each key with its thing.
    pub fn all(&self) -> &[(K, V)] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A key that counts how often it is compared.
    #[derive(Clone)]
    struct Counted<'a>(usize, &'a Cell<usize>);

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.1.set(self.1.get() + 1);
            self.0 == other.0
        }
    }

    impl Eq for Counted<'_> {}

    impl Hash for Counted<'_> {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    #[test]
    fn keys_keep_their_order_and_many_are_found_as_fast_as_few() {
        let (compared, n) = (Cell::new(0), 2000);
        let mut grouped = Grouped::default();
        for i in (0..n).chain(0..n) {
            *grouped.of(Counted(n - i, &compared), || 0) += 1;
        }
        assert!(grouped.all().iter().enumerate().all(|(i, (key, count))| key.0 == n - i && *count == 2));
        assert!(compared.get() < 4 * n, "{} comparisons of {n} keys", compared.get());
    }
}
