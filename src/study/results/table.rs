//! `results.csv`: a row for each cell. Its columns are the fields of a result, in their order. A list is one column, as
//! JSON.

use super::{CellResult, Gathered};
use crate::base::{Error, Result, files};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// Writes the gathered results of the study in `dir` to `results.csv`, and returns its path.
pub fn write_csv(dir: &Path, gathered: &Gathered) -> Result<PathBuf> {
    let path = dir.join("results.csv");
    let rows: Vec<&CellResult> = gathered.cells.iter().map(|(_, result)| result).collect();
    write_rows(&path, &rows)?;
    Ok(path)
}

/// Writes rows as CSV with a header of their fields. A list is one column, as JSON.
pub(in crate::study) fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let text = serde_json::to_string(row).map_err(|e| unwritable(path, &e))?;
        let Fields(fields) = serde_json::from_str(&text).map_err(|e| unwritable(path, &e))?;
        if i == 0 {
            writer.write_record(fields.iter().map(|f| &f.0)).map_err(|e| unwritable(path, &e))?;
        }
        writer.write_record(fields.iter().map(|f| column(&f.1))).map_err(|e| unwritable(path, &e))?;
    }
    write(path, writer)
}

/// Writes a table that is in memory.
pub(super) fn write(path: &Path, writer: csv::Writer<Vec<u8>>) -> Result<()> {
    let bytes = writer.into_inner().map_err(|e| unwritable(path, &e))?;
    files::write_atomic(path, &bytes)
}

pub(super) fn unwritable(path: &Path, e: &dyn fmt::Display) -> Error {
    Error::Failed(format!("cannot write {}: {e}", path.display()))
}

/// A value as text in a column. `None` and an empty list are empty text.
fn column(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => String::new(),
        other => other.to_string(),
    }
}

/// The fields of an object in the order of its text.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
