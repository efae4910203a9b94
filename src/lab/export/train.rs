//! A page that trains in a browser.

use super::{assembled, packed};
use crate::base::plot::escape;
use crate::base::{Error, Result};
use crate::study::Portable;

const STYLE: &str = concat!(include_str!("../../study/report/style.css"), include_str!("web/train.css"));
const SCRIPT: &str = concat!(include_str!("web/replay.js"), include_str!("web/train.js"), include_str!("web/page.js"));

/// The page that trains by `run`: one HTML file that needs no other and asks nothing of a network.
pub fn page(run: &Portable) -> Result<String> {
    let about = serde_json::to_vec(run).map_err(|e| Error::Failed(format!("cannot write the page: {e}")))?;
    let parts = [
        ("/*title*/", &*escape(&format!("Training in this browser: {}", run.name))),
        ("/*style*/", STYLE),
        ("/*portable*/", &*packed(&about)?),
        ("/*bytes*/", &*packed(&run.bytes)?),
        ("/*script*/", SCRIPT),
    ];
    assembled(include_str!("web/train.html"), &parts)
}
