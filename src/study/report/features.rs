//! The report's pictures of features: test images projected on the two directions in which a backbone's features vary
//! most.

use super::names;
use super::read::{Features, Study, distinct};
use crate::base::plot::{colour, escape, mark_key, marker};
use crate::study::config::Protocol;
use crate::study::projection::Projection;

/// Side of a picture, and the margin around its points, in the picture's own units.
const SIDE: f32 = 240.0;
const AIR: f32 = 10.0;
/// The size of a marker relative to the markers of lines.
const SMALLER: f32 = 0.55;

/// A picture for each dataset and pretraining, and a sentence if a run kept no picture.
pub(super) fn features(study: &Study) -> String {
    let (mut sets, mut missing) = (String::new(), String::new());
    let several = distinct(study.features.iter().map(|f| &f.result.backbone)).len() > 1;
    let name = |f: &Features| match several {
        true => format!("{}, {}", names::pretraining(&f.result.pretraining), f.result.backbone),
        false => names::pretraining(&f.result.pretraining).to_string(),
    };
    for (dataset, _) in &study.datasets {
        let of_set = || study.features.iter().filter(|f| f.result.dataset == *dataset);
        for f in of_set().filter(|f| f.projection.is_none()) {
            missing += &format!("<li>{} on {}</li>\n", escape(&name(f)), escape(dataset));
        }
        let figures: String = of_set().filter_map(|f| Some(figure((f, &name(f)), f.projection.as_ref()?))).collect();
        let Some(first) = of_set().find_map(|f| f.projection.as_ref()) else { continue };
        let class = |(i, name): (usize, &String)| format!("<li>{}{}</li>\n", mark_key(i + 1), escape(name));
        let classes: String = first.classes.iter().enumerate().map(class).collect();
        let images = match first.points.len() == first.test_images {
            true => format!("{} test images", first.test_images),
            false => format!("{} of {} test images", first.points.len(), first.test_images),
        };
        sets += &format!(
            "<h3>{} <span>{images}</span></h3>\n<ul class=\"legend\">\n{classes}</ul>\n<div class=\"plots\">\n{figures}</div>\n",
            escape(dataset)
        );
    }
    let missing = match missing.is_empty() {
        true => missing,
        false => format!(
            "<p>These runs kept no picture of features; an earlier version made them. To get one, delete the folders of these \
             cells in runs and run the study again:</p>\n<ul>\n{missing}</ul>\n"
        ),
    };
    if sets.is_empty() && missing.is_empty() {
        return sets;
    }
    format!(
        "<h2>Features of the test images</h2>\n<p class=\"soft\">Each mark is a test image, its form and colour the true class. Its \
         place shows the backbone's features on the two directions in which they vary most (principal components). The caption \
         gives the shares of the variance. If classes lie apart, the features distinguish them. Classes that overlap here may \
         still lie apart in other directions.</p>\n{sets}{missing}"
    )
}

/// A card with a picture.
fn figure((of, name): (&Features, &str), projection: &Projection) -> String {
    let r = &of.result;
    let weights = match (r.protocol, r.noise_kind == "none") {
        (Protocol::Finetune, true) => "Trained on clean labels".to_string(),
        (Protocol::Finetune, false) => {
            format!("Trained with {} % {} noise", (r.noise_rate * 1e4).round() / 100.0, names::noise(&r.noise_kind))
        }
        _ => "Not trained on labels".to_string(),
    };
    let percent = projection.shares.map(|s| format!("{:.0} %", s * 100.0));
    let inner = SIDE - 1.0;
    let title = format!("{}: {name}, features of the test images on two directions", r.dataset);
    format!(
        "<figure class=\"card\"><h3>{}</h3>\n<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {SIDE} {SIDE}\">\
         <rect x=\"0.5\" y=\"0.5\" width=\"{inner}\" height=\"{inner}\" fill=\"none\" stroke=\"currentColor\" \
         stroke-opacity=\"0.2\"/>{}</svg>\n\
         <figcaption class=\"soft\">{}. {} of the variance across, {} up</figcaption></figure>\n",
        escape(name),
        escape(&title),
        marks(projection),
        escape(&weights),
        percent[0],
        percent[1]
    )
}

/// The points as one path for each class.
fn marks(projection: &Projection) -> String {
    let along = |i: usize| {
        let values = || projection.points.iter().map(move |p| p[i]);
        let (low, high) = (values().fold(f32::MAX, f32::min), values().fold(f32::MIN, f32::max));
        // If the scores do not vary, the points are in the middle.
        let scale = if high > low { (SIDE - 2.0 * AIR) / (high - low) } else { 0.0 };
        move |v: f32| if scale > 0.0 { AIR + (v - low) * scale } else { SIDE / 2.0 }
    };
    let (x, y) = (along(0), along(1));
    let mut all = String::new();
    for class in 0..projection.classes.len() {
        let of_class = projection.points.iter().zip(&projection.labels).filter(|(_, l)| **l as usize == class);
        let path: String = of_class.map(|(p, _)| mark(class + 1, x(p[0]), SIDE - y(p[1]))).collect();
        if !path.is_empty() {
            let colour = colour(class + 1);
            all += &format!("<path fill=\"{colour}\" fill-opacity=\"0.8\" d=\"{path}\"/>");
        }
    }
    all
}

/// The outline of a marker around a point.
fn mark(style: usize, x: f32, y: f32) -> String {
    let corners = marker(style);
    let Some(first) = corners.first() else {
        let (r, left) = (4.0 * SMALLER, x - 4.0 * SMALLER);
        let across = 2.0 * r;
        return format!("M{left:.1} {y:.1}a{r} {r} 0 1 0 {across} 0a{r} {r} 0 1 0 -{across} 0z");
    };
    let at = |c: &(i32, i32)| (c.0 as f32 * SMALLER, c.1 as f32 * SMALLER);
    let (dx, dy) = at(first);
    let mut path = format!("M{:.1} {:.1}l", x + dx, y + dy);
    for pair in corners.windows(2) {
        let (from, to) = (at(&pair[0]), at(&pair[1]));
        path += &format!("{:.1} {:.1} ", to.0 - from.0, to.1 - from.1);
    }
    path.trim_end().to_string() + "z"
}
