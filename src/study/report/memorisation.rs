//! The report's plots of memorisation: what share of the wrong labels a network ends with, and how it comes there.

use super::panels::{bars, figures_of, legend, wrong_labels};
use super::read::{Series, Study};
use crate::base::Result;

/// Plots of the row's `memorised_fraction` against the noise rate, and of each epoch's own count of the noisiest level.
pub(super) fn memorisation(study: &Study) -> Result<String> {
    let (mut ends, mut epochs) = (String::new(), String::new());
    for kind in study.kinds() {
        let Some(level) = study.levels(&kind).pop().filter(|l| !l.is_clean()) else { continue };
        for (dataset, _) in &study.datasets {
            let of_rows = |s: &Series| study.line(dataset, &kind, s, |r| r.memorised_fraction);
            ends += &figures_of(study, (dataset, "memorised"), (&wrong_labels(&kind), ""), true, &of_rows)?;
            let of_epochs = |s: &Series| study.epochs_line(dataset, &level, s);
            let at = ("epoch", &*level.words());
            epochs += &figures_of(study, (dataset, "while training"), at, false, &of_epochs)?;
        }
    }
    let mut page = String::new();
    if !ends.is_empty() {
        page += &format!(
            "<h2>Memorisation of wrong labels</h2>\n<p class=\"soft\">Of the training images with a wrong label, the share that the \
             final network takes for that wrong label: “memorised” in the table of results. Lower is better: such a network \
             learns the images and not the mistakes.{}</p>\n{}<div class=\"plots\">\n{ends}</div>\n",
            bars(study),
            legend(study)
        );
    }
    if !epochs.is_empty() {
        let heading = if ends.is_empty() { "h2" } else { "h3" };
        page += &format!(
            "<{heading} class=\"part\">Wrong labels that training took for right, epoch by epoch</{heading}>\n<p class=\"soft\">The \
             same share as the steps of an epoch count it: of augmented images, by a network that still moves and whose batch \
             norm is in training mode. It says how memorisation grows. Where it ends is not the share above.</p>\n\
             {}<div class=\"plots\">\n{epochs}</div>\n",
            legend(study)
        );
    }
    Ok(page)
}
