//! A config that is being written, answer by answer, for `wgslab new`. Each answer is checked by reading the whole text
//! as a config, so that nothing is accepted here that a run would refuse.

use super::{BASE, Config};
use crate::base::{Error, Result};
use crate::noise::NoiseKind;
use crate::noise::learn;
use crate::ssl;
use toml::{Table, Value};

/// The tables of a draft with their keys, in the order of the text. What a draft leaves out has its default.
const KEYS: [(&str, &[&str]); 6] = [
    ("", &["name", "seeds"]),
    ("data", &["specs", "image_size", "store_size", "channels"]),
    ("model", &["arch", "stem", "patch_size"]),
    ("pretraining", &["methods", "epochs", "batch_size"]),
    ("noise", &["kinds", "rates"]),
    ("training", &["methods", "epochs", "batch_size"]),
];

/// What a draft's errors name as the place of a mistake: the text is no file yet.
const PLACE: &str = "the answer";

/// A study's config under way. It begins with the defaults of `configs/base.toml`.
#[derive(Clone, Debug)]
pub struct Draft(Table);

impl Draft {
    /// The defaults, under this title.
    pub fn new(name: &str) -> Result<Self> {
        let base = BASE.parse().map_err(|e| Error::Failed(format!("the built-in base is no TOML: {e}")))?;
        let mut draft = Draft(base);
        draft.set("name", &[name.to_string()])?;
        Ok(draft)
    }

    /// The value of `key` as it would be answered: elements of a list apart by a comma.
    pub fn shown(&self, key: &str) -> String {
        let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
        match self.get(key) {
            Some(Value::Array(all)) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
            value => value.map(plain).unwrap_or_default(),
        }
    }

    /// Gives `key`, as `table.key`, the value that `answer` says: one text, or those of a list. An error says what is wrong
    /// with it, and leaves the draft as it was.
    pub fn set(&mut self, key: &str, answer: &[String]) -> Result<()> {
        let before = self.0.clone();
        let like = self.get(key).cloned().ok_or_else(|| Error::Failed(format!("a draft has no key {key}")))?;
        let value = read(&like, answer).map_err(|what| Error::Usage(format!("{key}: {what}")))?;
        self.put(key, value);
        self.derive(key);
        let wrong = self.config().err();
        if let Some(e) = wrong {
            self.0 = before;
            return Err(e);
        }
        Ok(())
    }

    /// Sets what follows from `key`.
    fn derive(&mut self, key: &str) {
        let size = self.get("data.image_size").and_then(Value::as_integer).unwrap_or(0);
        match key {
            "data.image_size" => {
                // Room for crops: an eighth more than the network sees. A size that cannot be is refused by its own range.
                let store = if (8..1024).contains(&size) { 1024.min((size * 9 + 7) / 8) } else { 1024 };
                self.put("data.store_size", Value::Integer(store));
                let large = size >= 128;
                self.put("model.stem", Value::String(if large { "7x7" } else { "3x3" }.into()));
                self.put("model.patch_size", Value::Integer(if large { 16 } else { 4 }));
            }
            "noise.kinds" if !self.takes_rates() => self.put("noise.rates", Value::Array(vec![Value::Float(0.0)])),
            _ => {}
        }
    }

    /// Whether a noise kind of the draft takes rates. If not, there is nothing to ask about them.
    pub fn takes_rates(&self) -> bool {
        self.kinds().iter().any(|kind| kind.has_rate())
    }

    fn kinds(&self) -> Vec<NoiseKind> {
        let names = self.get("noise.kinds").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(|name| name.as_str()?.parse().ok()).collect()
    }

    /// The config that the text is, or what is wrong with it.
    pub fn config(&self) -> Result<Config> {
        Config::parse(PLACE, &self.text()).map_err(|e| match e {
            Error::Usage(what) => {
                let own = what.strip_prefix(PLACE).and_then(|rest| rest.split_once(": "));
                Error::Usage(own.map_or(what.clone(), |(_, what)| what.to_string()))
            }
            other => other,
        })
    }

    /// The file: every key with its meaning, and the settings of its noise kinds.
    pub fn text(&self) -> String {
        let mut text = "# A study, begun by `wgslab new`. `wgslab study list FILE` shows its grid, `wgslab study run FILE` runs it and goes \
                        on after a stop.\n# A key that is not here has its default: configs/base.toml lists all of them, with their \
                        meaning and unit.\n"
            .to_string();
        let vit = self.shown("model.arch").starts_with("vit");
        for (table, keys) in KEYS {
            text += &if table.is_empty() { "\n".to_string() } else { format!("\n[{table}]\n") };
            text += &choices(table);
            // The other network's key would be refused as one that nothing reads.
            let unread = if vit { "stem" } else { "patch_size" };
            for key in keys.iter().filter(|key| **key != unread) {
                let path = if table.is_empty() { key.to_string() } else { format!("{table}.{key}") };
                let value = self.get(&path).map(ToString::to_string).unwrap_or_default();
                text += &format!("{key} = {value} # {}\n", meaning(table, key));
            }
        }
        self.kinds().into_iter().for_each(|kind| text += &settings(kind));
        text
    }

    fn get(&self, key: &str) -> Option<&Value> {
        match key.split_once('.') {
            Some((table, key)) => self.0.get(table)?.get(key),
            None => self.0.get(key),
        }
    }

    fn put(&mut self, key: &str, value: Value) {
        match key.split_once('.') {
            Some((table, key)) => {
                if let Some(table) = self.0.get_mut(table).and_then(Value::as_table_mut) {
                    table.insert(key.to_string(), value);
                }
            }
            None => drop(self.0.insert(key.to_string(), value)),
        }
    }
}

/// A value of the kind of `like`.
fn read(like: &Value, answer: &[String]) -> Result<Value, String> {
    let [one] = answer else {
        let Value::Array(all) = like else { return Err("takes one value".to_string()) };
        let first = all.first().ok_or("takes no value")?;
        return answer.iter().map(|a| read(first, std::slice::from_ref(a))).collect::<Result<_, _>>().map(Value::Array);
    };
    let text = one.trim();
    let wrong = |want: &str| format!("`{text}` is not {want}");
    match like {
        Value::Array(all) => {
            let first = all.first().ok_or("takes no value")?;
            Ok(Value::Array(vec![read(first, answer)?]))
        }
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| wrong("a whole number")),
        Value::Float(_) => text.parse().map(Value::Float).map_err(|_| wrong("a number")),
        _ => Ok(Value::String(text.to_string())),
    }
}

/// What the base says of a key.
fn meaning(table: &str, key: &str) -> &'static str {
    let mut lines = BASE.lines();
    if !table.is_empty() {
        let heading = format!("[{table}]");
        lines.by_ref().find(|line| line.starts_with(&heading));
    }
    let line = lines.find(|line| line.split(" = ").next() == Some(key));
    line.and_then(|line| line.split_once(" # ").or_else(|| line.split_once("# "))).map_or("", |(_, said)| said.trim())
}

/// What may stand in the list of names of a table, a line each.
fn choices(table: &str) -> String {
    let line = |name: &str, about: &str| format!("#   {name}: {about}\n");
    let names: String = match table {
        "pretraining" => ssl::methods().iter().map(|m| line(m.name, m.about)).collect(),
        "noise" => NoiseKind::all().map(|kind| line(kind.name(), kind.about())).collect(),
        "training" => learn::learners().iter().map(|l| line(l.name, l.about)).collect(),
        _ => return String::new(),
    };
    let none = if table == "pretraining" { line(ssl::NONE, "random weights") } else { String::new() };
    let list = if table == "noise" { "kinds" } else { "methods" };
    format!("# {list} may name, several for several columns of the grid:\n{none}{names}")
}

/// The table of a kind's settings with its comments, where it has some.
fn settings(kind: NoiseKind) -> String {
    let heading = format!("[noise.{}]", kind.name());
    let table =
        kind.entry().overlay.split_once(&heading).map_or("", |(_, rest)| rest.split("\n[").next().unwrap_or(""));
    if table.contains(" = ") { format!("\n{heading}{}\n", table.trim_end()) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(|part| part.trim().to_string()).collect()
    }

    #[test]
    fn a_draft_of_defaults_is_the_base() {
        let draft = Draft::new("study").unwrap();
        assert_eq!(draft.config().unwrap(), Config::parse("t", "").unwrap());
        // Every key has its meaning beside it.
        for line in draft.text().lines().filter(|l| l.contains(" = ") && !l.starts_with('#')) {
            assert!(line.split_once(" # ").is_some_and(|(_, said)| said.len() > 10), "{line}");
        }
    }

    #[test]
    fn answers_come_to_the_config_and_a_wrong_one_changes_nothing() {
        let mut draft = Draft::new("Our X-rays").unwrap();
        for (key, answer) in [
            ("data.specs", "xrays, phantom:covid"),
            ("data.image_size", "224"),
            ("data.channels", "3"),
            ("pretraining.methods", "none, moco"),
            ("noise.kinds", "class_dependent, pair_flip"),
            ("noise.rates", "0, 0.2"),
            ("training.methods", "elr"),
            ("seeds", "0, 1, 2"),
        ] {
            draft.set(key, &words(answer)).unwrap();
        }
        let config = draft.config().unwrap();
        assert_eq!(config.name, "Our X-rays");
        assert_eq!((config.data.specs.len(), config.data.image_size, config.data.store_size), (2, 224, 252));
        assert_eq!((config.seeds.len(), config.noise.rates.clone()), (3, vec![0.0, 0.2]));
        assert!(config.model.to_string().contains("7x7") || draft.text().contains("stem = \"7x7\""));
        assert!(draft.text().contains("[noise.class_dependent]\ngroups = []"), "{}", draft.text());
        let text = draft.text();
        for (key, answer, says) in [
            ("data.image_size", "many", "`many` is not a whole number"),
            ("data.image_size", "4", "8"),
            ("data.channels", "2", "use 1 (gray) or 3 (RGB)"),
            ("pretraining.methods", "simclrr", "simclr"),
            ("pretraining.methods", "mae", "vit"),
            ("noise.kinds", "symetric", "symmetric"),
            ("noise.rates", "1.5", "1.5"),
            ("training.methods", "elr, elr", "elr"),
            ("seeds", "-1", "whole number"),
            ("seeds", "", "whole number"),
            ("data.specs", "", "empty name"),
        ] {
            let said = draft.set(key, &words(answer)).unwrap_err();
            assert!(said.exit_code() == 2 && said.to_string().contains(says), "{key} = {answer}: {said}");
            assert!(!said.to_string().contains(PLACE), "{said}");
            assert_eq!(draft.text(), text, "{key} = {answer}");
        }
    }

    #[test]
    fn what_follows_from_an_answer_is_set_with_it() {
        let mut draft = Draft::new("t").unwrap();
        draft.set("model.arch", &words("vit_tiny")).unwrap();
        assert!(draft.text().contains("patch_size = 4") && !draft.text().contains("stem ="));
        draft.set("pretraining.methods", &words("none, mae")).unwrap();
        draft.set("noise.kinds", &words("given")).unwrap();
        assert!(!draft.takes_rates());
        assert_eq!(draft.config().unwrap().noise.rates, [0.0]);
    }
}
