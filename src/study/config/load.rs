//! Reads a config: a chain of files, from the named one along the `base` keys to the built-in base, merged table by
//! table. All files share one range of offsets, because each text is padded to start where the last one ended. So a
//! span that serde or the checks report names its file and line even after merging.

use super::tables::{OPTIMIZATION, TABLES};
use super::unread::unread;
use super::written::{gather, listed, readable};
use super::{BASE, Config, check, models};
use crate::base::{Error, Result, files, nearest, seal};
use crate::study::names::{ENVIRONMENT, LOCK};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use toml::Value;
use toml::de::{DeTable, DeValue};

/// The most files in a chain.
const MAX_FILES: usize = 16;

/// The most bytes of a config and all the files that it is based on. A list of 200,000 seeds fits several times. The
/// bound keeps memory small: a parsed table takes a hundred times the memory of its text.
const MAX_BYTES: usize = 4 << 20;

/// One file of the chain. Its text is padded to the file's offset.
pub(super) struct Source {
    path: PathBuf,
    padded: String,
    start: usize,
}

impl Source {
    fn new(path: PathBuf, text: &str, start: usize) -> Self {
        // After padding, a byte order mark would be a TOML error.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Source { path, padded: " ".repeat(start) + text, start }
    }

    /// The text at `span`, if `span` lies in this file.
    fn text(&self, span: std::ops::Range<usize>) -> Option<&str> {
        if span.start < self.start { None } else { self.padded.get(span) }
    }

    fn parse<'a>(&'a self, all: &[Source]) -> Result<DeTable<'a>> {
        let table = DeTable::parse(&self.padded);
        table.map(|t| t.into_inner()).map_err(|e| at(all, e.span().map_or(self.start, |s| s.start), e.message()))
    }
}

impl Config {
    /// Reads the config at `path`, with everything that it is based on.
    pub fn load(path: &Path) -> Result<Self> {
        let mut sources = built_in();
        let mut next = Some(path.to_path_buf());
        let (mut asked_by, mut seen, mut left) = (String::new(), Vec::new(), MAX_BYTES);
        while let Some(path) = next.take() {
            let wrong = |what: &str| Err(Error::Usage(format!("{asked_by}{what}")));
            if !path.is_file() {
                return wrong(&format!("there is no config {}; check the path", path.display()));
            }
            // One file may have several names: through a link, or with `..` in its path.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if seen.contains(&real) {
                return wrong("the `base` keys of the configs form a circle; remove one of them");
            }
            seen.push(real);
            if seen.len() > MAX_FILES {
                return wrong(&format!("more than {MAX_FILES} configs are based on each other; merge some of them"));
            }
            let text = files::read_text_up_to(&path, left).map_err(|e| Error::Usage(e.to_string()))?;
            let Some(text) = text else {
                return wrong(&format!(
                    "{} and the configs that are based on it hold more than {} MiB; a config names data and does not hold them",
                    path.display(),
                    MAX_BYTES >> 20
                ));
            };
            let opened = if is_kept(&path) { seal::opened_text(&text) } else { seal::opened_if_sealed(&text) };
            if let Err(why) = opened {
                let path = path.display();
                return wrong(&format!(
                    "{path}: {why}; if you changed it on purpose, remove its first line and keep the file elsewhere"
                ));
            }
            left -= text.len();
            let start = sources.last().map_or(0, |s| s.padded.len());
            sources.push(Source::new(path.clone(), &text, start));
            let table = sources[sources.len() - 1].parse(&sources)?;
            if let Some(base) = table.get("base") {
                let at_base = |say| at(&sources, base.span().start, say);
                let name = base.get_ref().as_str().ok_or_else(|| at_base("base is not a path; use \"FILE.toml\""))?;
                asked_by = at_base("base: ").to_string();
                next = Some(path.parent().unwrap_or(Path::new("")).join(name));
            }
        }
        resolve(&sources)
    }

    /// Reads a config from text that is based only on the built-in base. Errors name it `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut sources = built_in();
        let start = sources.last().map_or(0, |s| s.padded.len());
        sources.push(Source::new(PathBuf::from(name), text, start));
        resolve(&sources)
    }
}

/// Whether a run or a study wrote the config. Then it must hold its checksum, since an emptied file would count as the
/// built-in config. A folder called `runs` is not enough: by default a study is written there, beside a person's own
/// config.
fn is_kept(path: &Path) -> bool {
    let beside = |name: &str| path.with_file_name(name).exists();
    path.ends_with("config.toml") && beside(LOCK) && (beside(ENVIRONMENT) || beside("runs"))
}

/// The base, and the overlays of all listed methods and noise kinds. Every config is based on them.
fn built_in() -> Vec<Source> {
    let mut sources = vec![Source::new(PathBuf::from("configs/base.toml (built in)"), BASE, 0)];
    for (stage, name, text) in listed() {
        let folder = if stage == "pretraining" { "ssl" } else { "noise" };
        let start = sources.last().map_or(0, |s| s.padded.len());
        sources.push(Source::new(PathBuf::from(format!("configs/{folder}/{name}.toml (built in)")), text, start));
    }
    sources
}

/// The built-in tables, merged: first the defaults of all keys, then all keys that a config may have.
fn defaults(sources: &[Source]) -> Result<(DeTable<'_>, DeTable<'_>)> {
    let mut merged = sources[0].parse(sources)?;
    let mut schema = merged.clone();
    let common = schema.clone();
    for ((stage, name, _), source) in listed().into_iter().zip(&sources[1..]) {
        let mut overlay = source.parse(sources)?;
        let own = overlay.get_mut(stage).and_then(|t| match t.get_mut() {
            DeValue::Table(t) => t.remove(name),
            _ => None,
        });
        let Some(own) = own else {
            return Err(Error::Failed(format!("{} has no [{stage}.{name}]", source.path.display())));
        };
        let key = || toml::Spanned::new(own.span(), Cow::Borrowed(name));
        let mut known = own.clone();
        if let DeValue::Table(known) = known.get_mut() {
            let stage_keys = OPTIMIZATION.iter().filter_map(|k| inner(&common, stage)?.get_key_value(*k));
            let tables = TABLES.iter().filter(|_| stage == "pretraining").filter_map(|k| common.get_key_value(*k));
            known.extend(stage_keys.chain(tables).map(|(k, v)| (k.clone(), v.clone())));
        }
        if let Some(t) = inner_mut(&mut schema, stage) {
            t.insert(key(), known);
        }
        let key = key();
        if let Some(t) = inner_mut(&mut merged, stage) {
            t.insert(key, own);
        }
    }
    Ok((merged, schema))
}

/// The table called `name` in `table`.
pub(super) fn inner<'a, 'b>(table: &'b DeTable<'a>, name: &str) -> Option<&'b DeTable<'a>> {
    match table.get(name)?.get_ref() {
        DeValue::Table(t) => Some(t),
        _ => None,
    }
}

pub(super) fn inner_mut<'a, 'b>(table: &'b mut DeTable<'a>, name: &str) -> Option<&'b mut DeTable<'a>> {
    match table.get_mut(name)?.get_mut() {
        DeValue::Table(t) => Some(t),
        _ => None,
    }
}

/// Merges the chain (the built-in files, then the lowest base up to the named file) and checks the result.
fn resolve(sources: &[Source]) -> Result<Config> {
    let (mut merged, schema) = defaults(sources)?;
    let built_in = 1 + listed().len();
    let defaults = inner(&merged, "model").cloned().unwrap_or_default();
    for source in sources[built_in..].iter().rev() {
        let mut overlay = source.parse(sources)?;
        overlay.remove("base");
        known_keys(&overlay, &schema, "", sources)?;
        merge(&mut merged, overlay);
    }
    // Among the files that are not built in, the named file comes first.
    let source = |offset: usize| sources.iter().rposition(|s| s.start <= offset).unwrap_or(0);
    let rank = |offset: usize| if source(offset) < built_in { 0 } else { sources.len() - source(offset) };
    models::settle(&mut merged, &defaults, &rank).map_err(|(offset, what)| at(sources, offset, &what))?;
    let spans = merged.clone();
    gather(&mut merged);
    let wrong = |offset: usize, what: &str| {
        let key = key_at(&spans, offset).map(|k| format!("{k}: ")).unwrap_or_default();
        at(sources, offset, &format!("{key}{}", plain(what)))
    };
    let read: Result<Config, toml::de::Error> =
        serde::Deserialize::deserialize(toml::Deserializer::from(toml::Spanned::new(0..0, merged)));
    let config = read.map_err(|e| wrong(e.span().map_or(0, |s| s.start), e.message()))?;
    readable(&spans, &faithful_table).map_err(|(offset, what)| {
        match what.starts_with("holds") || what.starts_with("is ") {
            true => at(sources, offset, &format!("{} {what}", key_at(&spans, offset).unwrap_or_default())),
            false => wrong(offset, &what),
        }
    })?;
    // This comes before the config is written as TOML below, because TOML has no number above an i64.
    check::check(&config).map_err(|(key, what)| {
        let place = place_of(&spans, &key, &|offset| source(offset) < built_in);
        at(sources, place, &format!("{key} {what}"))
    })?;
    let kept = config.as_written().map_err(|e| Error::Failed(format!("cannot write the config as TOML: {e}")))?;
    faithful_table(&spans, &Value::Table(kept)).map_err(|(offset, what)| {
        let key = key_at(&spans, offset).unwrap_or_default();
        at(sources, offset, &format!("{key} {what}"))
    })?;
    // Configs that runs wrote are not checked here: an older program wrote all keys.
    for source in sources[1 + listed().len()..].iter().filter(|s| !is_kept(&s.path)) {
        let (file, defaults) = (source.parse(sources)?, sources[0].parse(sources)?);
        let text = |v: &toml::Spanned<DeValue<'_>>| sources.iter().rev().find_map(|s| s.text(v.span()));
        if let Some((place, what)) = unread(&spans, (&file, &defaults), &text) {
            return Err(at(sources, place, &what));
        }
    }
    Ok(config)
}

/// The offset of a mistake in the value of `key`. If two keys contradict each other, it is that of the key which a
/// person wrote: the key at fault, or else the other key. Offsets in the built-in files are smaller than all others.
fn place_of(spans: &DeTable<'_>, key: &str, is_built_in: &dyn Fn(usize) -> bool) -> usize {
    let others = [
        ("warmup_epochs", "*epochs"),
        ("patch_size", "data.image_size"),
        ("noise.rates", "noise.kinds"),
        ("generator_dims", "data.image_size"),
        ("model.arch", "pretraining.methods"),
    ];
    let with = |(end, other): (&str, &str)| match key.strip_suffix(end) {
        Some(stage) => offset_of(spans, &other.replace('*', stage)),
        None => 0,
    };
    let own = offset_of(spans, key);
    let with = others.into_iter().map(with).max().unwrap_or(0);
    if is_built_in(own) { own.max(with) } else { own }
}

/// It is an error if the program would use other values (`kept`) than were `written`. serde reads as many elements as a
/// list of fixed length has, and ignores the others. Numbers that are infinite, NaN or −0 are errors, too. The error is
/// an offset and the end of a sentence.
fn faithful(written: &DeValue<'_>, kept: &Value) -> Result<(), (usize, String)> {
    match (written, kept) {
        (DeValue::Table(written), kept) => faithful_table(written, kept),
        (DeValue::Array(written), Value::Array(kept)) => {
            if let Some(surplus) = written.get(kept.len()) {
                let (has, want) = (written.len(), kept.len());
                return Err((surplus.span().start, format!("holds {has} values; use {want}")));
            }
            written.iter().zip(kept).try_for_each(|(v, kept)| at_value(v, kept))
        }
        _ => Ok(()),
    }
}

fn faithful_table(written: &DeTable<'_>, kept: &Value) -> Result<(), (usize, String)> {
    // The file's order decides which mistake comes first.
    let mut pairs: Vec<_> = written.iter().filter_map(|(k, v)| Some((v, kept.get(k.get_ref().as_ref())?))).collect();
    pairs.sort_by_key(|(v, _)| v.span().start);
    pairs.into_iter().try_for_each(|(v, kept)| at_value(v, kept))
}

fn at_value(written: &toml::Spanned<DeValue<'_>>, kept: &Value) -> Result<(), (usize, String)> {
    if let Value::Float(v) = kept {
        if !v.is_finite() || (*v == 0.0 && v.is_sign_negative()) {
            return Err((written.span().start, format!("is {v:?}; use a plain number")));
        }
    }
    faithful(written.get_ref(), kept)
}

/// An error at a place: `FILE:LINE: what`.
pub(super) fn at(sources: &[Source], offset: usize, what: &str) -> Error {
    let Some(source) = sources.iter().rev().find(|s| s.start <= offset) else {
        return Error::Usage(what.to_string());
    };
    let text = source.padded.as_bytes();
    let line = 1 + text[source.start..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count();
    Error::Usage(format!("{}:{line}: {what}", source.path.display()))
}

/// The present name of a key of earlier versions.
fn moved(prefix: &str, name: &str) -> Option<String> {
    let to = match (prefix, name) {
        ("pretraining.", "temperature" | "projection_dims") => "simclr.",
        ("pretraining." | "training.", "lr" | "weight_decay" | "momentum" | "nesterov") => "optimizer.",
        _ => return None,
    };
    Some(format!("{prefix}{to}{name}"))
}

/// The path of the key `name` one table further down, if exactly one table has it: `optimizer.lr` for `lr`.
fn below(schema: &DeTable<'_>, name: &str) -> Option<String> {
    let mut holders = schema.keys().filter(|k| inner(schema, k.get_ref()).is_some_and(|t| t.contains_key(name)));
    let holder = holders.next().filter(|_| holders.next().is_none())?;
    Some(format!("{}.{name}", holder.get_ref()))
}

/// An error for the first key of `table`, in the order of the file, that `schema` does not have.
fn known_keys(table: &DeTable<'_>, schema: &DeTable<'_>, prefix: &str, sources: &[Source]) -> Result<()> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(k, _)| k.span().start);
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        let place = key.span().start;
        match schema.get(name).map(|v| v.get_ref()) {
            None if moved(prefix, name).is_some() => {
                let now = moved(prefix, name).unwrap_or_default();
                return Err(at(sources, place, &format!("`{prefix}{name}` is `{now}` now; use the new name")));
            }
            None => {
                let known: Vec<&str> = schema.keys().map(|k| k.get_ref().as_ref()).collect();
                let near = below(schema, name).or_else(|| nearest(name, &known).map(str::to_string));
                let what = match near {
                    Some(near) => format!("there is no key `{prefix}{name}`; did you mean `{prefix}{near}`?"),
                    None if known.is_empty() => {
                        format!("[{}] has no keys; leave `{name}` out", prefix.trim_end_matches('.'))
                    }
                    None => format!("there is no key `{prefix}{name}`; known here: {}", known.join(", ")),
                };
                return Err(at(sources, key.span().start, &what));
            }
            Some(DeValue::Table(inner)) => match value.get_ref() {
                DeValue::Table(t) => known_keys(t, inner, &format!("{prefix}{name}."), sources)?,
                _ => {
                    let like = if name == "optimizer" { " with name = \"adam\", lr and so on" } else { "" };
                    let what =
                        format!("`{prefix}{name}` is a table of keys, not a value; write [{prefix}{name}]{like}");
                    return Err(at(sources, value.span().start, &what));
                }
            },
            Some(_) => {}
        }
    }
    Ok(())
}

/// Merges `over` into `under`: tables key by key, anything else is replaced whole.
pub(super) fn merge<'a>(under: &mut DeTable<'a>, over: DeTable<'a>) {
    for (key, value) in over {
        match (under.get_mut(&key).map(|v| v.get_mut()), value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(_)) => {
                if let DeValue::Table(above) = value.into_inner() {
                    merge(below, above);
                }
            }
            _ => {
                under.insert(key, value);
            }
        }
    }
}

/// The offset of the value of `table.key`.
pub(super) fn offset_of(table: &DeTable<'_>, key: &str) -> usize {
    match key.split_once('.') {
        Some((head, rest)) => match table.get(head).map(|v| v.get_ref()) {
            // A method may take the key from its stage. Then the key that contradicts it is in the method's table.
            Some(DeValue::Table(t)) => match offset_of(t, rest) {
                0 => ["epochs", "momentum"].iter().find_map(|k| Some(t.get(*k)?.span().start)).unwrap_or(0),
                found => found,
            },
            _ => 0,
        },
        None => table.get(key).map_or(0, |v| v.span().start),
    }
}

/// The key whose value holds `offset`.
pub(super) fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| match value.get_ref() {
        DeValue::Table(t) => key_at(t, offset).map(|inner| format!("{}.{inner}", key.get_ref())),
        _ => value.span().contains(&offset).then(|| key.get_ref().to_string()),
    })
}

/// serde's message without the names of Rust types.
pub(super) fn plain(message: &str) -> String {
    let types = [
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list [...]"),
        ("unknown variant", "unknown value"),
    ];
    types.iter().fold(message.trim().to_string(), |m, (rust, words)| m.replace(rust, words))
}

#[cfg(test)]
mod tests;
