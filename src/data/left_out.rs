//! Files that cannot be decoded. A few among many are named and left out. The data is refused with [`LoadOptions::strict`],
//! if they are more than a tenth of a split, or if a class has no other file in a split.

use crate::base::hash::Hasher;
use crate::base::text::{NAME, distinct};
use crate::base::{Error, Result};
use crate::data::{DecodedData, LoadOptions, Split, classes};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

/// At most one of this many files of a split may be left out.
const ONE_OF: usize = 10;

/// How many files a note names.
const TOLD: usize = 3;

/// A file that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name in the dataset.
    pub name: String,
    /// The split that it belongs to.
    pub split: Split,
    /// Its class.
    pub label: u32,
    /// Why it cannot be decoded.
    pub reason: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

/// Refuses data of which too many files could not be decoded. Each split is counted by itself: broken test images change
/// the accuracy however many training images there are.
pub(super) fn check(source: &DecodedData, options: &LoadOptions) -> Result<()> {
    let all: Vec<&LeftOut> = source.unreadable.iter().collect();
    let images = |split: Split| source.parts[split as usize].iter().map(|p| p.images.len()).sum::<usize>();
    if options.strict && !all.is_empty() {
        let total = all.len() + Split::ALL.into_iter().map(images).sum::<usize>();
        return refused(source, &all, format!("{total} images"), "and data.strict (--strict) allows none");
    }
    for split in Split::ALL {
        let lost: Vec<&LeftOut> = all.iter().copied().filter(|f| f.split == split).collect();
        let total = lost.len() + images(split);
        if lost.len() * ONE_OF > total {
            return refused(source, &lost, format!("{total} {} images", split.name()), "more than a tenth");
        }
        let kept: HashSet<u32> =
            source.parts[split as usize].iter().flat_map(|p| p.images.labels.iter().copied()).collect();
        if let Some(LeftOut { label, .. }) = lost.iter().find(|f| !kept.contains(&f.label)) {
            let of_class: Vec<&LeftOut> = lost.iter().copied().filter(|f| f.label == *label).collect();
            let class = source.classes.get(*label as usize).map_or(label.to_string(), |c| classes::shown(c));
            let total = format!("{} {} images of class {class}", of_class.len(), split.name());
            return refused(source, &of_class, total, "so the split would lose the class");
        }
    }
    Ok(())
}

fn refused(source: &DecodedData, lost: &[&LeftOut], total: String, why: &str) -> Result<()> {
    let first = lost.first().map_or(String::new(), |f| format!("; the first is {}", shown(f)));
    Err(Error::Data(format!(
        "{}: {} of its {total} cannot be decoded, {why}; remove or mend them (`wgslab data inspect` lists all){first}",
        source.name,
        lost.len()
    )))
}

/// A note that names the first of them. None if there is none.
pub(super) fn note(all: &[LeftOut]) -> Option<String> {
    let few: Vec<String> = all.iter().take(TOLD).map(shown).collect();
    let images = if all.len() == 1 { "1 image cannot" } else { &format!("{} images cannot", all.len()) };
    let more = all.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more (`wgslab data inspect` lists all)") } else { String::new() };
    let decoded = "be decoded and left out; --strict makes this an error";
    let decoded = decoded.replace("and left", if all.len() == 1 { "and is left" } else { "and are left" });
    (!all.is_empty()).then(|| format!("{images} {decoded}: {}{more}", few.join("; ")))
}

fn shown(file: &LeftOut) -> String {
    format!("{}: {}", distinct(&file.name, NAME), file.reason)
}

/// A content address that also covers what is left out. Without such files it is as it was.
pub(crate) fn covered<'a>(address: String, left_out: impl Iterator<Item = &'a LeftOut>) -> String {
    let mut left_out = left_out.peekable();
    if left_out.peek().is_none() {
        return address;
    }
    let one = |all: Hasher, f: &LeftOut| all.part(f.split.name()).part(&f.name).part(f.label.to_le_bytes());
    left_out.fold(Hasher::new().part("wgslab left out 1").part(address), one).hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{complaint, options};
    use crate::data::{Images, Part};

    /// Splits with `whole` decoded and `broken` other images of each class.
    fn source(whole: [&[usize]; 3], broken: [&[usize]; 3]) -> DecodedData {
        let mut source =
            DecodedData { name: "d".into(), classes: vec!["a".into(), "b".into()], ..DecodedData::default() };
        for split in Split::ALL {
            let of = |counts: &[usize]| -> Vec<u32> {
                counts.iter().enumerate().flat_map(|(c, &n)| std::iter::repeat_n(c as u32, n)).collect()
            };
            let labels = of(whole[split as usize]);
            let names = vec![String::new(); labels.len()];
            let images = Images { labels, names, ..Images::default() };
            source.parts[split as usize] = Some(Part { images, ..Part::default() });
            let lost = of(broken[split as usize]).into_iter().enumerate().map(|(i, label)| {
                let (name, reason) = (format!("{}/{label}/{i}", split.name()), "it is empty".into());
                LeftOut { name, split, label, reason }
            });
            source.unreadable.extend(lost);
        }
        source
    }

    #[test]
    fn each_split_and_each_class_of_it_keeps_its_images() {
        let options = options(std::path::Path::new(""), 1);
        let checked = |whole, broken| check(&source(whole, broken), &options);
        checked([&[500, 400], &[25, 25], &[25, 25]], [&[50, 50], &[0, 5], &[5, 0]]).unwrap();
        let said = complaint(checked([&[500, 500], &[25, 25], &[1, 0]], [&[0, 0], &[0, 0], &[24, 25]]));
        assert!(said.contains("d: 49 of its 50 test images cannot be decoded, more than a tenth"), "{said}");
        assert!(said.contains("the first is test/0/0: it is empty"), "{said}");
        let said = complaint(checked([&[500, 500], &[40, 0], &[25, 25]], [&[1, 0], &[0, 3], &[0, 0]]));
        let due = "3 of its 3 val images of class 'b' cannot be decoded, so the split would lose the class";
        assert!(said.contains(due) && said.contains("the first is val/1/0"), "{said}");
    }
}
