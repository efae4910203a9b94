//! Class names: their order, and notes on names that look alike or that may not be names of classes.

use crate::base::text::{NAME, distinct, is_without_width};
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// The most notes of one kind. The others are only counted.
const TOLD: usize = 4;

/// What programs write for a missing value. A class may have such a name, so it gives only a note.
const MISSING: [&str; 7] = ["na", "n/a", "none", "null", "nil", "<na>", "#n/a"];

/// Words that name masks.
pub const MASKS: [&str; 4] = ["mask", "masks", "segmentation", "segmentations"];

/// Words that name what masks lie beside.
const PICTURES: [&str; 6] = ["image", "images", "img", "imgs", "picture", "pictures"];

/// Sorts class names and removes repeated ones. They sort as numbers if all are numbers, otherwise by their characters.
/// The order gives each class its number, so every reader of data uses this function.
pub fn sort(names: &mut Vec<String>) {
    match names.iter().map(|n| number(n)).collect::<Option<Vec<f64>>>() {
        Some(_) => names.sort_by(|a, b| {
            let value = |n: &str| number(n).unwrap_or(0.0);
            value(a).total_cmp(&value(b)).then_with(|| a.cmp(b))
        }),
        None => names.sort(),
    }
    names.dedup();
}

/// The value of a name that is a plain number: digits with at most a sign and a point.
fn number(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('-').unwrap_or(name);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.len() <= 40;
    if plain { name.parse().ok().filter(|v: &f64| v.is_finite()) } else { None }
}

/// Whether a label is `nan` or similar: it stands for a missing value and is never a class.
pub fn is_nan(label: &str) -> bool {
    ["nan", "+nan", "-nan", "1.#qnan", "-1.#ind", "1.#ind", "-1.#qnan"].iter().any(|n| label.eq_ignore_ascii_case(n))
}

/// What two different names differ in, if a user would take them for the same, for example "in Unicode form".
pub fn likeness(a: &str, b: &str) -> Option<&'static str> {
    if a == b || fold(a) != fold(b) {
        return None;
    }
    let same = |f: fn(&str) -> String| f(a) == f(b);
    Some(match () {
        () if same(|n| n.nfkc().collect()) => "in Unicode form",
        () if same(seen) => "in spaces or characters without width",
        () if same(str::to_lowercase) => "in case",
        () if number(a).is_some() => "in how the number is written",
        () => "in case, spaces, the signs between words or Unicode form",
    })
}

/// The visible characters, with single spaces between them and none at the ends.
fn seen(name: &str) -> String {
    let shown: String = name.chars().filter(|&c| !is_without_width(c)).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text that is the same for all names that a user would take for the same.
fn fold(name: &str) -> String {
    if let Some(value) = number(name.trim()) {
        return value.to_string();
    }
    let composed: String = name.nfkc().collect();
    let spaced = seen(&composed).replace(['-', '_'], " ");
    seen(&spaced).to_lowercase()
}

/// Notes for the user on `names`, one for each line.
pub fn notes(names: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if let [only] = names {
        notes.push(format!(
            "there is only one class, {}: every image is of it, so an accuracy of 100 % has no meaning",
            shown(only)
        ));
    }
    let mut first: HashMap<String, &String> = HashMap::new();
    let mut alike = Vec::new();
    for name in names {
        let of = *first.entry(fold(name)).or_insert(name);
        if let Some(what) = likeness(of, name) {
            let (a, b) = (shown(of), shown(name));
            alike.push(format!(
                "the classes {a} and {b} differ only {what}; they count as two classes; \
                 if they mean the same, give them one name"
            ));
        }
    }
    // Of classes called mask and no_mask nothing is said.
    let folder = |words: &[&str]| names.iter().find(|n| words.iter().any(|w| n.eq_ignore_ascii_case(w)));
    if let (Some(pictures), Some(masks)) = (folder(&PICTURES), folder(&MASKS)) {
        let (pictures, masks) = (shown(pictures), shown(masks));
        notes.push(format!(
            "the classes {pictures} and {masks} have the names of a folder of pictures and of their masks; they count as two \
             classes; if the masks are no class, name folders by the class of their images and take the masks out"
        ));
    }
    let known: HashMap<&str, ()> = names.iter().map(|n| (n.as_str(), ())).collect();
    let several: Vec<String> = names
        .iter()
        .filter(|n| is_several(n, |part| known.contains_key(part)))
        .map(|n| {
            let n = shown(n);
            format!("the class {n} looks like several labels of one image; it counts as a class of its own")
        })
        .collect();
    let missing: Vec<String> = names
        .iter()
        .filter(|n| is_nan(n) || MISSING.iter().any(|m| n.eq_ignore_ascii_case(m)))
        .map(|n| format!("the class {} may stand for a missing label; it counts as a class", shown(n)))
        .collect();
    for kind in [alike, several, missing] {
        let more = kind.len().saturating_sub(TOLD);
        notes.extend(kind.into_iter().take(TOLD));
        if more > 0 {
            notes.push(format!("and {more} more classes of this kind"));
        }
    }
    notes
}

/// Whether a label is several labels. It is cut at `|` or `;`. It is also cut at signs that occur in names, but then
/// every part must be a class.
fn is_several(name: &str, is_class: impl Fn(&str) -> bool) -> bool {
    let parts = |sign: char| name.split(sign).map(str::trim).filter(|p| !p.is_empty()).collect::<Vec<_>>();
    ['|', ';'].into_iter().any(|sign| parts(sign).len() > 1)
        || [',', '/', '+', '&'].into_iter().map(parts).any(|p| p.len() > 1 && p.iter().all(|part| is_class(part)))
}

/// A name in quotes, for a message. Characters that make it look like another name are written as codes; see
/// [`distinct`].
pub fn shown(name: &str) -> String {
    format!("'{}'", distinct(name, NAME))
}

/// The known class that a user may have meant by `name`, as a clause for a message about an unknown class. Empty where
/// there is none.
pub fn hint(name: &str, known: &[String]) -> String {
    let like = known.iter().find_map(|k| likeness(k, name).map(|what| (k, what)));
    like.map_or(String::new(), |(k, what)| format!("; it differs from {} only {what}", shown(k)))
}

/// A list of names for a message. A long list is cut.
pub fn listed(names: &[String]) -> String {
    const MANY: usize = 12;
    let told = names.iter().take(MANY).map(|n| shown(n)).collect::<Vec<_>>().join(", ");
    if names.len() > MANY { format!("{told} and {} more", names.len() - MANY) } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        sort(&mut names);
        names
    }

    #[test]
    fn numbers_sort_as_numbers_where_all_are() {
        assert_eq!(sorted(&["10", "2", "1", "0", "2"]), ["0", "1", "2", "10"]);
        assert_eq!(sorted(&["10.0", "2.0", "-1.5", "1"]), ["-1.5", "1", "2.0", "10.0"]);
        assert_eq!(sorted(&["01", "1", "00"]), ["00", "01", "1"]);
        assert_eq!(sorted(&["10", "2", "a"]), ["10", "2", "a"]);
        assert_eq!(sorted(&["1e5", "2"]), ["1e5", "2"], "no plain number");
        assert_eq!(sorted(&["1.2.3", "1.10.0"]), ["1.10.0", "1.2.3"], "a version is not a number");
    }

    #[test]
    fn what_differs_in_form_only_is_told_with_the_form() {
        for (a, b, what) in [
            ("café", "cafe\u{301}", "Unicode"),
            ("A", "a", "in case"),
            ("a b", "a  b", "spaces"),
            ("a", "a\u{a0}", "spaces"),
            ("a", "\u{200b}a", "without width"),
            ("ab", "a\u{202e}b", "without width"),
            ("1", "01", "number"),
            ("1", "1.0", "number"),
            ("Non-COVID", "non_covid", "signs between words"),
        ] {
            assert!(likeness(a, b).unwrap_or("").contains(what), "{a} {b} {:?}", likeness(a, b));
        }
        for (a, b) in [("a", "a"), ("a", "b"), ("1", "10"), ("", "a")] {
            assert_eq!(likeness(a, b), None);
        }
        let notes = notes(&["A".into(), "a".into(), "b".into()]);
        assert!(notes.len() == 1 && notes[0].contains("'A' and 'a' differ only in case"), "{notes:?}");
        assert!(shown("cafe\u{301}").contains("\\u{301}"));
        assert!(hint("a", &["b".into(), "A".into()]).contains("'A' only in case"));
    }

    #[test]
    fn several_labels_missing_ones_and_one_class_are_told() {
        let of = |names: &[&str]| notes(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(of(&["a", "a|b", "b"])[0].contains("'a|b' looks like several"));
        assert!(of(&["a", "a/b", "b"])[0].contains("several"));
        assert!(of(&["n/s", "b"]).is_empty() && of(&["R&D", "b"]).is_empty());
        assert!(of(&["None", "b"])[0].contains("missing"));
        assert!(of(&["only"])[0].contains("only one class"));
        let many: Vec<String> = (0..20).map(|i| format!("a|{i}")).collect();
        assert_eq!(notes(&many).len(), TOLD + 1);
        assert!(is_nan("NaN") && !is_nan("Nancy"));
    }

    #[test]
    fn classes_that_are_called_images_and_masks_are_told() {
        let of = |names: &[&str]| notes(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        for names in [["images", "masks"], ["Image", "Mask"], ["img", "segmentation"]] {
            let told = of(&names);
            assert!(told.len() == 1 && told[0].contains("of a folder of pictures and of their masks"), "{told:?}");
        }
        assert!(of(&["mask", "no_mask"]).is_empty() && of(&["images", "drawings"]).is_empty());
    }

    #[test]
    fn long_names_and_lists_are_cut() {
        assert!(shown(&"x".repeat(100_000)).len() < 300);
        assert_eq!(shown("a\u{1b}[31m"), "'a\\u{1b}[31m'");
        assert!(listed(&vec!["a".to_string(); 50]).ends_with("and 38 more"));
    }
}
