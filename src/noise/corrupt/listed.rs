//! The list of noise kinds as the rest of the program uses it: found by name, and made from their settings.

use super::{KINDS, Kind, Made};
use crate::base::{Error, Result};
use crate::nn::listed::{Entry, find};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::LazyLock;

/// A kind of the list, by its name. It has no settings yet: [`NoiseKind::make`] takes them.
#[derive(Clone, Copy)]
pub struct NoiseKind(&'static Entry<dyn Kind>);

impl NoiseKind {
    /// Every kind, in the order in which users see them.
    pub fn all() -> impl Iterator<Item = NoiseKind> {
        KINDS.iter().map(|entry| NoiseKind(entry))
    }

    /// The name of the kind in configs.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What the kind does to a label, in a few words.
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// The kind's line in the list.
    pub fn entry(self) -> &'static Entry<dyn Kind> {
        self.0
    }

    /// Whether a rate is asked of it; none of a kind whose labels come from a file. Its overlay decides, whatever the config
    /// says.
    pub fn has_rate(self) -> bool {
        // Every cell and row of a study asks, and an overlay takes longer to read than the rest of a cell to make.
        static RATED: LazyLock<Vec<bool>> = LazyLock::new(|| KINDS.iter().map(|kind| is_rated(kind)).collect());
        KINDS.iter().zip(&*RATED).find(|(kind, _)| kind.name == self.name()).is_none_or(|(_, rated)| *rated)
    }

    /// Makes the kind with these settings, which must hold every key.
    pub fn make(self, settings: &toml::Table) -> Result<Made> {
        let (kind, _) = self.0.make(settings)?;
        kind.check().map_err(|(key, what)| Error::Usage(format!("noise.{self}.{key} {what}")))?;
        Ok(Made(kind))
    }
}

fn is_rated(kind: &Entry<dyn Kind>) -> bool {
    let defaults = toml::from_str::<toml::Table>(kind.overlay).ok();
    let own = defaults.as_ref().and_then(|t| t.get("noise")?.get(kind.name)?.as_table());
    let made = own.and_then(|own| kind.make(own).ok());
    made.is_none_or(|(kind, _)| kind.source().is_none())
}

/// The default of the command line if only `--noise-rate` is given: the first of the list.
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
        find("noise kind", text, KINDS).map(NoiseKind)
    }
}

impl Serialize for NoiseKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for NoiseKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(ByName) // so that an error of the visitor has the place of the name itself
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
        assert!(said("gaussian").contains("there is no noise kind \"gaussian\"; known: symmetric"));
        assert!(said("symetric").ends_with("did you mean symmetric?"));
        assert!(!said("human").contains("did you mean"), "another kind, not one of these misspelt");
        assert_eq!(NoiseKind::default().name(), "symmetric");
    }

    /// The overlay of a kind must name the kind and hold the default of every setting, and no other setting.
    #[test]
    fn overlays_hold_every_setting() {
        for kind in NoiseKind::all() {
            let overlay: toml::Table = kind.0.overlay.parse().unwrap();
            assert_eq!(overlay["noise"]["kinds"].as_array().unwrap()[0].as_str(), Some(kind.name()));
            let defaults = overlay["noise"][kind.name()].as_table().unwrap();
            assert_eq!(kind.entry().make(defaults).unwrap().1.as_table(), Some(defaults), "{kind}");
            assert!(!kind.about().is_empty() && !kind.about().ends_with('.'), "{kind}: give a part of a sentence");
        }
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let kind: NoiseKind = "bright".parse().unwrap();
        let said = |text: &str| match kind.make(&text.parse().unwrap()) {
            Ok(_) => panic!("{text} was taken"),
            Err(e) => e.to_string(),
        };
        assert!(said("above = 128\nbelow = 3").contains("the settings of bright: unknown field `below`"));
        assert!(said("").contains("the settings of bright: missing field `above`"));
        assert!(said("above = 255").contains("noise.bright.above is 255; use"));
    }
}
