//! The keys in optimizers' tables that no optimizer reads. A config may not set them, and the resolved config leaves
//! them out.

use super::load::inner;
use crate::nn::optimization::{OPTIMIZERS, reads};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// Gives the text of a value.
type Text<'t, 'a> = &'t dyn Fn(&Spanned<DeValue<'a>>) -> Option<&'t str>;

/// The first key that a `file` sets in an optimizer's table though none of the optimizers that use the table in the
/// whole `config` reads it: its offset and a sentence. A file may list every key, as long as it gives the default.
pub(super) fn unread<'a>(
    config: &DeTable<'_>,
    (file, defaults): (&DeTable<'a>, &DeTable<'a>),
    text: Text<'_, 'a>,
) -> Option<(usize, String)> {
    let mut found = Vec::new();
    for name in ["pretraining", "training"] {
        let (Some(whole), Some(stage)) = (inner(config, name), inner(file, name)) else { continue };
        let Some(known) = inner(defaults, name).and_then(|s| inner(s, "optimizer")) else { continue };
        let word = |table: Option<&DeTable<'_>>| Some(table?.get("name")?.get_ref().as_str()?.to_string());
        let common = word(inner(whole, "optimizer")).unwrap_or_default();
        let of = |m: &str| word(inner(whole, m).and_then(|m| inner(m, "optimizer"))).unwrap_or(common.clone());
        let listed = whole.get("methods").and_then(|m| m.get_ref().as_array());
        let listed = listed.into_iter().flat_map(|l| l.iter()).filter_map(|m| m.get_ref().as_str());
        let all: Vec<String> = std::iter::once(common.clone()).chain(listed.map(&of)).collect();
        let mut tables = vec![(format!("{name}.optimizer"), inner(stage, "optimizer"), all)];
        for method in stage.keys().map(|k| k.get_ref().as_ref()).filter(|m| *m != "optimizer") {
            let own = inner(stage, method).and_then(|m| inner(m, "optimizer"));
            tables.push((format!("{name}.{method}.optimizer"), own, vec![of(method)]));
        }
        for (place, table, names) in tables {
            let Some(table) = table else { continue };
            let lists_all = known.keys().all(|key| table.contains_key(key));
            for (key, value) in table {
                let key = key.get_ref().as_ref();
                let default = lists_all && known.get(key).is_some_and(|d| text(d) == text(value));
                if !default && !names.iter().any(|n| reads(n, key)) {
                    let readers: Vec<&str> = OPTIMIZERS.iter().filter(|o| reads(o.0, key)).map(|o| o.0).collect();
                    let (name, readers) = (&names[0], readers.join(", "));
                    let what = format!("{place}.{key} is not read by {name}; leave it out; it is read by {readers}");
                    found.push((value.span().start, what));
                }
            }
        }
    }
    found.into_iter().min_by_key(|f| f.0)
}

/// Takes the keys that nothing reads out of the optimizers' tables, so that what is written can be read again.
pub(super) fn forget(config: &mut Table) {
    let text = |table: &Table| Some(table.get("optimizer")?.get("name")?.as_str()?.to_string());
    for name in ["pretraining", "training"] {
        let Some(Value::Table(stage)) = config.get_mut(name) else { continue };
        let methods = stage.get("methods").and_then(Value::as_array).cloned().unwrap_or_default();
        let of = |m: &Value| text(stage.get(m.as_str()?)?.as_table()?);
        let names: Vec<String> = text(stage).into_iter().chain(methods.iter().filter_map(of)).collect();
        if let Some(Value::Table(optimizer)) = stage.get_mut("optimizer") {
            optimizer.retain(|key, _| names.iter().any(|n| reads(n, key)));
        }
    }
}
