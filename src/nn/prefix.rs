//! What stands before the names of a model in a file of weights, such as `module.` or `state_dict.backbone.`.

use crate::tape::Type;
use std::collections::HashSet;

/// What stands before the model's names in the file: under it every wanted tensor is there. Where none is so, the longest
/// that all names share, so that a complaint speaks of the rest.
pub(super) fn own_prefix<N: AsRef<str>>(names: &[N], wanted: &[(String, Type)]) -> Result<String, String> {
    let known: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let Some((first, _)) = wanted.first() else { return Ok(String::new()) };
    let fits = |own: &&str| wanted.iter().all(|(name, _)| known.contains(format!("{own}{name}").as_str()));
    let before = |n: &str| n.strip_suffix(first.as_str()).map(|p| p.len());
    let mut found: Vec<&str> = names
        .iter()
        .map(AsRef::as_ref)
        .filter_map(|n| before(n).map(|len| &n[..len]))
        .filter(|p| p.is_empty() || p.ends_with('.'))
        .filter(fits)
        .collect();
    found.sort_unstable();
    match found[..] {
        [one] => Ok(one.to_string()),
        ["", ..] => Ok(String::new()),
        [] => Ok(shared(names)),
        [..] => {
            let some = found[..found.len().min(4)].join(" and ");
            Err(format!("it holds the model {} times, under {some}; make a file of one", found.len()))
        }
    }
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
        let own = |list: &[&str]| own_prefix(&names(list), &wanted);
        assert_eq!(own(&["conv1.weight", "layer1.0.conv1.weight", "ema.conv1.weight"]).unwrap(), "");
        let nested = ["module.encoder_q.conv1.weight", "module.encoder_q.layer1.0.conv1.weight"];
        assert_eq!(own(&nested).unwrap(), "module.encoder_q.");
        let beside = [&nested[..], &["module.queue"]].concat();
        assert_eq!(own(&beside).unwrap(), "module.encoder_q.");
        let twice =
            [&nested[..], &["module.encoder_k.conv1.weight", "module.encoder_k.layer1.0.conv1.weight"]].concat();
        let why = own(&twice).unwrap_err();
        assert!(why.contains("module.encoder_k. and module.encoder_q."), "{why}");
        // Of another model, what all names share is taken off, so that the complaint speaks of the rest.
        assert_eq!(own(&["module.a.x", "module.a.y", "module.b"]).unwrap(), "module.");
        assert_eq!(own(&["a", "module.b"]).unwrap(), "");
    }

    #[test]
    fn the_time_to_find_a_prefix_grows_with_the_names() {
        let wanted = ["conv1.weight", "layer1.0.conv1.weight"].map(|n| (n.to_string(), Type::f32([1])));
        let since = std::time::Instant::now();
        let many: Vec<String> = (0..150_000).map(|i| format!("{i}.conv1.weight")).collect();
        assert_eq!(own_prefix(&many, &wanted).unwrap(), "");
        let deep: Vec<String> = (0..100).map(|i| format!("{}{i}", "a.".repeat(50_000))).collect();
        assert_eq!(own_prefix(&deep, &wanted).unwrap().len(), 100_000);
        let model = |i| ["conv1.weight", "layer1.0.conv1.weight"].map(|n| format!("{i}.{n}"));
        let models: Vec<String> = (0..50_000).flat_map(model).collect();
        let why = own_prefix(&models, &wanted).unwrap_err();
        assert!(why.contains("50000 times, under 0. and ") && why.len() < 200, "{why}");
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
    }
}
