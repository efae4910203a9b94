//! The report's HTML: a function for each section, from top to bottom.

use super::compared::everywhere;
use super::features::features;
use super::findings::Findings;
use super::gained::gained;
use super::heat::heat;
use super::memorisation::memorisation;
use super::missing::section;
use super::names;
use super::panels::{bars, figures_of, legend, name, wrong_labels};
use super::profile::profile;
use super::questions::questions;
use super::ranks::ranks;
use super::read::{NoiseLevel, Series, Study, distinct};
use super::tables::{gains, results};
use super::words::{date, duration, spread};
use crate::base::Result;
use crate::base::plot::escape;
use crate::base::text::counted;
use crate::noise::NoiseKind;
use crate::ssl;
use crate::study::config::ValidationLabels;
use crate::study::html::{document, picture, tile};
use crate::study::results::CellResult;
use std::collections::HashSet;

/// The whole page.
pub(super) fn page(study: &Study, found: &Findings) -> Result<String> {
    let body = [
        questions(study)?,
        summary(study)?,
        accuracy(study)?,
        heat(study, &found.heats),
        gains(study),
        gained(&found.gained),
        ranks(&found.ranks),
        profile(&found.profile)?,
        features(study),
        memorisation(study)?,
        pictures(study),
        results(study),
        config(study),
    ]
    .concat();
    Ok(document(&study.config.name, &body))
}

/// What it means that validation labels are wrong, too.
const NOISY_VALIDATION: &str = " Validation labels had the same noise as training labels: what is chosen by them (the best epoch, \
    the weight decay of a linear classifier) was chosen by labels that may be wrong.";

/// What was run, where and when, and what came out, in words.
fn summary(study: &Study) -> Result<String> {
    let results = || study.runs.iter().map(|r| &r.result);
    let (done, planned) = (study.runs.len() + study.apart_cells, study.planned);
    let adapters = distinct(results().map(|r| r.adapter.as_str())).join(", ");
    let seeds = results().map(|r| r.seed).collect::<HashSet<_>>().len();
    let unfinished = match study.missing.iter().filter(|m| m.is_unfinished()).count() {
        0 => String::new(),
        1 => "<p><b>One cell is not finished yet</b>: this page shows what there is.</p>\n".to_string(),
        left => format!("<p><b>{left} cells are not finished yet</b>: this page shows what there is.</p>\n"),
    };
    let unfinished = unfinished + &origins(study) + &section(&study.missing);
    let left_out = match study.left_out.len() {
        1 => "One cell is left out of every number here".to_string(),
        n => format!("{n} cells are left out of every number here"),
    };
    let inside = |all: &[String]| all.iter().map(|s| study.told_inside(s)).collect::<Vec<_>>();
    let damaged = told(&left_out, &inside(&study.left_out)) + &told("Damaged and not shown", &inside(&study.not_shown));
    let damaged = damaged + &told("Collapsed in pretraining, so that its other numbers say nothing", &collapsed(study));
    // Labels that people gave were not made wrong on purpose.
    let made = study.kinds().iter().filter_map(|name| name.parse::<NoiseKind>().ok()).any(NoiseKind::has_rate);
    let made = if made { " Training labels were made wrong on purpose." } else { "" };
    let noisy = results().any(|r| r.validation_labels == ValidationLabels::Noisy);
    let validation = if noisy { NOISY_VALIDATION } else { "" };
    Ok(format!(
        "<p class=\"soft\">Self-supervised pretraining against label noise.{made} Test \
         labels are clean.{validation} {done} of {planned} cells are done, the last one on <time>{}</time>.</p>\n{unfinished}{damaged}\
         <div class=\"tiles\">\n{}{}{}{}{}</div>\n{}{}\n",
        date(study.finished),
        tile(&study.datasets.len().to_string(), if study.datasets.len() == 1 { "dataset" } else { "datasets" }),
        tile(&seeds.to_string(), if seeds == 1 { "repeat (seed)" } else { "repeats (seeds)" }),
        backbones(study),
        tile(&duration(results().map(|r| r.seconds).sum()), "of training"),
        tile(&adapters, "adapter"),
        headline(study),
        own_backbones(study),
    ))
}

/// What ran the cells, where that is not the same for all: part of a difference of two cells may be its.
fn origins(study: &Study) -> String {
    let n = counted(study.apart_cells, "cell");
    match (study.apart.is_empty(), study.together) {
        (true, _) => String::new(),
        (false, true) => {
            let mark = "<p data-name=\"together\">Cells that different programs, adapters, drivers, tables of kernels, \
                        edited shaders or settings made are averaged here, as was asked for: part of a difference may be theirs.</p>\n";
            told(
                "Averaged together with the others, though something else ran them or other settings made them",
                &study.apart,
            ) + mark
        }
        (false, false) => told(
            &format!(
                "Not averaged with the others, because something else ran them or other settings made them ({n}, in results.csv alone)"
            ),
            &study.apart,
        ),
    }
}

/// The backbone, or how many there are.
fn backbones(study: &Study) -> String {
    let all = distinct(study.runs.iter().map(|r| &r.result.backbone));
    match all[..] {
        [one] => tile(one, "backbone"),
        _ => tile(&all.len().to_string(), "backbones"),
    }
}

/// A sentence for each pretraining and backbone without random weights of the same backbone, because its gain is not
/// known, and for those that were not run on every backbone.
fn own_backbones(study: &Study) -> String {
    let pairs = distinct(study.runs.iter().map(|r| (&r.result.pretraining, &r.result.backbone)));
    let random: Vec<&String> = pairs.iter().filter(|(p, _)| *p == ssl::NONE).map(|(_, backbone)| *backbone).collect();
    let alone = pairs.iter().filter(|(p, backbone)| *p != ssl::NONE && !random.contains(backbone));
    let alone = alone.filter(|_| !random.is_empty()).map(|(name, backbone)| {
        let (name, backbone) = (escape(names::pretraining(name)), escape(backbone));
        format!(
            "<p><b>{name} has a backbone of its own</b>, {backbone}, and no cell of that backbone has random weights: what it gains \
             is not known.</p>\n"
        )
    });
    let alone: String = alone.collect();
    let some: Vec<String> =
        everywhere(study).1.iter().map(|name| escape(names::pretraining(name))).filter(|_| random.len() > 1).collect();
    match &some[..] {
        [] => alone,
        some => format!(
            "{alone}<p>Not on every backbone, and so left out of the ranks and the performance profile: {}.</p>\n",
            some.join(", ")
        ),
    }
}

/// A sentence for each pretraining that ended with nearly the same features for every image.
fn collapsed(study: &Study) -> Vec<String> {
    let results = study.runs.iter().map(|r| &r.result).filter(|r| r.pretraining_collapsed == Some(true));
    let one = |r: &CellResult| format!("{} on {}, seed {}", names::pretraining(&r.pretraining), r.dataset, r.seed);
    distinct(results.map(one))
}

/// Sentences under a heading; empty if there are none.
pub(super) fn told(heading: &str, sentences: &[String]) -> String {
    let list: String = sentences.iter().map(|d| format!("<li>{}</li>\n", escape(d))).collect();
    if list.is_empty() { list } else { format!("<p><b>{heading}</b>:</p>\n<ul>\n{list}</ul>\n") }
}

/// A line for each pretraining: its gain over random weights on clean labels and on the noisiest labels of each kind.
/// If there are many pretrainings, only the table shows them.
fn headline(study: &Study) -> String {
    let mut lines = String::new();
    let many = pretrained(study).len();
    if many > 5 {
        return format!("<p>A table below shows {many} gains over random weights.</p>\n");
    }
    for series in pretrained(study) {
        let ends = study.kinds().into_iter().flat_map(|kind| {
            let levels = study.levels(&kind);
            [levels.first().cloned(), levels.last().cloned()]
        });
        let gain = |level: &NoiseLevel| {
            let (values, one) = match &study.datasets[..] {
                [(only, _)] => (study.gains(only, level, &series), "repeat"),
                _ => (study.dataset_gains(level, &series), "dataset"),
            };
            let n = counted(values.len(), one);
            (!values.is_empty()).then(|| format!("{} with {} ({n})", spread(&values), level.words()))
        };
        let parts: Vec<String> = distinct(ends.flatten()).iter().filter_map(gain).collect();
        if !parts.is_empty() {
            lines += &format!("<li><b>{}</b>: {}</li>\n", escape(&name(study, &series)), escape(&parts.join(", ")));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    let over = if study.datasets.len() == 1 { "repeats" } else { "datasets" };
    format!(
        "<p>Change of test accuracy against random weights, in points, mean over {over}. After ± stands half the 95 % confidence \
         interval: one that holds zero says little, and a mean of one value nothing of chance.</p>\n<ul>\n{lines}</ul>\n"
    )
}

/// A sentence for each kind of noise: what it does, and at which rate its labels say nothing.
fn kinds_in_words(study: &Study) -> Result<String> {
    let mut classes = distinct(study.runs.iter().map(|r| r.result.classes));
    classes.sort_unstable();
    let mut words = String::new();
    // Another version of the program may have made the runs, with other kinds.
    for kind in study.kinds().iter().filter_map(|name| name.parse::<NoiseKind>().ok()) {
        let made = kind.make(&study.config.noise.of(kind))?;
        let rate = |k: &usize| made.no_signal(*k).map(|r| format!("{:.1} % ({k} classes)", r * 100.0));
        let rates: Vec<String> = classes.iter().filter_map(rate).collect();
        let nothing = match rates.len() {
            0 => String::new(),
            _ => format!(". They say nothing about the truth at {}", rates.join(", ")),
        };
        let name = names::noise(kind.name());
        words += &format!(" Wrong labels of the kind {name}: {}{nothing}.", escape(kind.about()));
    }
    Ok(words)
}

fn accuracy(study: &Study) -> Result<String> {
    let bars = bars(study);
    let mut figures = String::new();
    for kind in study.kinds() {
        for (dataset, _) in &study.datasets {
            let points = |s: &Series| study.line(dataset, &kind, s, |r| Some(r.test_accuracy));
            figures += &figures_of(study, (dataset, "test accuracy"), (&wrong_labels(&kind), ""), true, &points)?;
        }
    }
    let told = distinct(
        study
            .runs
            .iter()
            .map(|r| &r.result)
            .filter(|r| !r.method_told.is_empty())
            .map(|r| format!("The method {} was told the {}", names::method(&r.method), r.method_told)),
    );
    let told: String = told.iter().map(|what| format!(" {}.", escape(what))).collect();
    Ok(format!(
        "<h2>Accuracy against label noise</h2>\n<p class=\"soft\">Accuracy on clean test images after the last epoch.\
         {bars}{}{told}</p>\n{}<div class=\"plots\">\n{figures}</div>\n",
        kinds_in_words(study)?,
        legend(study)
    ))
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
            let image = picture(&p.png, &p.clean);
            strip += &format!("<figure{class}>{image}{given}{was}</figure>\n");
        }
        sets +=
            &format!("<div class=\"card\"><h3>{}</h3><div class=\"strip\">\n{strip}</div></div>\n", escape(dataset));
    }
    if sets.is_empty() {
        return String::new();
    }
    format!(
        "<h2>What the network is given</h2>\n<p class=\"soft\">Training images with the labels they are trained on; a red \
         frame marks a wrong label.</p>\n<div class=\"sets\">\n{sets}</div>\n"
    )
}

/// The sizes of the datasets, and the config.
fn config(study: &Study) -> String {
    let head = [
        "classes",
        "training",
        "validation",
        "test",
        "left out of training, being test images",
        "files left out, not decoded",
    ];
    let mut rows = String::new();
    for (dataset, _) in &study.datasets {
        if let Some(r) = study.runs.iter().map(|r| &r.result).find(|r| r.dataset == *dataset) {
            let sizes = [r.classes, r.train_images, r.val_images, r.test_images, r.dropped_duplicates];
            let unread = r.left_out_files.map_or("–".to_string(), |n| n.to_string());
            let sizes = sizes.map(|n| format!("<td>{n}</td>")).concat() + &format!("<td>{unread}</td>");
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

/// Every series except random weights.
pub(super) fn pretrained(study: &Study) -> Vec<Series> {
    study.series().into_iter().filter(|s| s.pretraining != ssl::NONE).collect()
}
