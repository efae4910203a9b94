//! A recording as a file: sealed JSON, written whole or not at all. A file is checked before anything is made of it.

use super::Recording;
use crate::base::{Error, Result, files, seal};
use std::path::Path;

/// The most bytes of a file. A step of a network with a billion parameters takes a few MiB, because weights are not in
/// it.
const MOST_BYTES: usize = 256 << 20;

impl Recording {
    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        seal::write(path, self)
    }

    /// Reads a file. It is an error (exit code 4) if the file is no recording of this form, if its checksum differs, or
    /// if its parts do not fit together.
    pub fn read(path: &Path) -> Result<Recording> {
        let way_out = "write it again with `wgslab profile --recording`";
        let refused =
            |why: String| Error::Data(format!("{} is not a recording that can run: {why}; {way_out}", path.display()));
        let Some(text) = files::read_text_up_to(path, MOST_BYTES)? else {
            return Err(refused(format!("it holds more than {} MiB", MOST_BYTES >> 20)));
        };
        let recording = Self::parse(&text).map_err(refused)?;
        recording.expect_sound().map_err(refused)?;
        Ok(recording)
    }

    /// Looks at the form first, because another form has other keys.
    fn parse(text: &str) -> Result<Recording, String> {
        let object = seal::opened(text)?;
        match object.get("schema").and_then(|s| s.as_str()) {
            Some(super::SCHEMA) => {}
            Some(other) => {
                let other = crate::base::text::visible(other, crate::base::text::CELL);
                return Err(format!("its form is {other}, and this program reads {}", super::SCHEMA));
            }
            None => return Err("it does not say its form (schema)".to_string()),
        }
        serde_json::from_value(object.into()).map_err(|e| e.to_string())
    }
}

/// Kernels are shared in memory and written out whole in a file.
pub(super) mod shared {
    use crate::device::Shader;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;

    pub fn serialize<S: Serializer>(list: &[Arc<Shader>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(Arc::as_ref))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(d: D) -> Result<Vec<Arc<Shader>>, D::Error> {
        Ok(Vec::<Shader>::deserialize(d)?.into_iter().map(Arc::new).collect())
    }
}

/// Bytes as hex digits.
pub(super) mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| D::Error::custom("parameters are not pairs of hex digits"))
    }
}
