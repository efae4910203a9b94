//! The report's tables: the gains of pretraining, and every result.

use super::names;
use super::page::pretrained;
use super::panels::name;
use super::read::{NoiseLevel, Run, Study, distinct};
use super::words::spread;
use crate::base::plot::escape;
use crate::study::config::ValidationLabels;
use crate::study::results::CellResult;
use crate::study::statistics::{Summary, mean};

/// A table of the gains of each pretraining: a row for each dataset, a column for each noise level.
pub(super) fn gains(study: &Study) -> String {
    let levels = distinct(study.kinds().iter().flat_map(|k| study.levels(k)));
    let several = study.datasets.len() > 1;
    let mut rows = String::new();
    for series in pretrained(study) {
        let of = name(study, &series);
        let row = |class: &str, dataset: &str, gains: &dyn Fn(&NoiseLevel) -> Vec<f64>| {
            let values: String = levels.iter().map(|l| gain(&gains(l))).collect();
            let words = [of.as_str(), dataset].map(|w| format!("<td class=\"words\">{}</td>", escape(w)));
            format!("<tr{class}>{}{values}</tr>\n", words.concat())
        };
        for (i, (dataset, _)) in study.datasets.iter().enumerate() {
            let class = if i == 0 && several { " class=\"group\"" } else { "" };
            rows += &row(class, dataset, &|l| study.gains(dataset, l, &series));
        }
        if several {
            rows += &row(" class=\"total\"", "mean over datasets", &|l| study.dataset_gains(l, &series));
        }
    }
    if rows.is_empty() {
        return rows;
    }
    let head: String =
        levels.iter().map(|l| format!("<th>{}</th>", escape(&l.words()).replacen(" % ", " %<br>", 1))).collect();
    format!(
        "<h2>Gain over random weights</h2>\n<p class=\"soft\">Points of test accuracy, compared seed by seed. After ± stands half \
         the 95 % confidence interval of the mean (Student's t), where there are two values or more that differ. In a row of one dataset \
         it is over repeats, in a row of their mean over datasets; their number stands beside it. A gain is coloured where the \
         interval of three values or more leaves out zero.</p>\n\
         <div class=\"card scroll\"><table>\n<thead><tr><th class=\"words\">pretraining</th><th class=\"words\">dataset</th>{head}\
         </tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// A table cell with a gain.
fn gain(values: &[f64]) -> String {
    if values.is_empty() {
        return "<td>–</td>".to_string();
    }
    let s = Summary::of(values);
    // Two values that happen to be close have a narrow interval by chance, and equal ones do not say how they vary.
    let class = match s.ci95.filter(|ci| s.n >= 3 && *ci > 0.0) {
        Some(ci) if s.mean - ci > 0.0 => " class=\"good\"",
        Some(ci) if s.mean + ci < 0.0 => " class=\"bad\"",
        _ => "",
    };
    format!("<td{class}>{} <small>n={}</small></td>", spread(values), s.n)
}

/// A measure of the results table: its heading, and its value if a run has it.
type Measure = (&'static str, fn(&CellResult) -> Option<f64>);

const MEASURES: [Measure; 13] = [
    ("test accuracy", |r| Some(r.test_accuracy)),
    ("balanced accuracy", |r| Some(r.balanced_accuracy)),
    ("macro F1", |r| Some(r.macro_f1)),
    ("AUROC", |r| r.auroc),
    ("MCC", |r| r.mcc),
    ("calibration error", |r| r.ece),
    ("neighbours", |r| r.knn_accuracy),
    ("weighted neighbours", |r| r.knn_weighted_accuracy),
    ("best epoch", |r| r.best_val_test_accuracy),
    ("best of any", |r| r.best_test_accuracy),
    ("last five", |r| r.last5_test_accuracy),
    ("both networks", |r| r.ensemble_test_accuracy),
    ("memorised", |r| r.memorised_fraction),
];

/// A column of words before the numbers: its heading and its words.
type Words = (&'static str, fn(&CellResult) -> String);

const WORDS: [Words; 8] = [
    ("dataset", |r| r.dataset.clone()),
    (BACKBONE, |r| r.backbone.clone()),
    ("pretraining", |r| names::pretraining(&r.pretraining).to_string()),
    ("protocol", |r| r.protocol.name().to_string()),
    ("method", |r| names::method_of(r).unwrap_or("–").to_string()),
    (TOLD, |r| r.method_told.clone()),
    ("noise", |r| names::noise(&r.noise_kind)),
    (VALIDATION, |r| if r.validation_labels == ValidationLabels::Noisy { "noisy" } else { "" }.to_string()),
];

/// A column that stands only where there are several.
const BACKBONE: &str = "backbone";

/// Columns that stand only where a row has something to say in them.
const TOLD: &str = "told";
const VALIDATION: &str = "validation labels";

/// A row for each cell, its repeats taken together.
pub(super) fn results(study: &Study) -> String {
    let backbones = distinct(study.runs.iter().map(|r| &r.result.backbone)).len();
    let worded = |(heading, words): &Words| {
        (*heading != BACKBONE || backbones > 1)
            && (![TOLD, VALIDATION].contains(heading) || study.runs.iter().any(|r| !words(&r.result).is_empty()))
    };
    let words: Vec<Words> = WORDS.into_iter().filter(worded).collect();
    let measured = |(_, value): &Measure| study.runs.iter().any(|r| value(&r.result).is_some());
    let measures: Vec<Measure> = MEASURES.into_iter().filter(measured).collect();
    let head: String = words.iter().map(|(w, _)| format!("<th class=\"words\">{w}</th>")).collect::<String>()
        + "<th>wrong<br>labels</th><th>repeats</th>"
        + &measures.iter().map(|(n, _)| format!("<th>{}</th>", n.replace(' ', "<br>"))).collect::<String>();
    let mut rows = String::new();
    for (dataset, _) in &study.datasets {
        let mut class = " class=\"group\"";
        let levels = distinct(study.kinds().iter().flat_map(|k| study.levels(k)));
        for level in &levels {
            for series in study.series() {
                let repeats = study.repeats(dataset, level, &series);
                if !repeats.is_empty() {
                    rows += &result_row(class, &words, &repeats, &measures);
                    class = "";
                }
            }
        }
    }
    let told = match words.iter().any(|(heading, _)| *heading == TOLD) {
        true => "<li>“Told” is what a method was told of the noise. Of labels from elsewhere nobody knows it.</li>\n",
        false => "",
    };
    format!(
        "<h2>Results</h2>\n<p class=\"soft\">All numbers are in percent (AUROC, MCC and calibration error are times 100), on clean test images after the last epoch. After ± stands the standard \
         deviation where a cell was repeated. Each single run is a row of results.csv.</p>\n<ul class=\"soft\">\n\
         <li>The protocol “finetune” trains the whole network. “Linear” and “knn” leave the weights as they are, and learn from the \
         given labels alone.</li>\n{told}\
         <li>“Neighbours” is a vote of each test image's {} nearest training images, by the backbone's features and with true \
         labels. In “weighted neighbours” a vote weighs exp(cosine / {}).</li>\n\
         <li>“Best epoch” is test accuracy after the epoch of the best validation accuracy. “Best of any” is the best of all \
         epochs. “Last five” is the mean of the last five epochs. “Both networks” is the accuracy of the mean of two softmaxes.</li>\n</ul>\n\
         <div class=\"card scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        study.config.evaluation.knn_neighbours, study.config.evaluation.knn_temperature
    )
}

fn result_row(class: &str, words: &[Words], repeats: &[&Run], measures: &[Measure]) -> String {
    let r = &repeats[0].result;
    let words = words.iter().map(|(_, of)| format!("<td class=\"words\">{}</td>", escape(&of(r)))).collect::<String>();
    let wrong: Vec<f64> = repeats.iter().map(|r| r.result.realised_noise_rate * 100.0).collect();
    let value = |(_, of): &Measure| {
        let s = Summary::of(&repeats.iter().filter_map(|r| of(&r.result)).map(|v| v * 100.0).collect::<Vec<_>>());
        match (s.n, s.std) {
            (0, _) => "<td>–</td>".to_string(),
            (_, Some(std)) => format!("<td>{:.1} ± {std:.1}</td>", s.mean),
            _ => format!("<td>{:.1}</td>", s.mean),
        }
    };
    let values: String = measures.iter().map(value).collect();
    let (wrong, n) = (mean(&wrong), repeats.len());
    format!("<tr{class}>{words}<td>{wrong:.1}</td><td>{n}</td>{values}</tr>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_is_coloured_where_its_interval_leaves_out_zero() {
        assert_eq!(gain(&[2.0, 2.1, 2.2]), "<td class=\"good\">+2.1 ± 0.2 <small>n=3</small></td>");
        assert_eq!(gain(&[-2.0, -2.1, -2.2]), "<td class=\"bad\">−2.1 ± 0.2 <small>n=3</small></td>");
        assert_eq!(gain(&[-2.0, 2.1, -2.2]), "<td>−0.7 ± 6.0 <small>n=3</small></td>");
        assert_eq!(gain(&[2.0]), "<td>+2.0 <small>n=1</small></td>");
        assert_eq!(gain(&[2.0, 2.001]), "<td>+2.0 ± 0.0 <small>n=2</small></td>", "two are too few for a colour");
        assert_eq!(gain(&[2.0; 3]), "<td>+2.0 <small>n=3</small></td>", "how equal values vary is not known");
        assert_eq!(gain(&[]), "<td>–</td>");
    }
}
