//! A list of methods, or of kinds of label noise. The list is the only place that knows their names. The config's
//! check, the command line's help, the grid and the tests read it.

use crate::base::range::Mistake;
use crate::base::{Error, Result, nearest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What reading a method's settings gives: the method, and the settings with every key. The address of a run contains
/// the settings.
pub type Read<T> = Result<(Arc<T>, toml::Value), toml::de::Error>;

/// One line of a list.
pub struct Entry<T: ?Sized> {
    /// What configs and the command line call it.
    pub name: &'static str,
    /// What it is or does, in a few words, with its paper if it has one. The line of a method begins with its usual
    /// name and a colon.
    pub about: &'static str,
    /// Its overlay in `configs/`. The table of its name in that file holds the default of every key.
    pub overlay: &'static str,
    /// Makes it from its settings. An unknown key is an error.
    pub read: fn(toml::Deserializer<'_>) -> Read<T>,
}

impl<T: ?Sized> Entry<T> {
    /// Its usual name, for people: `MoCo v2`.
    pub fn title(&self) -> &'static str {
        self.about.split_once(": ").map_or(self.name, |parts| parts.0)
    }

    /// Makes it from the settings of a resolved config, which has every key. The ranges of the values are not checked.
    pub fn make(&self, settings: &toml::Table) -> Result<(Arc<T>, toml::Value)> {
        let wrong = |e: toml::de::Error| Error::Usage(format!("the settings of {}: {}", self.name, e.message().trim()));
        let text = settings.to_string();
        (self.read)(toml::Deserializer::parse(&text).map_err(wrong)?).map_err(wrong)
    }
}

/// The ranges of a listed method's settings.
pub trait Checked {
    /// An error with the first value that is out of its range, and its key.
    fn check(&self) -> Result<(), Mistake> {
        Ok(())
    }
}

/// Reads an `M`, and `wrap` turns it into the listed trait. Use it as [`Entry::read`].
pub fn read<M, T: ?Sized>(from: toml::Deserializer<'_>, wrap: fn(M) -> Arc<T>) -> Read<T>
where
    M: DeserializeOwned + Serialize,
{
    let method = M::deserialize(from)?;
    let settings = toml::Value::try_from(&method).map_err(|e| serde::de::Error::custom(e.to_string()))?;
    Ok((wrap(method), settings))
}

/// The entry called `name`. The error names all entries. `what` says what the entries are, for instance `pretraining
/// method`.
pub fn find<'a, T: ?Sized>(what: &str, name: &str, list: &[&'a Entry<T>]) -> Result<&'a Entry<T>> {
    list.iter().find(|e| e.name == name).copied().ok_or_else(|| {
        let known: Vec<&str> = list.iter().map(|e| e.name).collect();
        // A name that contains a known name means something else: asymmetric noise is not misspelt symmetric noise.
        let near = nearest(name, &known).filter(|near| !name.contains(near));
        let meant = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        Error::Usage(format!("there is no {what} {name:?}; known: {}{meant}", known.join(", ")))
    })
}
