//! Classes as a config names them.

use super::Corrupted;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A class: by its name, or by its number in the list of classes, from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Class {
    Number(u32),
    Name(String),
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Class::Number(n) => write!(f, "{n}"),
            Class::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl Class {
    /// The label of the class in `on`. `key` is the setting that names it.
    pub fn label(&self, on: &Corrupted<'_>, key: &str) -> Result<u32> {
        let found = match self {
            Class::Number(n) => Some(*n).filter(|&n| (n as usize) < on.classes),
            Class::Name(name) => on.class_names.iter().position(|n| n == name).map(|at| at as u32),
        };
        found.ok_or_else(|| Error::Usage(format!("{key} names the class {self}, and the data has {}", known(on))))
    }
}

/// The classes of the data, for people: each number with its name, where names are known.
pub(super) fn known(on: &Corrupted<'_>) -> String {
    let known: Vec<String> = match on.class_names {
        [] => vec![format!("0 to {}", on.classes.saturating_sub(1))],
        names => names.iter().enumerate().map(|(i, n)| format!("{i} {n:?}")).collect(),
    };
    known.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_by_name_and_by_number() {
        let names = ["cat".to_string(), "2".to_string()];
        let on = Corrupted { class_names: &names, ..Corrupted::of(&[0, 1], 2, 0.5, 0) };
        let label = |class: Class, on: &Corrupted<'_>| class.label(on, "noise.asymmetric.map");
        assert_eq!(label(Class::Name("cat".into()), &on).unwrap(), 0);
        assert_eq!(label(Class::Name("2".into()), &on).unwrap(), 1, "a name of digits is a name");
        assert_eq!(label(Class::Number(1), &on).unwrap(), 1);
        let e = label(Class::Number(2), &on).unwrap_err();
        let said = "noise.asymmetric.map names the class 2, and the data has 0 \"cat\", 1 \"2\"";
        assert!(e.exit_code() == 2 && e.to_string().contains(said), "{e}");
        let e = label(Class::Name("cat".into()), &Corrupted::of(&[0, 1], 2, 0.5, 0)).unwrap_err().to_string();
        assert!(e.contains("\"cat\", and the data has 0 to 1"), "{e}");
    }
}
