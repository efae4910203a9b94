//! The report's HTML, a function per section, from top to bottom.

use super::read::{NoiseLevel, Run, Series, Study, distinct};
use super::words::{base64, date, duration, signed};
use crate::base::Result;
use crate::base::plot::{Line, Plot, Point, colour, escape};
use crate::noise::NoiseKind;
use crate::ssl;
use crate::study::results::CellResult;
use crate::study::statistics::{Summary, mean};
use std::collections::HashSet;

/// The whole page.
pub(super) fn page(study: &Study) -> Result<String> {
    let title = escape(&study.config.name);
    let body = [
        summary(study)?,
        accuracy(study)?,
        gains(study),
        memorisation(study)?,
        pictures(study),
        results(study),
        config(study),
    ]
    .concat();
    let style = include_str!("style.css");
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    ))
}

/// What was run, where and when, and what came out, in words.
fn summary(study: &Study) -> Result<String> {
    let results = || study.runs.iter().map(|r| &r.result);
    let (done, planned) = (study.runs.len(), study.planned);
    let adapters = distinct(results().map(|r| r.adapter.as_str())).join(", ");
    let seeds = results().map(|r| r.seed).collect::<HashSet<_>>().len();
    let tile = |value: &str, label: &str| {
        format!("<div class=\"card tile\"><b>{}</b><span>{label}</span></div>\n", escape(value))
    };
    let unfinished = match planned - done - study.left_out.len().min(planned - done) {
        0 => String::new(),
        left => format!("<p><b>{left} cells are not finished yet</b>: this page shows what there is.</p>\n"),
    };
    let left_out = match study.left_out.len() {
        1 => "One cell is left out of every number here".to_string(),
        n => format!("{n} cells are left out of every number here"),
    };
    let damaged = told(&left_out, &study.left_out) + &told("Damaged and not shown", &study.not_shown);
    let damaged =
        damaged + &told("Collapsed in pretraining, so that nothing else can be concluded of it", &collapsed(study));
    Ok(format!(
        "<p class=\"soft\">Self-supervised pretraining against label noise: {done} of {planned} cells, last finished {}. \
         Training labels were made wrong on purpose; test labels are clean.</p>\n{unfinished}{damaged}\
         <div class=\"tiles\">\n{}{}{}{}{}</div>\n<p>{}{}</p>\n",
        date(study.finished),
        tile(&study.datasets.len().to_string(), if study.datasets.len() == 1 { "dataset" } else { "datasets" }),
        tile(&seeds.to_string(), if seeds == 1 { "repeat (seed)" } else { "repeats (seeds)" }),
        tile(&study.config.model.to_string(), "backbone"),
        tile(&duration(results().map(|r| r.seconds).sum()), "of training"),
        tile(&adapters, "adapter"),
        headline(study),
        own_backbones(study)?,
    ))
}

/// A sentence for each pretraining whose backbone is not the config's: what it gains is not the pretraining's alone.
fn own_backbones(study: &Study) -> Result<String> {
    let config = &study.config;
    let mut said = String::new();
    for name in config.pretraining.methods.iter().filter(|name| *name != ssl::NONE) {
        let model = config.model_of(name)?;
        if model != config.model {
            let (name, model, other) = (escape(name), escape(&model.to_string()), escape(&config.model.to_string()));
            said += &format!(
                " <b>{name} has a backbone of its own</b>, {model}, and is compared with random weights of {other}: the \
                 difference is not that of pretraining alone."
            );
        }
    }
    Ok(said)
}

/// A sentence for each pretraining that ended with nearly the same features for every image.
fn collapsed(study: &Study) -> Vec<String> {
    let results = study.runs.iter().map(|r| &r.result).filter(|r| r.pretraining_collapsed == Some(true));
    let one = |r: &CellResult| format!("{} on {}, seed {}", plain_name(&r.pretraining), r.dataset, r.seed);
    distinct(results.map(one))
}

/// Sentences under a heading; nothing of none.
fn told(heading: &str, sentences: &[String]) -> String {
    let list: String = sentences.iter().map(|d| format!("<li>{}</li>\n", escape(d))).collect();
    if list.is_empty() { list } else { format!("<p><b>{heading}</b>:</p>\n<ul>\n{list}</ul>\n") }
}

/// A sentence for each pretraining: its gain over random weights on clean and on the noisiest labels.
fn headline(study: &Study) -> String {
    let mut sentences = Vec::new();
    for (series, kind) in pretrained(study) {
        let levels = study.levels(&kind);
        let mean_gain = |level: &NoiseLevel| {
            let s = Summary::of(&dataset_gains(study, level, &series));
            let ci = s.ci95.map(|ci| format!(" ± {ci:.1}")).unwrap_or_default();
            (s.n > 0).then(|| format!("{}{ci} points with {}", signed(s.mean), level.words()))
        };
        let ends = if levels.len() > 1 { vec![&levels[0], &levels[levels.len() - 1]] } else { levels.iter().collect() };
        let parts: Vec<String> = ends.into_iter().filter_map(mean_gain).collect();
        if !parts.is_empty() {
            let name = escape(&name(study, &series));
            sentences
                .push(format!("Against random weights, {name} changes test accuracy by {}.", parts.join(" and by ")));
        }
    }
    if sentences.is_empty() {
        return String::new();
    }
    let interval = if study.datasets.len() > 1 {
        ", ± half their 95 % confidence interval: one that holds zero says little"
    } else {
        ""
    };
    format!("{} These are means over datasets{interval}.", sentences.join(" "))
}

/// The mean gain of each dataset: datasets, not repeats, are what an interval over datasets is over.
fn dataset_gains(study: &Study, level: &NoiseLevel, series: &Series) -> Vec<f64> {
    let all = study.datasets.iter().map(|(d, _)| study.gains(d, level, series));
    all.filter(|g| !g.is_empty()).map(|g| mean(&g)).collect()
}

/// A sentence for each kind of noise: what it does, and at which rate its labels are worth nothing.
fn kinds_in_words(study: &Study) -> Result<String> {
    let mut classes = distinct(study.runs.iter().map(|r| r.result.classes));
    classes.sort_unstable();
    let mut words = String::new();
    // The runs may be another program's, which knows other kinds.
    for kind in study.kinds().iter().filter_map(|name| name.parse::<NoiseKind>().ok()) {
        let made = kind.make(&study.config.noise.of(kind))?;
        let rate = |k: &usize| made.no_signal(*k).map(|r| format!("{:.1} % ({k} classes)", r * 100.0));
        let rates: Vec<String> = classes.iter().filter_map(rate).collect();
        let nothing = match rates.len() {
            0 => String::new(),
            _ => format!("; they say nothing about the truth at {}", rates.join(", ")),
        };
        words += &format!(" Wrong labels of the kind {kind}: {}{nothing}.", escape(kind.about()));
    }
    Ok(words)
}

fn accuracy(study: &Study) -> Result<String> {
    let repeated = study.config.seeds.len() > 1;
    let bars = if repeated { " Bars show one standard deviation over the repeats." } else { "" };
    let mut figures = String::new();
    for kind in study.kinds() {
        for (dataset, _) in &study.datasets {
            let lines = lines(study, true, &|s| study.accuracy_line(dataset, &kind, s));
            let x_label =
                if kind == "none" { "wrong labels, %".to_string() } else { format!("wrong labels ({kind}), %") };
            figures += &figure(dataset, "test accuracy", x_label, lines)?;
        }
    }
    Ok(format!(
        "<h2>Accuracy against label noise</h2>\n<p class=\"soft\">Accuracy on clean test images after the last epoch.\
         {bars}{}</p>\n{}<div class=\"plots\">\n{figures}</div>\n",
        kinds_in_words(study)?,
        legend(study)
    ))
}

fn memorisation(study: &Study) -> Result<String> {
    let (mut figures, mut said) = (String::new(), Vec::new());
    for kind in study.kinds() {
        let Some(level) = study.levels(&kind).pop().filter(|l| l.rate > 0.0) else { continue };
        for (dataset, _) in &study.datasets {
            let lines = lines(study, false, &|s| study.memorisation_line(dataset, &level, s));
            if lines.iter().any(|l| !l.points.is_empty()) {
                figures += &figure(dataset, "memorised", "epoch".to_string(), lines)?;
            }
        }
        said.push(level.words());
    }
    if figures.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "<h2>Memorisation of wrong labels</h2>\n<p class=\"soft\">Of the training images whose given label is wrong, the \
         share that the network takes for that wrong label, epoch by epoch ({}). Lower is better: a network that \
         learns the images and not the mistakes stays low.</p>\n{}<div class=\"plots\">\n{figures}</div>\n",
        escape(&said.join(", ")),
        legend(study)
    ))
}

/// A line for each series, in its colour.
fn lines(study: &Study, dots: bool, points: &dyn Fn(&Series) -> Vec<Point>) -> Vec<Line> {
    let line = |(i, s): (usize, &Series)| Line { colour: i, points: points(s), dots };
    study.series().iter().enumerate().map(line).collect()
}

/// A card with a plot.
fn figure(dataset: &str, y_label: &str, x_label: String, lines: Vec<Line>) -> Result<String> {
    let plot = Plot { title: format!("{dataset}: {y_label} against {x_label}"), x_label, lines };
    Ok(format!(
        "<figure class=\"card\"><h3>{} <span>{y_label}</span></h3>\n{}</figure>\n",
        escape(dataset),
        plot.svg()?
    ))
}

fn legend(study: &Study) -> String {
    let entry = |(i, s): (usize, &Series)| {
        format!("<li><i style=\"background:{}\"></i>{}</li>\n", colour(i), escape(&name(study, s)))
    };
    let entries: String = study.series().iter().enumerate().map(entry).collect();
    format!("<ul class=\"legend\">\n{entries}</ul>\n")
}

/// A table for each pretraining: a row per dataset, a column per noise rate.
fn gains(study: &Study) -> String {
    let mut tables = String::new();
    for (series, kind) in pretrained(study) {
        let levels = study.levels(&kind);
        let head: String = levels.iter().map(|l| format!("<th>{}</th>", escape(&l.words()))).collect();
        let row = |class: &str, label: &str, gains: &dyn Fn(&NoiseLevel) -> Vec<f64>| {
            let values: String = levels.iter().map(|l| gain(&gains(l))).collect();
            format!("<tr{class}><td class=\"words\">{}</td>{values}</tr>\n", escape(label))
        };
        let sets = &study.datasets;
        let mut rows: String = sets.iter().map(|(d, _)| row("", d, &|l| study.gains(d, l, &series))).collect();
        if sets.len() > 1 {
            rows += &row(" class=\"total\"", "mean over datasets", &|l| dataset_gains(study, l, &series));
        }
        tables += &format!(
            "<div class=\"card scroll\"><table>\n<thead><tr><th class=\"words\">{}</th>{head}</tr></thead>\n<tbody>\n\
             {rows}</tbody>\n</table></div>\n",
            escape(&name(study, &series))
        );
    }
    if tables.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Gain over random weights</h2>\n<p class=\"soft\">Points of test accuracy, compared seed by seed. After ± \
         stands half the 95 % confidence interval of the mean (Student's t) where there are two values or more: over \
         repeats, and over datasets in the last row. A gain is coloured where the interval leaves out zero.</p>\n{tables}"
    )
}

/// A gain's table cell.
fn gain(values: &[f64]) -> String {
    if values.is_empty() {
        return "<td>–</td>".to_string();
    }
    let s = Summary::of(values);
    let class = match s.ci95 {
        Some(ci) if s.mean - ci > 0.0 => " class=\"good\"",
        Some(ci) if s.mean + ci < 0.0 => " class=\"bad\"",
        _ => "",
    };
    let ci = s.ci95.map(|ci| format!(" ± {ci:.1}")).unwrap_or_default();
    format!("<td{class}>{}{ci}</td>", signed(s.mean))
}

fn pictures(study: &Study) -> String {
    let mut sets = String::new();
    for (dataset, pictures) in study.datasets.iter().filter(|(_, p)| !p.is_empty()) {
        let mut strip = String::new();
        for p in pictures {
            let (given, clean) = (escape(&p.given), escape(&p.clean));
            let (class, was) = match p.given == p.clean {
                true => ("", String::new()),
                false => (" class=\"wrong\"", format!("<br><b>wrong</b>: is {clean}")),
            };
            let image = base64(&p.png);
            strip += &format!(
                "<figure{class}><img alt=\"{clean}\" src=\"data:image/png;base64,{image}\">{given}{was}</figure>\n"
            );
        }
        sets +=
            &format!("<div class=\"card\"><h3>{}</h3><div class=\"strip\">\n{strip}</div></div>\n", escape(dataset));
    }
    if sets.is_empty() {
        return String::new();
    }
    format!(
        "<h2>What the network is given</h2>\n<p class=\"soft\">Training images with the labels they are trained on; a red \
         frame marks a label made wrong.</p>\n<div class=\"sets\">\n{sets}</div>\n"
    )
}

/// A measure of the results table: its heading and its value, where a run has it.
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

/// A row for each cell, its repeats taken together.
fn results(study: &Study) -> String {
    let measured = |(_, value): &Measure| study.runs.iter().any(|r| value(&r.result).is_some());
    let measures: Vec<Measure> = MEASURES.into_iter().filter(measured).collect();
    let head: String =
        ["dataset", "weights", "protocol", "noise"].map(|w| format!("<th class=\"words\">{w}</th>")).concat()
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
                    rows += &result_row(class, &name(study, &series), &repeats, &measures);
                    class = "";
                }
            }
        }
    }
    format!(
        "<h2>Results</h2>\n<p class=\"soft\">In percent, on clean test images after the last epoch; mean ± standard \
         deviation where a cell was repeated. “Neighbours” is the accuracy of a vote of each test image's {} nearest \
         training images by the backbone's features, with their true labels; \
         in “weighted neighbours” a vote weighs exp(cosine / {}). “Best epoch” is test accuracy after the epoch of the best validation \
         accuracy, “best of any” the best of all epochs, “last five” its mean over the last five; “both networks” is that of the mean of two softmaxes. The protocol “finetune” trains the whole network; “linear” and “knn” leave \
         the weights as they are, and learn from the given labels alone. Each single run is a row of results.csv.</p>\n\
         <div class=\"card scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        study.config.evaluation.knn_neighbours, study.config.evaluation.knn_temperature
    )
}

fn result_row(class: &str, weights: &str, repeats: &[&Run], measures: &[Measure]) -> String {
    let r = &repeats[0].result;
    let words = [r.dataset.as_str(), weights, r.protocol.name(), &r.noise_kind]
        .map(|w| format!("<td class=\"words\">{}</td>", escape(w)));
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
    let (words, wrong, n) = (words.concat(), mean(&wrong), repeats.len());
    format!("<tr{class}>{words}<td>{wrong:.1}</td><td>{n}</td>{values}</tr>\n")
}

/// The sizes of the datasets, and the config.
fn config(study: &Study) -> String {
    let head = ["classes", "training", "validation", "test", "left out of training, being test images"];
    let mut rows = String::new();
    for (dataset, _) in &study.datasets {
        if let Some(r) = study.runs.iter().map(|r| &r.result).find(|r| r.dataset == *dataset) {
            let sizes = [r.classes, r.train_images, r.val_images, r.test_images, r.dropped_duplicates];
            let sizes = sizes.map(|n| format!("<td>{n}</td>")).concat();
            rows += &format!("<tr><td class=\"words\">{}</td>{sizes}</tr>\n", escape(dataset));
        }
    }
    format!(
        "<h2>How it was made</h2>\n<p class=\"soft\">Images of each dataset, and every setting. wgslab {}.</p>\n\
         <div class=\"card scroll\"><table>\n<thead><tr><th class=\"words\">dataset</th>{}</tr></thead>\n<tbody>\n\
         {rows}</tbody>\n</table></div>\n<details class=\"card\"><summary>The resolved config</summary><pre>{}</pre>\
         </details>\n",
        env!("CARGO_PKG_VERSION"),
        head.map(|h| format!("<th>{h}</th>")).concat(),
        escape(&study.config_text)
    )
}

/// Every series that is not random weights, with every noise kind.
fn pretrained(study: &Study) -> Vec<(Series, String)> {
    let pretrained = study.series().into_iter().filter(|s| s.pretraining != "none");
    pretrained.flat_map(|s| study.kinds().into_iter().map(move |k| (s.clone(), k))).collect()
}

/// A series in words; the method only where there are several.
fn name(study: &Study, series: &Series) -> String {
    let several = study.series().iter().any(|s| s.method != series.method);
    let method = if several { format!(", {}", series.method.replace('_', " ")) } else { String::new() };
    format!("{}{method}", plain_name(&series.pretraining))
}

fn plain_name(pretraining: &str) -> &str {
    match pretraining {
        ssl::NONE => "random weights",
        // A report may be of a version that knew other methods.
        name => ssl::method(name).map_or(name, |entry| entry.title()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_their_usual_names() {
        assert_eq!(["none", "simclr", "moco", "gone"].map(plain_name), ["random weights", "SimCLR", "MoCo v2", "gone"]);
    }

    #[test]
    fn a_gain_is_coloured_where_its_interval_leaves_out_zero() {
        assert_eq!(gain(&[2.0, 2.1, 2.2]), "<td class=\"good\">+2.1 ± 0.2</td>");
        assert_eq!(gain(&[-2.0, -2.1, -2.2]), "<td class=\"bad\">−2.1 ± 0.2</td>");
        assert_eq!(gain(&[2.0]), "<td>+2.0</td>");
        assert_eq!(gain(&[]), "<td>–</td>");
    }
}
