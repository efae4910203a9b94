//! Pages that a browser opens: recordings with what they need, replayed by plain JavaScript (`web/`).

pub mod bench;
mod browser;
pub mod train;

use crate::base::text::base64;
use crate::base::{Error, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// A page with its parts in their places. The parts are put in one after the other, each where the one before ended, so
/// that no part is searched.
fn assembled(template: &str, parts: &[(&str, &str)]) -> Result<String> {
    let (mut page, mut rest) = (String::new(), template);
    for (place, part) in parts {
        let Some((before, after)) = rest.split_once(place) else {
            return Err(Error::Failed(format!("the page has no place for {place}")));
        };
        page = page + before + part;
        rest = after;
    }
    Ok(page + rest)
}

/// Bytes as base64 of gzip, which browsers unpack by themselves.
fn packed(bytes: &[u8]) -> Result<String> {
    let failed = |e: std::io::Error| Error::Failed(format!("cannot pack the data of the page: {e}"));
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).map_err(failed)?;
    Ok(base64(&packer.finish().map_err(failed)?))
}
