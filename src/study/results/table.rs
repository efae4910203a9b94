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
    files::write_atomic(path, &rows_as_csv(path, rows)?)
}

/// The bytes of such a table; an error names `path`.
pub(in crate::study) fn rows_as_csv<T: Serialize>(path: &Path, rows: &[T]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let text = serde_json::to_string(row).map_err(|e| unwritable(path, &e))?;
        let Fields(fields) = serde_json::from_str(&text).map_err(|e| unwritable(path, &e))?;
        if i == 0 {
            writer.write_record(fields.iter().map(|f| &f.0)).map_err(|e| unwritable(path, &e))?;
        }
        writer.write_record(fields.iter().map(|f| column(&f.1))).map_err(|e| unwritable(path, &e))?;
    }
    writer.into_inner().map_err(|e| unwritable(path, &e))
}

/// The columns that hold text; the others hold JSON, or nothing.
const TEXTS: [&str; 17] = [
    "dataset",
    "backbone",
    "pretraining",
    "noise_kind",
    "method",
    "method_told",
    "protocol",
    "validation_labels",
    "precision",
    "adapter",
    "driver",
    "backend",
    "wgslab",
    "kernel_table",
    "shaders",
    "config_hash",
    "settings_hash",
];

/// Reads the rows of a `results.csv`. Columns that another version added are left alone.
pub(in crate::study) fn read_csv(path: &Path) -> Result<Vec<CellResult>> {
    let bytes = files::read(path)?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let no = |line: usize, why: String| {
        Error::Data(format!("{}, row {line}, is no result of a cell: {why}", path.display()))
    };
    let head = reader.headers().map_err(|e| no(0, e.to_string()))?.clone();
    let row = |(i, record): (usize, csv::Result<csv::StringRecord>)| {
        let record = record.map_err(|e| no(i + 1, e.to_string()))?;
        let mut fields = serde_json::Map::new();
        for (name, text) in head.iter().zip(&record) {
            let value = match TEXTS.contains(&name) {
                true => Value::String(text.to_string()),
                false if text.is_empty() => continue,
                false => serde_json::from_str(text).map_err(|e| no(i + 1, format!("{name} is {text:?} ({e})")))?,
            };
            fields.insert(name.to_string(), value);
        }
        let result: CellResult = serde_json::from_value(Value::Object(fields)).map_err(|e| no(i + 1, e.to_string()))?;
        result.plausible().map_err(|why| no(i + 1, why))?;
        Ok(result)
    };
    reader.records().enumerate().map(row).collect()
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
