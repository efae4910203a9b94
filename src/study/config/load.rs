//! Reading a config: a chain of files from the named one down its `base` keys to the built-in base, merged table by
//! table. All files share one line of offsets (each text is padded to start where the last one ended), so a span
//! that serde or the checks point at names its file and line even after merging.

use super::{BASE, Config, check};
use crate::base::{Error, Result, files, nearest, seal};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// How many files may stand on each other; more is a circle.
const MAX_DEPTH: usize = 16;

/// One file of the chain, its text padded to the file's offset.
struct Source {
    path: PathBuf,
    padded: String,
    start: usize,
}

impl Source {
    fn new(path: PathBuf, text: &str, start: usize) -> Self {
        // A byte order mark is no TOML once it stands behind padding.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Source { path, padded: " ".repeat(start) + text, start }
    }

    fn parse<'a>(&'a self, all: &[Source]) -> Result<DeTable<'a>> {
        let table = DeTable::parse(&self.padded);
        table.map(|t| t.into_inner()).map_err(|e| at(all, e.span().map_or(self.start, |s| s.start), e.message()))
    }
}

impl Config {
    /// Reads the config at `path`, with everything it stands on.
    pub fn load(path: &Path) -> Result<Self> {
        let built_in = Source::new(PathBuf::from("configs/base.toml (built in)"), BASE, 0);
        let mut sources = vec![built_in];
        let mut next = Some(path.to_path_buf());
        let mut asked_by = String::new();
        while let Some(path) = next.take() {
            if !path.is_file() {
                return Err(Error::Usage(format!("{asked_by}there is no config {}; check the path", path.display())));
            }
            if sources.len() > MAX_DEPTH {
                return Err(Error::Usage(format!("{asked_by}the configs stand on each other in a circle; cut it")));
            }
            let text = files::read_text(&path).map_err(|e| Error::Usage(e.to_string()))?;
            if let Err(why) = seal::opened_if_sealed(&text) {
                let path = path.display();
                return Err(Error::Usage(format!(
                    "{asked_by}{path}: {why}; where you changed it on purpose, take its first line out"
                )));
            }
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

    /// Reads a config from text that stands on the built-in base alone; `name` is how errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let built_in = Source::new(PathBuf::from("configs/base.toml (built in)"), BASE, 0);
        let start = built_in.padded.len();
        resolve(&[built_in, Source::new(PathBuf::from(name), text, start)])
    }
}

/// Merges the chain (the built-in base, then the named file down to its lowest base) and checks the result.
fn resolve(sources: &[Source]) -> Result<Config> {
    let mut merged = sources[0].parse(sources)?;
    let schema = merged.clone();
    for source in sources[1..].iter().rev() {
        let mut overlay = source.parse(sources)?;
        overlay.remove("base");
        known_keys(&overlay, &schema, "", sources)?;
        merge(&mut merged, overlay);
    }
    let spans = merged.clone();
    let read: Result<Config, toml::de::Error> =
        serde::Deserialize::deserialize(toml::Deserializer::from(toml::Spanned::new(0..0, merged)));
    let config = read.map_err(|e| {
        let offset = e.span().map_or(0, |s| s.start);
        let key = key_at(&spans, offset).map(|k| format!("{k}: ")).unwrap_or_default();
        at(sources, offset, &format!("{key}{}", plain(e.message())))
    })?;
    check::check(&config).map_err(|(key, what)| at(sources, offset_of(&spans, &key), &format!("{key} {what}")))?;
    Ok(config)
}

/// An error at a place: `FILE:LINE: what`.
fn at(sources: &[Source], offset: usize, what: &str) -> Error {
    let Some(source) = sources.iter().rev().find(|s| s.start <= offset) else {
        return Error::Usage(what.to_string());
    };
    let text = source.padded.as_bytes();
    let line = 1 + text[source.start..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count();
    Error::Usage(format!("{}:{line}: {what}", source.path.display()))
}

/// Fails on the first key of `table`, in the order of the file, that `schema` does not have.
fn known_keys(table: &DeTable<'_>, schema: &DeTable<'_>, prefix: &str, sources: &[Source]) -> Result<()> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(k, _)| k.span().start);
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        match schema.get(name).map(|v| v.get_ref()) {
            None => {
                let known: Vec<&str> = schema.keys().map(|k| k.get_ref().as_ref()).collect();
                let what = match nearest(name, &known) {
                    Some(near) => format!("there is no key `{prefix}{name}`; did you mean `{prefix}{near}`?"),
                    None => format!("there is no key `{prefix}{name}`; known here: {}", known.join(", ")),
                };
                return Err(at(sources, key.span().start, &what));
            }
            Some(DeValue::Table(inner)) => match value.get_ref() {
                DeValue::Table(t) => known_keys(t, inner, &format!("{prefix}{name}."), sources)?,
                _ => {
                    let what = format!("`{prefix}{name}` is a table of keys, not a value; write [{prefix}{name}]");
                    return Err(at(sources, value.span().start, &what));
                }
            },
            Some(_) => {}
        }
    }
    Ok(())
}

/// Lays `over` on `under`: tables key by key, anything else replaced whole.
fn merge<'a>(under: &mut DeTable<'a>, over: DeTable<'a>) {
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

/// The value's place of `table.key`.
fn offset_of(table: &DeTable<'_>, key: &str) -> usize {
    match key.split_once('.') {
        Some((head, rest)) => match table.get(head).map(|v| v.get_ref()) {
            Some(DeValue::Table(t)) => offset_of(t, rest),
            _ => 0,
        },
        None => table.get(key).map_or(0, |v| v.span().start),
    }
}

/// The key whose value holds `offset`.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| match value.get_ref() {
        DeValue::Table(t) => key_at(t, offset).map(|inner| format!("{}.{inner}", key.get_ref())),
        _ => value.span().contains(&offset).then(|| key.get_ref().to_string()),
    })
}

/// serde's words without the names of Rust types.
fn plain(message: &str) -> String {
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
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let e = Config::parse("my.toml", text).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    }

    #[test]
    fn the_built_in_base_is_a_config_and_holds_every_key() {
        let base = Config::parse("empty.toml", "").unwrap();
        let again = Config::parse("again.toml", &base.to_toml().unwrap()).unwrap();
        assert_eq!(base, again);
        assert_eq!(base.hash().unwrap(), again.hash().unwrap());
        // Every key serde knows stands in base.toml: a default hidden in the code would fail to resolve instead.
        assert!(toml::from_str::<Config>(BASE).is_ok());
    }

    #[test]
    fn shipped_configs_load() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        for name in ["base.toml", "smoke.toml", "study/pneumonia.toml", "study/isic9.toml"] {
            let config = Config::load(&root.join(name)).unwrap();
            assert!(!config.data.specs.is_empty(), "{name}");
        }
    }

    #[test]
    fn an_overlay_changes_its_keys_alone() {
        let base = Config::parse("a", "").unwrap();
        let over = Config::parse("b", "[training]\nlr = 1\n").unwrap();
        assert_eq!(over.training.lr, 1.0);
        assert_eq!(over.training.epochs, base.training.epochs);
        assert_ne!(over.hash().unwrap(), base.hash().unwrap());
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_likely_key() {
        let e = error("name = \"x\"\n[training]\nepochs = 3\nwarmup_epoch = 2\n");
        assert_eq!(e, "my.toml:4: there is no key `training.warmup_epoch`; did you mean `training.warmup_epochs`?");
        let e = error("\n\n[nose]\nrates = [0]\n");
        assert!(e.starts_with("my.toml:3: there is no key `nose`; did you mean `noise`?"), "{e}");
        let e = error("[run]\nquack = 1\n");
        assert!(e.contains("my.toml:2:") && e.contains("known here: checkpoint_seconds, loss_every"), "{e}");
    }

    #[test]
    fn a_wrong_type_or_value_names_file_line_and_key() {
        for (text, line, words) in [
            ("seeds = 3", 1, "seeds: invalid type: integer `3`, expected a list"),
            (
                "[training]\n\nepochs = \"ten\"",
                3,
                "training.epochs: invalid type: string \"ten\", expected a whole number",
            ),
            ("[training]\nlr = true", 2, "training.lr: invalid type: boolean `true`, expected a number"),
            ("[training]\nnesterov = 1", 2, "training.nesterov: invalid type: integer `1`, expected true or false"),
            (
                "[pretraining]\noptimizer = \"adm\"",
                2,
                "pretraining.optimizer: unknown value `adm`, expected `adam` or `sgd`",
            ),
            (
                "[noise]\nkinds = [\n\"symmetric\",\n\"odd\"]",
                4,
                "noise.kinds: unknown value `odd`, expected `symmetric`",
            ),
            ("data = 3", 1, "`data` is a table of keys"),
            ("[data]\nval_fraction = 1.5", 2, "data.val_fraction is 1.5; use a share above 0 and below 1"),
            ("[data]\nimage_size = 99", 2, "data.image_size is 99; use a whole number from 8 to 36"),
            ("[noise]\nrates = [0.2, 0.2]", 2, "noise.rates names 0.2 twice"),
            ("[training]\nepochs = 2\nwarmup_epochs = 3", 3, "at most training.epochs, which is 2"),
            ("[training\n", 1, "unclosed table"),
        ] {
            let e = error(text);
            assert!(e.starts_with(&format!("my.toml:{line}: ")) && e.contains(words), "{e}");
        }
        let e = error("[augmentation]\njitter = [0.1, 0.1]");
        assert!(e.starts_with("my.toml:2: augmentation.jitter: invalid length 2"), "{e}");
        let e = error("[training]\nbatch_size = -4");
        assert!(e.starts_with("my.toml:2: training.batch_size: invalid value: integer `-4`"), "{e}");
    }

    #[test]
    fn files_stand_on_files_and_a_mistake_names_the_right_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        write("low.toml", "seeds = [4]\n[training]\nlr = 0.5\nepochs = 7\n");
        write("high.toml", "base = \"low.toml\"\n[training]\nepochs = 9\n");
        let config = Config::load(&path("high.toml")).unwrap();
        assert_eq!((config.training.lr, config.training.epochs, config.seeds), (0.5, 9, vec![4]));

        write("low.toml", "seeds = [4]\n[training]\nlr = \"fast\"\n");
        let e = Config::load(&path("high.toml")).unwrap_err().to_string();
        assert!(e.contains("low.toml:3: training.lr"), "{e}");

        write("high.toml", "\nbase = \"gone.toml\"\n");
        let e = Config::load(&path("high.toml")).unwrap_err();
        assert!(e.to_string().contains("high.toml:2: ") && e.to_string().contains("gone.toml"), "{e}");
        assert_eq!(e.exit_code(), 2);

        write("high.toml", "base = \"high.toml\"\n");
        assert!(Config::load(&path("high.toml")).unwrap_err().to_string().contains("circle"));
        assert_eq!(Config::load(&path("none.toml")).unwrap_err().exit_code(), 2);
    }
}
