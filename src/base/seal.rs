//! Checksums of files that the program writes and later trusts. A disk, a copy or an editor can change a byte. So a
//! file is compared with its checksum when it is read again, and damage gives an error instead of another result.
//!
//! A JSON object has a last key `checksum` over all its other keys, in any order and with any white space. A line of
//! JSON has the same. A text has a first line `# checksum`, which TOML reads as a comment.

use crate::base::hash::Hasher;
use crate::base::{Error, Result, files};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::path::Path;

/// The key of a JSON object's checksum.
pub const CHECKSUM: &str = "checksum";

/// How the first line of a sealed text begins.
const LINE: &str = "# checksum ";

/// The message for a file whose content changed.
const DIFFERS: &str = "its checksum differs from what it holds";

/// The checksum of an object without its own: 16 hex digits.
fn sum(object: &Map<String, Value>) -> Result<String, String> {
    let bytes = serde_json::to_vec(object).map_err(|e| e.to_string())?;
    Ok(Hasher::new().part(bytes).short())
}

/// `value`, which must be a JSON object, with its checksum.
pub fn sealed(value: &impl Serialize) -> Result<Map<String, Value>, String> {
    match serde_json::to_value(value).map_err(|e| e.to_string())? {
        Value::Object(mut object) => {
            object.remove(CHECKSUM);
            let sum = sum(&object)?;
            object.insert(CHECKSUM.into(), sum.into());
            Ok(object)
        }
        other => Err(format!("only an object can hold a checksum, and this is {other}")),
    }
}

/// The object of a JSON text. Its checksum is verified and removed.
pub fn opened(text: &str) -> Result<Map<String, Value>, String> {
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let Some(kept) = object.remove(CHECKSUM) else {
        return Err("it has no checksum; another program or an older version wrote it".to_string());
    };
    if kept.as_str() != Some(&sum(&object)?) {
        return Err(DIFFERS.to_string());
    }
    Ok(object)
}

/// Reads a value from a sealed JSON text.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::Object(opened(text)?)).map_err(|e| e.to_string())
}

/// Writes `value` as sealed JSON, whole or not at all.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let failed = |e: String| Error::Failed(format!("cannot write {}: {e}", path.display()));
    let object = sealed(value).map_err(failed)?;
    let text = serde_json::to_string_pretty(&object).map_err(|e| failed(e.to_string()))?;
    files::write_atomic(path, format!("{text}\n").as_bytes())
}

/// Reads sealed JSON, or says why it cannot be used.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    parse(&files::text(path)?)
}

/// `text` below a line with its checksum.
pub fn sealed_text(text: &str) -> String {
    format!("{LINE}{}\n{text}", Hasher::new().part(text).short())
}

/// The text below the line of its checksum. The checksum is verified.
pub fn opened_text(text: &str) -> Result<&str, String> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let Some(kept) = first.strip_prefix(LINE) else {
        return Err("its first line holds no checksum; another program or an older version wrote it".to_string());
    };
    if kept.trim_end() != Hasher::new().part(rest).short() {
        return Err(DIFFERS.to_string());
    }
    Ok(rest)
}

/// The same for text of any origin: text without such a line is returned as it is.
pub fn opened_if_sealed(text: &str) -> Result<&str, String> {
    if text.starts_with(LINE) { opened_text(text) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_of_any_bit_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let value = json!({"name": "x", "accuracy": 0.1 + 0.2, "none": null, "deep": {"list": [1, 2.5, -3]}});
        write(&path, &value).unwrap();
        let whole = files::read(&path).unwrap();
        assert_eq!(read::<Value>(&path).unwrap(), value);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                std::fs::write(&path, &bytes).unwrap();
                match read::<Value>(&path) {
                    Ok(same) => assert_eq!(same, value, "byte {at}, bit {bit}: only white space may differ"),
                    Err(why) => assert!(!why.is_empty()),
                }
            }
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(read::<Value>(&path).is_err() || at + 1 == whole.len(), "cut at {at}");
        }
    }

    #[test]
    fn order_and_white_space_are_free() {
        let object = Value::Object(sealed(&json!({"b": 1, "a": [0.5]})).unwrap());
        let sum = object[CHECKSUM].as_str().unwrap();
        let other = format!("{{ \"checksum\":\"{sum}\", \"b\": 1,\n\"a\":[0.50] }}");
        assert_eq!(parse::<Value>(&other).unwrap(), json!({"a": [0.5], "b": 1}));
        assert!(parse::<Value>("{\"a\": 1}").unwrap_err().contains("no checksum"));
        assert!(sealed(&json!([1])).is_err());
    }

    #[test]
    fn a_text_is_known_by_its_first_line() {
        let text = "name = \"x\"\n[data]\n";
        let whole = sealed_text(text);
        assert_eq!(opened_text(&whole).unwrap(), text);
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(opened_text(&changed).is_err(), "byte {at}");
            assert!(opened_text(&whole[..at]).is_err(), "cut at {at}");
        }
        assert!(opened_text("").is_err() && opened_text(text).is_err());
    }
}
