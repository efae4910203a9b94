//! Files that cannot be decoded. A few among many are named and left out; with [`LoadOptions::strict`], or if they are
//! more than a tenth, the data is refused.

use crate::base::hash::Hasher;
use crate::base::text::{NAME, distinct};
use crate::base::{Error, Result};
use crate::data::{DecodedData, LoadOptions, Split};
use serde::{Deserialize, Serialize};
use std::fmt;

/// At most one of this many files may be left out.
const ONE_OF: usize = 10;

/// How many files a note names.
const TOLD: usize = 3;

/// A file that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name in the dataset.
    pub name: String,
    /// The split that it belongs to.
    pub split: Split,
    /// Its class.
    pub label: u32,
    /// Why it cannot be decoded.
    pub reason: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

/// Refuses data of which too many files could not be decoded.
pub(super) fn check(source: &DecodedData, options: &LoadOptions) -> Result<()> {
    let Some(first) = source.unreadable.first() else { return Ok(()) };
    let n = source.unreadable.len();
    let total = n + source.parts.iter().flatten().map(|p| p.images.len()).sum::<usize>();
    let why = match options.strict {
        true => "and data.strict (--strict) allows none",
        false if n * ONE_OF > total => "more than a tenth",
        false => return Ok(()),
    };
    Err(Error::Data(format!(
        "{}: {n} of its {total} images cannot be decoded, {why}; remove or mend them (`wgslab data inspect` lists all); the first is {}",
        source.name,
        shown(first)
    )))
}

/// A note that names the first of them. None if there is none.
pub(super) fn note(all: &[LeftOut]) -> Option<String> {
    let few: Vec<String> = all.iter().take(TOLD).map(shown).collect();
    let images = if all.len() == 1 { "1 image cannot" } else { &format!("{} images cannot", all.len()) };
    let more = all.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more (`wgslab data inspect` lists all)") } else { String::new() };
    let decoded = "be decoded and left out; --strict makes this an error";
    let decoded = decoded.replace("and left", if all.len() == 1 { "and is left" } else { "and are left" });
    (!all.is_empty()).then(|| format!("{images} {decoded}: {}{more}", few.join("; ")))
}

fn shown(file: &LeftOut) -> String {
    format!("{}: {}", distinct(&file.name, NAME), file.reason)
}

/// A content address that also covers what is left out. Without such files it is as it was.
pub(crate) fn covered<'a>(address: String, left_out: impl Iterator<Item = &'a LeftOut>) -> String {
    let mut left_out = left_out.peekable();
    if left_out.peek().is_none() {
        return address;
    }
    let one = |all: Hasher, f: &LeftOut| all.part(f.split.name()).part(&f.name).part(f.label.to_le_bytes());
    left_out.fold(Hasher::new().part("wgslab left out 1").part(address), one).hex()
}
