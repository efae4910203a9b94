//! The prefix of a model's names in a file of weights, such as `module.` or `state_dict.backbone.`.

use crate::tape::Type;
use std::collections::HashSet;

/// Other names of a tensor: timm's name of DINOv2's registers.
const ALIASES: [(&str, &str); 1] = [("register_tokens", "reg_token")];

/// The names that a file may use for the tensor `name`: `name` itself, or an alias.
pub(super) fn called(name: &str) -> impl Iterator<Item = &str> {
    let others = ALIASES.iter().filter(move |alias| alias.0 == name).map(|alias| alias.1);
    std::iter::once(name).chain(others)
}

/// The prefix of the model that is taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Own {
    pub prefix: String,
    /// Prefixes of further models with the same names, in ascending order; none lies within another. They are filled if
    /// one model has no prefix. That model is taken.
    pub others: Vec<String>,
}

impl Own {
    fn of(prefix: String) -> Own {
        Own { prefix, others: Vec::new() }
    }

    /// A sentence that says which model is taken, if the file holds several.
    pub fn told(&self) -> Option<String> {
        let (first, count) = (self.others.first()?, self.others.len());
        let taken = "the model whose names have no prefix is taken";
        Some(format!("{taken}; further models left out: {count}, such as under {first}"))
    }

    /// Whether the tensor `name` belongs to the model that is taken.
    pub fn holds(&self, name: &str) -> bool {
        // Only the last prefix that is not above `name` can be its prefix, since no prefix lies within another.
        let other = self.others[..self.others.partition_point(|other| other.as_str() <= name)].last();
        name.starts_with(&self.prefix) && !other.is_some_and(|other| name.starts_with(other.as_str()))
    }
}

/// The model's prefix in the file: with it, every wanted tensor is there. If no prefix is so, the longest prefix that
/// all names share, so that the error that follows speaks of the rest of the names. It is an error if several prefixes
/// are so and none is empty.
pub(super) fn own_prefix<N: AsRef<str>>(names: &[N], wanted: &[(String, Type)]) -> Result<Own, String> {
    let known: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let Some((first, _)) = wanted.first() else { return Ok(Own::default()) };
    let has = |own: &str, name| called(name).any(|name| known.contains(format!("{own}{name}").as_str()));
    let before = |n: &str| called(first).find_map(|name| n.strip_suffix(name)).map(|p| p.len());
    let mut found: Vec<&str> = names
        .iter()
        .map(AsRef::as_ref)
        .filter_map(|n| before(n).map(|len| &n[..len]))
        .filter(|p| p.is_empty() || p.ends_with('.'))
        .filter(|own| wanted.iter().all(|(name, _)| has(own, name)))
        .collect();
    found.sort_unstable();
    found.dedup(); // a tensor may be there by two names
    match found[..] {
        [one] => Ok(Own::of(one.to_string())),
        ["", ref others @ ..] => Ok(Own { prefix: String::new(), others: outermost(others) }),
        [] => Ok(Own::of(shared(names))),
        [..] => {
            let some = found[..found.len().min(4)].join(" and ");
            Err(format!("it holds the model {} times, under {some}; make a file of one", found.len()))
        }
    }
}

/// The given prefixes, in ascending order, without those that lie within another.
fn outermost(prefixes: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for prefix in prefixes {
        if !all.last().is_some_and(|last| prefix.starts_with(last.as_str())) {
            all.push(prefix.to_string());
        }
    }
    all
}

/// The longest prefix of whole parts that all names share.
fn shared<N: AsRef<str>>(names: &[N]) -> String {
    let Some(first) = names.first().map(AsRef::as_ref) else { return String::new() };
    let common = |a: usize, n: &N| first.bytes().zip(n.as_ref().bytes()).take(a).take_while(|(a, b)| a == b).count();
    let length = names.iter().fold(first.len(), common);
    let end = first.as_bytes()[..length].iter().rposition(|&b| b == b'.').map_or(0, |i| i + 1);
    first[..end].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_prefix_is_found_where_the_model_stands_behind_it() {
        let wanted = ["conv1.weight", "layer1.0.conv1.weight"].map(|n| (n.to_string(), Type::f32([1])));
        let own = |list: &[&str]| own_prefix(&names(list), &wanted).map(|own| own.prefix);
        assert_eq!(own(&["conv1.weight", "layer1.0.conv1.weight", "ema.conv1.weight"]).unwrap(), "");
        let nested = ["module.encoder_q.conv1.weight", "module.encoder_q.layer1.0.conv1.weight"];
        assert_eq!(own(&nested).unwrap(), "module.encoder_q.");
        let beside = [&nested[..], &["module.queue"]].concat();
        assert_eq!(own(&beside).unwrap(), "module.encoder_q.");
        let twice =
            [&nested[..], &["module.encoder_k.conv1.weight", "module.encoder_k.layer1.0.conv1.weight"]].concat();
        let why = own(&twice).unwrap_err();
        assert!(why.contains("module.encoder_k. and module.encoder_q."), "{why}");
        // If the file holds another model, the prefix that all names share is taken off, so that the error speaks of
        // the rest.
        assert_eq!(own(&["module.a.x", "module.a.y", "module.b"]).unwrap(), "module.");
        assert_eq!(own(&["a", "module.b"]).unwrap(), "");
    }

    #[test]
    fn a_model_is_found_by_other_names_of_its_tensors() {
        let wanted = |list: [&str; 2]| list.map(|n| (n.to_string(), Type::f32([1])));
        let file = names(&["teacher.reg_token", "teacher.pos_embed", "head.weight"]);
        for order in [["pos_embed", "register_tokens"], ["register_tokens", "pos_embed"]] {
            assert_eq!(own_prefix(&file, &wanted(order)).unwrap(), Own::of("teacher.".to_string()));
        }
        let both = names(&["reg_token", "register_tokens", "pos_embed"]);
        assert_eq!(own_prefix(&both, &wanted(["register_tokens", "pos_embed"])).unwrap(), Own::default());
        assert_eq!(called("pos_embed").collect::<Vec<_>>(), ["pos_embed"]);
    }

    #[test]
    fn other_models_beside_one_without_a_prefix_are_told() {
        let wanted = [("conv1.weight".to_string(), Type::f32([1]))];
        let more = ["ema.conv1.weight", "ema.conv1.weight.conv1.weight", "swa.conv1.weight", "ema.last.conv1.weight"];
        let own = own_prefix(&names(&[&["conv1.weight"], &more[..]].concat()), &wanted).unwrap();
        assert_eq!(own, Own { prefix: String::new(), others: names(&["ema.", "swa."]) });
        let held = ["conv1.weight", "ema", "em.a", "sw.b", "t.c"].map(|n| own.holds(n));
        assert_eq!((held, more.map(|n| own.holds(n))), ([true; 5], [false; 4]));
        assert!(!Own::of("a.".to_string()).holds("b.conv1.weight"));
    }

    #[test]
    fn the_time_to_find_a_prefix_grows_with_the_names() {
        let wanted = ["conv1.weight", "layer1.0.conv1.weight"].map(|n| (n.to_string(), Type::f32([1])));
        let since = std::time::Instant::now();
        let many: Vec<String> = (0..150_000).map(|i| format!("{i}.conv1.weight")).collect();
        assert_eq!(own_prefix(&many, &wanted).unwrap(), Own::default());
        let deep: Vec<String> = (0..100).map(|i| format!("{}{i}", "a.".repeat(50_000))).collect();
        assert_eq!(own_prefix(&deep, &wanted).unwrap().prefix.len(), 100_000);
        let model = |i| ["conv1.weight", "layer1.0.conv1.weight"].map(|n| format!("{i}.{n}"));
        let models: Vec<String> = (0..50_000).flat_map(model).collect();
        let why = own_prefix(&models, &wanted).unwrap_err();
        assert!(why.contains("50000 times, under 0. and ") && why.len() < 200, "{why}");
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
    }
}
