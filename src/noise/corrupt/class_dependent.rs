//! Class-dependent noise: with probability `rate` a label becomes another class of its group of similar classes, each as
//! likely; a class that is alone in its group keeps its labels. It is the noise of the studied paper (Khanal et al. 2024,
//! arXiv 2401.07990; `corrupt_labels_class_dependent` in its first author's code), whose groups were not published.
//!
//! Groups that are not given are found from the images: each class is joined with the class that is hardest to tell from it
//! by Fisher's criterion, ‖μ_a − μ_b‖² / (s_a² + s_b²), in the space of `space.rs`; what is joined, directly or over others,
//! is a group. So each group has two classes at least: two or three classes are one group, and the noise is that of `symmetric`.

use super::class::Class;
use super::space::{Space, fisher};
use super::{Corrupted, Kind};
use crate::base::range::{Mistake, mistake};
use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "class_dependent",
    about: "each label that goes wrong becomes another class of its group of similar classes",
    overlay: include_str!("../../../configs/noise/class_dependent.toml"),
    read: |from| read(from, |kind: ClassDependent| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassDependent {
    /// The groups; of an empty list they are found from the images.
    groups: Vec<Vec<Class>>,
}

impl Checked for ClassDependent {
    fn check(&self) -> Result<(), Mistake> {
        let all: Vec<&Class> = self.groups.iter().flatten().collect();
        if let Some(twice) = all.iter().enumerate().find(|(i, class)| all[..*i].contains(class)) {
            return mistake("groups", format!("names the class {} twice; each class is in one group", twice.1));
        }
        if !self.groups.is_empty() && self.groups.iter().all(|g| g.len() < 2) {
            return mistake("groups", "has no group of two classes, so that no label could go wrong");
        }
        Ok(())
    }
}

impl ClassDependent {
    /// The group of each class: the other classes that have images in it.
    fn partners(&self, on: &Corrupted<'_>) -> Result<Vec<Vec<u32>>> {
        let present = on.present();
        let group = if self.groups.is_empty() { similar(on, &present)? } else { self.given(on)? };
        let others = |c: u32| {
            let mine = group[c as usize];
            let others = present.iter().filter(|&&o| o != c && mine.is_some() && group[o as usize] == mine);
            others.copied().collect()
        };
        Ok((0..on.classes as u32).map(others).collect())
    }

    /// The number of each class's group; none of a class that no group names.
    fn given(&self, on: &Corrupted<'_>) -> Result<Vec<Option<usize>>> {
        let mut group = vec![None; on.classes];
        for (number, classes) in self.groups.iter().enumerate() {
            for class in classes {
                let label = class.label(on, "noise.class_dependent.groups")? as usize;
                if group[label].replace(number).is_some() {
                    return Err(Error::Usage(format!(
                        "noise.class_dependent.groups names the class {class} by name and by number; use one of them"
                    )));
                }
            }
        }
        Ok(group)
    }
}

/// Groups of classes that are hard to tell apart: the number of each class's group.
fn similar(on: &Corrupted<'_>, present: &[u32]) -> Result<Vec<Option<usize>>> {
    let space = Space::of(on)?;
    let (means, spreads) = space.classes(on.labels, on.classes);
    let of = |a: u32, b: u32| {
        let (a, b) = (a as usize, b as usize);
        fisher([&means[a], &means[b]], [spreads[a], spreads[b]])
    };
    let mut group: Vec<Option<usize>> = vec![None; on.classes];
    present.iter().for_each(|&c| group[c as usize] = Some(c as usize));
    for &c in present {
        let others = present.iter().copied().filter(|&o| o != c);
        let Some(nearest) = others.min_by(|&a, &b| of(c, a).total_cmp(&of(c, b))) else { continue };
        let (from, to) = (group[c as usize], group[nearest as usize]);
        group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
    }
    Ok(group)
}

impl Kind for ClassDependent {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        if on.rate == 0.0 {
            return Ok(on.labels.to_vec());
        }
        let partners = self.partners(on)?;
        let chance = |_, label: u32| if partners[label as usize].is_empty() { 0.0 } else { on.rate };
        let given = on.flipped(chance, |rng, _, label| {
            let others = &partners[label as usize];
            others[rng.below(others.len())]
        });
        Ok(given)
    }

    /// Labels always say which group the truth is in. Where one group holds all classes, the noise is symmetric: one that is
    /// given, or the one that is found of two or three classes.
    fn reads_pixels(&self) -> bool {
        true
    }

    fn no_signal(&self, classes: usize) -> Option<f64> {
        let one = classes <= 3 && self.groups.is_empty() || self.groups.iter().any(|g| g.len() == classes);
        one.then(|| classes.saturating_sub(1) as f64 / classes.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pixels;
    use super::super::testing::{labels, matrix};
    use super::*;

    fn of(groups: &[&[u32]]) -> ClassDependent {
        let group = |g: &&[u32]| g.iter().map(|&c| Class::Number(c)).collect();
        ClassDependent { groups: groups.iter().map(group).collect() }
    }

    #[test]
    fn labels_stay_in_their_group() {
        let clean = labels(60_000, 5);
        let given = of(&[&[0, 3, 4], &[1]]).corrupt(&Corrupted::of(&clean, 5, 0.6, 2)).unwrap();
        let (found, sigma) = matrix(&clean, &given, 5);
        for (c, row) in found.iter().enumerate() {
            for (g, share) in row.iter().enumerate() {
                let due = match (c, g) {
                    (1 | 2, _) => f64::from(c == g),
                    (_, 1 | 2) => 0.0,
                    _ if c == g => 0.4,
                    _ => 0.3,
                };
                assert!((share - due).abs() < 4.0 * sigma, "{share} of class {c} became {g}");
            }
        }
        assert_eq!(of(&[&[0, 1, 2]]).no_signal(3), Some(2.0 / 3.0));
        let found = of(&[]);
        assert_eq!([2, 3, 4].map(|k| found.no_signal(k)), [Some(0.5), Some(2.0 / 3.0), None]);
    }

    /// Four classes of gray images around 10, 30, 200 and 230: the dark ones are a group, and so are the bright ones.
    #[test]
    fn groups_are_found_from_the_images() {
        let clean = labels(400, 4);
        let level = |(i, &c): (usize, &u32)| [10, 30, 200, 230][c as usize] + (i * 7 % 11) as u8;
        let bytes: Vec<u8> = clean.iter().enumerate().map(level).collect();
        let pixels = Some(Pixels { bytes: &bytes, shape: [1, 1, 1] });
        let on = Corrupted { pixels, ..Corrupted::of(&clean, 4, 1.0, 2) };
        let given = of(&[]).corrupt(&on).unwrap();
        assert!(clean.iter().zip(&given).all(|(c, g)| *g == [1, 0, 3, 2][*c as usize]));
        let e = of(&[]).corrupt(&Corrupted::of(&clean, 4, 0.5, 2)).unwrap_err();
        assert!(e.to_string().contains("pixels"), "{e}");
    }

    /// The middle one of three classes is nearer to one of the others, and each group has two classes at least.
    #[test]
    fn groups_found_of_three_classes_are_one() {
        let clean = labels(60_000, 3);
        let bytes: Vec<u8> =
            clean.iter().enumerate().map(|(i, &c)| [10, 30, 200][c as usize] + (i % 7) as u8).collect();
        let pixels = Some(Pixels { bytes: &bytes, shape: [1, 1, 1] });
        let given = of(&[]).corrupt(&Corrupted { pixels, ..Corrupted::of(&clean, 3, 2.0 / 3.0, 2) }).unwrap();
        let (found, sigma) = matrix(&clean, &given, 3);
        assert!(found.iter().flatten().all(|share| (share - 1.0 / 3.0).abs() < 4.0 * sigma), "{found:?}");
    }

    #[test]
    fn groups_that_cannot_be_are_refused() {
        assert!(of(&[&[0, 1], &[1, 2]]).check().unwrap_err().1.contains("names the class 1 twice"));
        assert!(of(&[&[0], &[1]]).check().unwrap_err().1.contains("no group of two"));
        let e = of(&[&[0, 9]]).corrupt(&Corrupted::of(&[0, 1], 2, 0.5, 0)).unwrap_err().to_string();
        assert!(e.contains("noise.class_dependent.groups names the class 9, and the data has 0 to 1"), "{e}");
    }
}
