//! A page that trains in a browser.

use crate::base::plot::escape;
use crate::base::text::base64;
use crate::base::{Error, Result};
use crate::study::Portable;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const STYLE: &str = concat!(include_str!("../../study/report/style.css"), include_str!("web/train.css"));
const SCRIPT: &str = concat!(include_str!("web/replay.js"), include_str!("web/train.js"), include_str!("web/page.js"));

/// The page that trains by `run`: one HTML file that needs no other and asks nothing of a network.
pub fn page(run: &Portable) -> Result<String> {
    let about = serde_json::to_vec(run).map_err(|e| Error::Failed(format!("cannot write the page: {e}")))?;
    let parts = [
        ("/*title*/", escape(&format!("Training in this browser: {}", run.name))),
        ("/*style*/", STYLE.to_string()),
        ("/*portable*/", packed(&about)?),
        ("/*bytes*/", packed(&run.bytes)?),
        ("/*script*/", SCRIPT.to_string()),
    ];
    // The parts are put in one after the other, each where the one before ended, so that no part is searched.
    let (mut page, mut rest) = (String::new(), include_str!("web/train.html"));
    for (place, part) in parts {
        let Some((before, after)) = rest.split_once(place) else {
            return Err(Error::Failed(format!("the page has no place for {place}")));
        };
        page = page + before + &part;
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
