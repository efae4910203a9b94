//! The list of noise kinds as the rest of the program uses it: a name, what it says of itself, and the kind made from its
//! settings.

use super::{KINDS, Kind};
use crate::base::{Error, Result, nearest};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One line of the list.
pub struct Entry {
    /// What configs and the command line call it: the name of its file.
    pub name: &'static str,
    /// What becomes of a label, in a few words.
    pub about: &'static str,
    /// Its overlay, `configs/noise/<name>.toml`. The table `[noise.<name>]` in it, where there is one, holds the default of
    /// every setting; without it the kind has none.
    pub overlay: &'static str,
    /// Makes it from its settings. [`read`] does so for any kind that serde reads.
    pub read: fn(toml::Deserializer<'_>) -> Result<Made, toml::de::Error>,
}

/// A kind with its settings.
pub struct Made {
    /// How labels go wrong.
    pub kind: Box<dyn Kind>,
    /// Every setting with its value: what a run is addressed by.
    pub settings: toml::Table,
}

/// Reads a kind of type `K` from its settings; for [`Entry::read`].
pub fn read<K: Kind + DeserializeOwned + Serialize + 'static>(
    from: toml::Deserializer<'_>,
) -> Result<Made, toml::de::Error> {
    let kind = K::deserialize(from)?;
    let settings = toml::Table::try_from(&kind).map_err(toml::de::Error::custom)?;
    Ok(Made { kind: Box::new(kind), settings })
}

/// A kind of the list, by its name. It has no settings yet: [`NoiseKind::make`] takes them.
#[derive(Clone, Copy)]
pub struct NoiseKind(&'static Entry);

impl NoiseKind {
    /// Every kind, in the order in which they are listed to people.
    pub fn all() -> impl Iterator<Item = NoiseKind> {
        KINDS.iter().map(|entry| NoiseKind(entry))
    }

    /// What configs call it.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What becomes of a label, in a few words.
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// The text of its overlay.
    pub fn overlay(self) -> &'static str {
        self.0.overlay
    }

    /// Every setting with its default; an empty table where it has none.
    pub fn defaults(self) -> Result<toml::Table> {
        let broken = |e: &dyn fmt::Display| Error::Failed(format!("configs/noise/{self}.toml is broken: {e}"));
        let mut overlay: toml::Table = self.0.overlay.parse().map_err(|e| broken(&e))?;
        let noise = overlay.remove("noise").and_then(|mut noise| noise.as_table_mut()?.remove(self.name()));
        match noise {
            None => Ok(toml::Table::new()),
            Some(toml::Value::Table(settings)) => Ok(settings),
            Some(_) => Err(broken(&format!("noise.{self} is no table"))),
        }
    }

    /// The kind with these settings, which name every key.
    pub fn make(self, settings: &toml::Table) -> Result<Made> {
        let text = settings.to_string();
        let made = toml::Deserializer::parse(&text).and_then(|from| self.read(from));
        let made = made.map_err(|e| Error::Usage(format!("noise.{self}: {}", e.message().trim())))?;
        made.kind.check().map_err(|(key, what)| Error::Usage(format!("noise.{self}.{key} {what}")))?;
        Ok(made)
    }

    /// The kind with settings as a file gives them; the error points into that file. Values are not checked yet.
    pub fn read(self, from: toml::Deserializer<'_>) -> Result<Made, toml::de::Error> {
        (self.0.read)(from)
    }
}

/// The first of the list: what `--noise-rate` alone means.
impl Default for NoiseKind {
    fn default() -> Self {
        NoiseKind(KINDS[0])
    }
}

impl PartialEq for NoiseKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for NoiseKind {}

impl fmt::Display for NoiseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for NoiseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name())
    }
}

impl std::str::FromStr for NoiseKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        NoiseKind::all().find(|k| k.name() == text).ok_or_else(|| {
            let known: Vec<&str> = NoiseKind::all().map(NoiseKind::name).collect();
            // What has a known name within is another kind: asymmetric noise is not symmetric noise misspelt.
            let near = nearest(text, &known).filter(|near| !text.contains(near));
            let meant = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            Error::Usage(format!("there is no noise kind {text:?}; use one of: {}{meant}", known.join(", ")))
        })
    }
}

impl Serialize for NoiseKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for NoiseKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(ByName) // an error within the visitor is placed at the name itself
    }
}

struct ByName;

impl Visitor<'_> for ByName {
    type Value = NoiseKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a noise kind")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<NoiseKind, E> {
        name.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_as_written() {
        for kind in NoiseKind::all() {
            assert_eq!(kind.to_string().parse::<NoiseKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<NoiseKind>(&format!("\"{kind}\"")).unwrap(), kind);
        }
        let said = |name: &str| name.parse::<NoiseKind>().unwrap_err().to_string();
        assert!(said("gaussian").contains("there is no noise kind \"gaussian\"; use one of: symmetric"));
        assert!(said("symetric").ends_with("did you mean \"symmetric\"?"));
        assert_eq!(NoiseKind::default().name(), "symmetric");
    }

    /// The overlay of a kind names the kind and holds the default of every setting, and no setting else.
    #[test]
    fn overlays_hold_every_setting() {
        for kind in NoiseKind::all() {
            let overlay: toml::Table = kind.0.overlay.parse().unwrap();
            assert_eq!(overlay["noise"]["kinds"].as_array().unwrap()[0].as_str(), Some(kind.name()));
            let defaults = kind.defaults().unwrap();
            assert_eq!(kind.make(&defaults).unwrap().settings, defaults, "{kind}");
            assert!(!kind.about().is_empty() && !kind.about().ends_with('.'), "{kind}: a part of a sentence");
        }
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let kind: NoiseKind = "bright".parse().unwrap();
        let said = |text: &str| match kind.make(&text.parse().unwrap()) {
            Ok(_) => panic!("{text} was taken"),
            Err(e) => e.to_string(),
        };
        assert!(said("above = 128\nbelow = 3").contains("noise.bright: unknown field `below`"));
        assert!(said("").contains("noise.bright: missing field `above`"));
        assert!(said("above = 255").contains("noise.bright.above is 255; use"));
    }
}
