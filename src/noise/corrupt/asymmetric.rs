//! Asymmetric noise: with probability `rate` a label of a class in the map becomes the class that the map gives it. Labels of
//! other classes stay, so that the share of wrong labels is `rate` times the share of the classes in the map (Patrini et al.
//! 2017, arXiv 1609.03683, section 5). Without a map two classes become each other, and more are refused.

use super::class::{Class, known};
use super::{Corrupted, Kind};
use crate::base::range::{Mistake, mistake};
use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "asymmetric",
    about: "each label that goes wrong becomes the class that a map gives; classes outside the map keep theirs",
    overlay: include_str!("../../../configs/noise/asymmetric.toml"),
    read: |from| read(from, |kind: Asymmetric| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asymmetric {
    /// Pairs: a class, and what its labels become. Of an empty list two classes become each other.
    map: Vec<[Class; 2]>,
}

impl Checked for Asymmetric {
    fn check(&self) -> Result<(), Mistake> {
        for (i, [from, to]) in self.map.iter().enumerate() {
            if from == to {
                return mistake("map", format!("gives the class {from} itself; name another one"));
            }
            if self.map[..i].iter().any(|earlier| earlier[0] == *from) {
                return mistake("map", format!("gives the class {from} twice; give each class once"));
            }
        }
        Ok(())
    }
}

impl Asymmetric {
    /// What each class becomes; none of a class that keeps its labels.
    fn becomes(&self, on: &Corrupted<'_>) -> Result<Vec<Option<u32>>> {
        let (key, present) = ("noise.asymmetric.map", on.present());
        if self.map.is_empty() && on.classes == 2 {
            return Ok(vec![Some(1), Some(0)]);
        }
        if self.map.is_empty() {
            return Err(Error::Usage(format!(
                "{key} is empty, which is for two classes, and the data has {}; name pairs of classes, as in [[0, 1]]",
                known(on)
            )));
        }
        let mut becomes: Vec<Option<u32>> = vec![None; on.classes];
        for [from, to] in &self.map {
            let (source, target) = (from.label(on, key)?, to.label(on, key)?);
            // A name and a number may be one class.
            if source == target || becomes[source as usize].is_some() {
                return Err(Error::Usage(format!(
                    "{key} names the class {from} by name and by number; use one of them"
                )));
            }
            if !present.contains(&target) {
                return Err(Error::Data(format!("{key} leads to the class {to}, which has no training images")));
            }
            becomes[source as usize] = Some(target);
        }
        Ok(becomes)
    }
}

impl Kind for Asymmetric {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let becomes = self.becomes(on)?;
        let chance = |_, label: u32| if becomes[label as usize].is_some() { on.rate } else { 0.0 };
        Ok(on.flipped(chance, |_, _, label| becomes[label as usize].unwrap_or(label)))
    }

    /// Of two classes that become each other, one half.
    fn no_signal(&self, classes: usize) -> Option<f64> {
        (classes == 2 && [0, 2].contains(&self.map.len())).then_some(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{labels, matrix};
    use super::*;

    fn of(map: &[[u32; 2]]) -> Asymmetric {
        Asymmetric { map: map.iter().map(|pair| pair.map(Class::Number)).collect() }
    }

    /// DivideMix's map for CIFAR-10: truck → automobile, bird → plane, cat ↔ dog, deer → horse.
    #[test]
    fn labels_of_the_map_s_classes_go_wrong_and_no_others() {
        let pairs = [[9, 1], [2, 0], [3, 5], [5, 3], [4, 7]];
        let clean = labels(60_000, 10);
        let given = of(&pairs).corrupt(&Corrupted::of(&clean, 10, 0.4, 1)).unwrap();
        let (found, sigma) = matrix(&clean, &given, 10);
        for (c, row) in found.iter().enumerate() {
            match pairs.iter().find(|p| p[0] as usize == c) {
                Some(&[_, to]) => assert!((row[to as usize] - 0.4).abs() < 4.0 * sigma, "{c}: {row:?}"),
                None => assert_eq!(row[c], 1.0),
            }
        }
    }

    #[test]
    fn without_a_map_two_classes_become_each_other_and_more_are_refused() {
        let (clean, without) = (labels(1000, 2), of(&[]));
        assert_eq!(without.check(), Ok(()));
        let on = Corrupted::of(&clean, 2, 0.4, 1);
        assert_eq!(without.corrupt(&on).unwrap(), of(&[[0, 1], [1, 0]]).corrupt(&on).unwrap());
        assert_eq!([2, 3].map(|k| without.no_signal(k)), [Some(0.5), None]);
        let names = ["cat", "dog", "deer"].map(String::from);
        let three = Corrupted { class_names: &names, ..Corrupted::of(&[0, 1, 2], 3, 0.4, 0) };
        let e = without.corrupt(&three).unwrap_err();
        let said = "noise.asymmetric.map is empty, which is for two classes, and the data has 0 \"cat\", 1 \"dog\", 2 \"deer\"; \
                    name pairs of classes, as in [[0, 1]]";
        assert!(e.exit_code() == 2 && e.to_string().contains(said), "{e}");
    }

    #[test]
    fn a_map_that_cannot_be_is_refused() {
        assert!(of(&[[1, 1]]).check().unwrap_err().1.contains("gives the class 1 itself"));
        assert!(of(&[[1, 0], [1, 2]]).check().unwrap_err().1.contains("gives the class 1 twice"));
        let names = ["a".to_string(), "b".to_string(), "c".to_string()];
        let on = Corrupted { class_names: &names, ..Corrupted::of(&[0, 1], 3, 0.5, 0) };
        let twice = Asymmetric { map: vec![[Class::Number(0), Class::Name("a".into())]] };
        assert!(twice.corrupt(&on).unwrap_err().to_string().contains("by name and by number"));
        let e = of(&[[0, 2]]).corrupt(&on).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("class 2, which has no training images"), "{e}");
        assert_eq!((of(&[[0, 1], [1, 0]]).no_signal(2), of(&[[0, 1]]).no_signal(2)), (Some(0.5), None));
    }
}
