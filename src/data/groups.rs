//! Groups of images that belong together; in medicine, the images of one patient. Two pictures of a patient are nearly
//! the same picture, so no two splits have images of one patient.

use crate::base::hash::Hasher;
use crate::base::rng::Rng;
use crate::data::decode::Listing;
use crate::data::{LoadOptions, Part, Split, classes};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The random stream that chooses the groups of the validation split.
const STREAM: u32 = 0x5347;

/// The group of each image of a split. Empty where the data has no groups.
pub(super) type Groups<'a> = Vec<Option<&'a str>>;

/// The groups of the listed files, for each split.
pub(super) fn listed(listing: &Listing) -> [Groups<'_>; 3] {
    listing.files.each_ref().map(|files| {
        let groups: Groups<'_> = files.iter().flatten().map(|e| e.group.as_deref()).collect();
        if groups.iter().all(Option::is_none) { Vec::new() } else { groups }
    })
}

/// The groups of decoded images, for each split.
pub(super) fn decoded(parts: &[Option<Part>; 3]) -> [Groups<'_>; 3] {
    parts.each_ref().map(|part| part.iter().flat_map(|p| &p.groups).map(Option::as_deref).collect())
}

/// What the cache keeps of a group: equal groups have equal digests, and the name cannot be read.
pub(super) fn digest(group: &str) -> String {
    Hasher::new().part("wgslab group 1").part(group).short()
}

/// Gives the images of `parts` the groups of their files. A file that could not be decoded has no image. An image whose
/// group the listing does not know keeps the one that its own file names. From the cache that is a digest, so where the
/// listing has a group of that digest, the two are the same.
pub(super) fn attach(listing: &Listing, parts: &mut [Option<Part>; 3]) {
    let known: HashMap<String, String> =
        listing.files.iter().flatten().flatten().filter_map(|e| e.group.clone()).map(|g| (digest(&g), g)).collect();
    for group in parts.iter_mut().flatten().flat_map(|p| p.groups.iter_mut().flatten()) {
        if let Some(name) = known.get(group) {
            group.clone_from(name);
        }
    }
    for ((entries, groups), part) in listing.files.iter().zip(listed(listing)).zip(parts) {
        let (Some(entries), Some(part)) = (entries, part) else { continue };
        if groups.is_empty() {
            continue;
        }
        let mut files = entries.iter().zip(groups);
        let of = |name: &String| files.find(|(entry, _)| entry.name == *name).and_then(|(_, group)| group);
        let own = std::mem::take(&mut part.groups).into_iter().chain(std::iter::repeat(None));
        part.groups = part.images.names.iter().map(of).zip(own).map(|(g, own)| g.map(str::to_string).or(own)).collect();
    }
}

/// The number of groups in each split, as text, and of groups that the files have in several splits. None without
/// groups.
pub(super) fn note(parts: &[Option<Part>; 3]) -> Option<String> {
    let groups = decoded(parts).map(|groups| groups.into_iter().flatten().collect::<BTreeSet<_>>());
    let count = |(split, groups): (Split, &BTreeSet<&str>)| {
        (!groups.is_empty()).then(|| format!("{} in {}", groups.len(), split.name()))
    };
    let counts: Vec<String> = Split::ALL.into_iter().zip(&groups).filter_map(count).collect();
    let [train, val, test] = &groups;
    let several: BTreeSet<_> =
        [(train, val), (train, test), (val, test)].into_iter().flat_map(|(a, b)| a & b).collect();
    let told = match several.first() {
        None => "each is in one split only".to_string(),
        Some(first) => format!(
            "of these, the files have {} in several splits, and loading keeps the images of the last of them (test, then \
             val); the first is {}",
            several.len(),
            classes::shown(first)
        ),
    };
    (!counts.is_empty()).then(|| format!("patients: {}; {told}", counts.join(", ")))
}

/// Refuses training data whose images are all of one group. `cut` says that the validation split is cut from train.
pub(super) fn check(groups: &[Groups<'_>; 3], images: [usize; 3], cut: bool) -> Result<(), String> {
    let only = |splits: &[Split]| -> Option<String> {
        let all = splits.iter().all(|s| groups[*s as usize].len() == images[*s as usize]);
        let mut distinct = splits.iter().flat_map(|s| &groups[*s as usize]).collect::<BTreeSet<_>>().into_iter();
        match (distinct.next(), distinct.next()) {
            (Some(Some(group)), None) if all => Some(classes::shown(group)),
            _ => None,
        }
    };
    if let Some(group) = only(&Split::ALL) {
        return Err(format!(
            "all of its images are of one patient, {group}, and what is learnt from a patient cannot be tested on the \
             same one; add images of other patients, or, if a program wrote that name into all files, name the patients \
             in a CSV (path,label,split,patient)"
        ));
    }
    match only(&[Split::Train]).filter(|_| cut) {
        Some(group) => Err(format!(
            "all training images are of one patient, {group}, so none can be held out for validation; add images of \
             other patients, or a val split"
        )),
        None => Ok(()),
    }
}

/// `part` without the images whose group has an image in `other`. Counts those left out.
pub(super) fn without(part: Part, other: &Part, left_out: &mut usize) -> Part {
    let held: HashSet<&String> = other.groups.iter().flatten().collect();
    let stays = |i: &usize| !part.groups[*i].as_ref().is_some_and(|g| held.contains(g));
    let keep: Vec<usize> = (0..part.groups.len()).filter(stays).collect();
    *left_out += part.groups.len() - keep.len();
    if keep.len() == part.groups.len() { part } else { part.select(keep) }
}

/// A note on the images that [`without`] left out. None where it left out no image.
pub(super) fn left_out_note(left_out: usize) -> Option<String> {
    let images =
        if left_out == 1 { "1 image of train and val is" } else { &format!("{left_out} images of train and val are") };
    (left_out > 0).then(|| format!("{images} left out: a later split has images of the same patients"))
}

/// Which images of train become val: whole groups, drawn at random until each class has about `val_fraction` of its
/// images in val. Every class keeps a group in train.
pub(super) fn choose(train: &Part, classes: usize, options: &LoadOptions) -> Result<Vec<bool>, String> {
    let groups = members(train);
    let counts_of = |group: &[usize]| {
        let mut counts = vec![0usize; classes];
        group.iter().for_each(|&i| counts[train.images.labels[i] as usize] += 1);
        counts
    };
    let counts: Vec<Vec<usize>> = groups.iter().map(|g| counts_of(g)).collect();
    let total = train.images.class_counts(classes);
    let share = |&n: &usize| {
        if n < 2 { 0 } else { ((n as f64 * f64::from(options.val_fraction)).round() as usize).clamp(1, n - 1) }
    };
    let wanted: Vec<usize> = total.iter().map(share).collect();
    let order = Rng::new(options.seed, STREAM, 0).permutation(groups.len());
    let mut cut = Cut { total, wanted, have: vec![0; classes], taken: vec![false; groups.len()] };
    for &g in &order {
        if cut.brings_nearer(&counts[g]) && cut.leaves_some(&counts[g]) {
            cut.take(g, &counts[g]);
        }
    }
    // A class may have only large groups. Its smallest group is more than wanted, but that is better than no group.
    for class in 0..classes {
        let fits = |g: &&usize| counts[**g][class] > 0 && cut.leaves_some(&counts[**g]);
        if cut.wanted[class] > 0 && cut.have[class] == 0 {
            if let Some(&g) = order.iter().filter(fits).min_by_key(|g| groups[**g].len()) {
                cut.take(g, &counts[g]);
            }
        }
    }
    if !cut.taken.contains(&true) {
        let why = "each has all training images of some class";
        return Err(format!(
            "no patient can be held out for validation: {why}; add images of other patients, or a val split"
        ));
    }
    let mut chosen = vec![false; train.images.len()];
    groups.iter().zip(&cut.taken).filter(|(_, taken)| **taken).flat_map(|(g, _)| g).for_each(|&i| chosen[i] = true);
    Ok(chosen)
}

/// A note on classes without an image in `val`, which was cut from `train`. None where every class has one.
pub(super) fn missing_note(train: &Part, val: &Part, names: &[String]) -> Option<String> {
    let [train, val] = [train, val].map(|p| p.images.class_counts(names.len()));
    let missing: Vec<String> =
        names.iter().enumerate().filter(|(c, _)| train[*c] > 1 && val[*c] == 0).map(|(_, n)| n.clone()).collect();
    let listed = classes::listed(&missing);
    (!missing.is_empty()).then(|| format!("too few patients, so none in the val split cut from train: {listed}"))
}

/// The images in val so far, by class.
struct Cut {
    total: Vec<usize>,
    wanted: Vec<usize>,
    have: Vec<usize>,
    taken: Vec<bool>,
}

impl Cut {
    /// Whether a group with these counts brings val nearer to the wanted counts.
    fn brings_nearer(&self, counts: &[usize]) -> bool {
        let off = |more: &dyn Fn(usize) -> usize| -> usize {
            (0..counts.len()).map(|c| self.wanted[c].abs_diff(self.have[c] + more(c))).sum()
        };
        off(&|c| counts[c]) < off(&|_| 0)
    }

    /// Whether every class of the group would keep an image in train.
    fn leaves_some(&self, counts: &[usize]) -> bool {
        (0..counts.len()).all(|c| counts[c] == 0 || self.have[c] + counts[c] < self.total[c])
    }

    fn take(&mut self, group: usize, counts: &[usize]) {
        self.taken[group] = true;
        counts.iter().zip(&mut self.have).for_each(|(n, have)| *have += n);
    }
}

/// The images of each group. Groups are in the order of their first image. An image without a group is a group of its
/// own.
fn members(part: &Part) -> Vec<Vec<usize>> {
    let (mut groups, mut at): (Vec<Vec<usize>>, HashMap<&String, usize>) = (Vec::new(), HashMap::new());
    for (i, group) in part.groups.iter().enumerate() {
        let new = groups.len();
        let place = group.as_ref().map_or(new, |g| *at.entry(g).or_insert(new));
        if place == new {
            groups.push(Vec::new());
        }
        groups[place].push(i);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::options;
    use crate::data::{Images, Origin};
    use std::path::Path;

    /// A part of 1 × 1 images, each with a label and perhaps a group.
    fn part(items: &[(u32, Option<u32>)]) -> Part {
        let mut part =
            Part { images: Images { height: 1, width: 1, channels: 1, ..Images::default() }, ..Part::default() };
        for (i, (label, _)) in items.iter().enumerate() {
            let mut digest = [0; 16];
            digest[..8].copy_from_slice(&i.to_le_bytes());
            part.push(&[0], Origin { digest, height: 1, width: 1 }, *label, i.to_string()).unwrap();
        }
        part.groups = items.iter().map(|(_, group)| group.map(|g| g.to_string())).collect();
        part
    }

    /// With groups of all sizes, classes of all shares, and images without a group, no group may be divided.
    #[test]
    fn no_group_is_divided_and_every_class_keeps_an_image() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed, 1, 0);
            let (groups, classes) = (3 + rng.below(30), 1 + rng.below(5));
            let mut items = Vec::new();
            for _ in 0..40 + rng.below(300) {
                let group = rng.below(groups) as u32;
                let label = (group as usize + rng.below(3)) % classes; // each group has mostly its own classes
                items.push((label as u32, (rng.below(10) > 0).then_some(group)));
            }
            let train = part(&items);
            let options = LoadOptions { seed, ..options(Path::new(""), 1) };
            let chosen = choose(&train, classes, &options).unwrap();
            for group in members(&train) {
                assert!(group.iter().all(|&i| chosen[i] == chosen[group[0]]), "seed {seed}");
            }
            let [train, val] = [false, true].map(|v| train.select((0..items.len()).filter(|&i| chosen[i] == v)));
            let (of_train, of_val) = (train.images.class_counts(classes), val.images.class_counts(classes));
            assert!((0..classes).all(|c| of_train[c] > 0 || of_val[c] == 0), "seed {seed}");
            assert_eq!(val.groups.len(), val.images.len());
            let held: HashSet<_> = val.groups.iter().flatten().collect();
            assert!(train.groups.iter().flatten().all(|g| !held.contains(g)), "seed {seed}");
            assert_eq!(chosen, choose(&part(&items), classes, &options).unwrap());
        }
    }

    #[test]
    fn the_share_is_met_where_groups_are_small() {
        let items: Vec<(u32, Option<u32>)> = (0..2000).map(|i| (i % 4, Some(i / 8))).collect();
        let chosen = choose(&part(&items), 4, &options(Path::new(""), 1)).unwrap();
        let val = part(&items).select((0..2000).filter(|&i| chosen[i]));
        assert_eq!(val.images.class_counts(4), [100; 4], "a fifth");
    }

    #[test]
    fn groups_of_a_later_split_leave_the_earlier_one() {
        let mut left_out = 0;
        let part = |items: &[(u32, Option<u32>)]| part(items);
        let kept =
            without(part(&[(0, Some(1)), (0, None), (1, Some(2))]), &part(&[(0, Some(2)), (1, None)]), &mut left_out);
        assert_eq!((kept.groups, left_out), (vec![Some("1".to_string()), None], 1));
        assert!(left_out_note(1).unwrap().starts_with("1 image of train and val is left out"));
        assert_eq!(left_out_note(0), None);
    }
}
