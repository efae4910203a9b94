//! What a report calls methods and kinds of noise: one name for each, in every table, legend, heading and sentence.

use crate::noise::learn;
use crate::ssl;
use crate::study::config::Protocol;
use crate::study::results::CellResult;

/// A pretraining in words.
pub(super) fn pretraining(name: &str) -> &str {
    match name {
        ssl::NONE => "random weights",
        // A report may be of a version that knew other methods.
        name => ssl::method(name).map_or(name, |entry| entry.title()),
    }
}

/// A way to learn from labels in words; a probe learns by its protocol and is called so.
pub(super) fn method(name: &str) -> &str {
    if name == Protocol::Linear.name() {
        return "Linear classifier";
    }
    if name == Protocol::Knn.name() {
        return "Nearest neighbours";
    }
    learn::learner(name).map_or(name, |entry| entry.title())
}

/// The way to learn from labels of a row; none of a probe.
pub(super) fn method_of(result: &CellResult) -> Option<&str> {
    (result.protocol == Protocol::Finetune).then(|| method(&result.method))
}

/// A kind of noise in words: `pair flip`.
pub(super) fn noise(kind: &str) -> String {
    kind.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_their_usual_names() {
        assert_eq!(
            ["none", "simclr", "moco", "gone"].map(pretraining),
            ["random weights", "SimCLR", "MoCo v2", "gone"]
        );
        let due = ["Cross-entropy", "Co-teaching", "NCE+RCE", "Linear classifier", "Nearest neighbours"];
        assert_eq!(["cross_entropy", "co_teaching", "nce_rce", "linear", "knn"].map(method), due);
        assert_eq!(noise("pair_flip"), "pair flip");
    }

    /// A name stands before the colon of each method's sentence: what the config calls it is no name for people.
    #[test]
    fn every_method_has_a_name_for_people() {
        let learners = learn::learners().into_iter().map(|l| (l.name, l.about));
        let methods = ssl::methods().into_iter().map(|m| (m.name, m.about));
        for (name, about) in learners.chain(methods).filter(|(name, _)| !name.starts_with("test_")) {
            let title = about.split_once(": ").map_or("", |parts| parts.0);
            assert!(!title.is_empty() && title.len() < 30 && !title.contains('_'), "{name}: {about}");
        }
    }
}
