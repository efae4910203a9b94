//! The settings of noise kinds: `[noise.KIND]`, a table that only the kind's own file knows. Its keys and defaults come from
//! the kind's overlay, so that a mistake in it is found with its line as any other.

use super::load::{Source, at, key_at, offset_of, plain};
use crate::base::{Error, Result};
use crate::noise::NoiseKind;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// A kind with the table of its settings, each at its default.
type Defaults = Vec<(NoiseKind, DeTable<'static>)>;

/// What the overlays of the kinds say; nothing of a kind without settings. Their places in the overlays lie before those of
/// any file but the built-in base, so none is taken for a place in a person's file.
pub(super) fn defaults() -> Result<Defaults> {
    let mut all = Vec::new();
    for kind in NoiseKind::all() {
        let overlay = DeTable::parse(kind.overlay());
        let overlay = overlay.map_err(|e| Error::Failed(format!("configs/noise/{kind}.toml: {}", e.message())))?;
        let settings = noise(&mut overlay.into_inner()).and_then(|noise| noise.remove(kind.name()));
        if let Some(DeValue::Table(settings)) = settings.map(|s| s.into_inner()) {
            all.push((kind, settings));
        }
    }
    Ok(all)
}

/// Makes the keys of all settings known to the check of keys.
pub(super) fn known(schema: &mut DeTable<'_>, defaults: &Defaults) {
    if let Some(noise) = noise(schema) {
        for (kind, settings) in defaults {
            noise.insert(key(*kind), toml::Spanned::new(0..0, DeValue::Table(settings.clone())));
        }
    }
}

/// Lays what a config sets on the defaults, for each kind that it sets something of or lists.
pub(super) fn complete(merged: &mut DeTable<'_>, defaults: &Defaults) {
    let Some(noise) = noise(merged) else { return };
    let listed = |kind: NoiseKind, noise: &DeTable<'_>| {
        let kinds = noise.get("kinds").and_then(|k| k.get_ref().as_array());
        kinds.is_some_and(|kinds| kinds.iter().any(|k| k.get_ref().as_str() == Some(kind.name())))
    };
    for (kind, settings) in defaults {
        let mut whole = settings.clone();
        let given = noise.remove(kind.name());
        if given.is_none() && !listed(*kind, noise) {
            continue;
        }
        let span = given.as_ref().map_or(0..0, |g| g.span());
        if let Some(DeValue::Table(given)) = given.map(|g| g.into_inner()) {
            super::load::merge(&mut whole, given);
        }
        noise.insert(key(*kind), toml::Spanned::new(span, DeValue::Table(whole)));
    }
}

/// Takes the completed tables out of `merged`, which serde reads next: no field stands for them.
pub(super) fn take(
    merged: &mut DeTable<'_>,
    spans: &DeTable<'_>,
    sources: &[Source],
) -> Result<BTreeMap<String, toml::Table>> {
    let mut taken = BTreeMap::new();
    let Some(noise) = noise(merged) else { return Ok(taken) };
    for kind in NoiseKind::all() {
        let Some(table) = noise.remove(kind.name()) else { continue };
        let span = table.span();
        let DeValue::Table(table) = table.into_inner() else { continue };
        let made = kind.read(toml::Deserializer::from(toml::Spanned::new(span.clone(), table))).map_err(|e| {
            let offset = e.span().map_or(span.start, |s| s.start);
            let key = key_at(spans, offset).unwrap_or_else(|| format!("noise.{kind}"));
            at(sources, offset, &format!("{key}: {}", plain(e.message())))
        })?;
        made.kind.check().map_err(|(key, what)| {
            let key = format!("noise.{kind}.{key}");
            at(sources, offset_of(spans, &key), &format!("{key} {what}"))
        })?;
        taken.insert(kind.to_string(), made.settings);
    }
    Ok(taken)
}

/// What there is to say of a table or key `noise.NAME` that no schema knows.
pub(super) fn unknown(prefix: &str, name: &str) -> Option<String> {
    let kind: NoiseKind = (prefix == "noise.").then(|| name.parse().ok()).flatten()?;
    Some(format!("noise of the kind `{kind}` has no settings; leave noise.{kind} out"))
}

fn noise<'a, 't>(table: &'a mut DeTable<'t>) -> Option<&'a mut DeTable<'t>> {
    match table.get_mut("noise").map(|noise| noise.get_mut()) {
        Some(DeValue::Table(noise)) => Some(noise),
        _ => None,
    }
}

fn key<'a>(kind: NoiseKind) -> toml::Spanned<std::borrow::Cow<'a, str>> {
    toml::Spanned::new(0..0, kind.name().into())
}
