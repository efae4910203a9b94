//! A page that trains in a browser.

use super::browser::{Texts, json};
use super::{assembled, packed};
use crate::base::Result;
use crate::base::plot::escape;
use crate::study::Portable;

const STYLE: &str = concat!(include_str!("../../study/report/style.css"), include_str!("web/train.css"));
const SCRIPT: &str = concat!(
    include_str!("web/replay.js"),
    include_str!("web/rng.js"),
    include_str!("web/train.js"),
    include_str!("web/page.js")
);

/// The page that trains by `run`: one HTML file that needs no other and asks nothing of a network.
pub fn page(run: &Portable) -> Result<String> {
    let (mut about, mut texts) = (json(run)?, Texts::default());
    for (name, recording) in [("step", &run.step), ("views", &run.views), ("eye", &run.eye)] {
        about[name] = texts.shared(recording)?;
    }
    // A GPU is not asked for what only the other recording needs.
    about["limits"] = json(&texts.needs.limits)?;
    if let Some(recording) = &run.step_in_software {
        about["step_in_software"] = texts.shared(recording)?;
        about["limits_in_software"] = json(&texts.needs.limits)?;
    }
    about["kernels"] = texts.kernels()?;
    let parts = [
        ("/*title*/", &*escape(&format!("Training in this browser: {}", run.name))),
        ("/*style*/", STYLE),
        ("/*portable*/", &*packed(about.to_string().as_bytes())?),
        ("/*bytes*/", &*packed(&run.bytes)?),
        ("/*script*/", SCRIPT),
    ];
    assembled(include_str!("web/train.html"), &parts)
}
