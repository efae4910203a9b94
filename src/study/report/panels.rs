//! The report's plots with a line for each series: what stands in one plot, in which style, and what the legend calls it.

use super::names;
use super::read::{Series, Study, distinct};
use crate::base::Result;
use crate::base::plot::{Line, Plot, Point, escape, key};

/// The most lines of a plot that a reader can tell apart. If there are more, and several methods, each method has plots of its own.
const MOST: usize = 6;

/// The series of a plot, and the method of all of them if the others are in other plots.
fn panels(study: &Study) -> Vec<(Option<String>, Vec<Series>)> {
    let all = study.series();
    let methods = distinct(all.iter().map(|s| s.method.clone()));
    if all.len() <= MOST || methods.len() < 2 {
        return vec![(None, all)];
    }
    let of = |method: &String| all.iter().filter(|s| s.method == *method).cloned().collect();
    methods.iter().map(|method| (Some(method.clone()), of(method))).collect()
}

/// A series as a style and the legend know it: without the method, if each method has plots of its own.
fn styled(series: &Series, apart: bool) -> Series {
    let method = if apart { String::new() } else { series.method.clone() };
    Series { method, ..series.clone() }
}

/// What the styles stand for, in the order of the legend.
fn styles(study: &Study) -> Vec<Series> {
    let apart = panels(study).len() > 1;
    distinct(study.series().iter().map(|s| styled(s, apart)))
}

/// Cards with the plots of a number of a dataset. Under the axes' names stands `under`, which says of which runs it is. A plot
/// without a point is left out.
pub(super) fn figures_of(
    study: &Study,
    (dataset, y_label): (&str, &str),
    (x_label, under): (&str, &str),
    dots: bool,
    points: &dyn Fn(&Series) -> Vec<Point>,
) -> Result<String> {
    let (mut figures, styles) = (String::new(), styles(study));
    for (method, series) in panels(study) {
        let own = |s: &Series| styled(s, method.is_some());
        let style = |s: &Series| styles.iter().position(|of| *of == own(s)).unwrap_or(styles.len());
        let line = |s: &Series| Line { style: style(s), points: points(s), band: vec![], dots };
        let lines: Vec<Line> = series.iter().map(line).collect();
        if lines.iter().all(|l| l.points.is_empty()) {
            continue;
        }
        let of = method.iter().map(|m| names::method(m)).chain((!under.is_empty()).then_some(under));
        let of: String = of.map(|part| format!(", {part}")).collect();
        let title = format!("{dataset}: {y_label} against {x_label}{of}");
        figures += &format!(
            "<figure class=\"card\"><h3>{} <span>{}</span></h3>\n{}</figure>\n",
            escape(dataset),
            escape(&format!("{y_label}{of}")),
            Plot { title, x_label: x_label.to_string(), lines }.svg()?
        );
    }
    Ok(figures)
}

/// The names of the lines, for all plots of a section.
pub(super) fn legend(study: &Study) -> String {
    let entry = |(i, s): (usize, &Series)| format!("<li>{}{}</li>\n", key(i), escape(&name(study, s)));
    let entries: String = styles(study).iter().enumerate().map(entry).collect();
    format!("<ul class=\"legend\">\n{entries}</ul>\n")
}

/// What the bars of a plot against the noise rate are, where there are some.
pub(super) fn bars(study: &Study) -> &'static str {
    if study.config.seeds.len() > 1 { " Bars show one standard deviation over the repeats." } else { "" }
}

/// The name of the axis of a plot against the noise rate.
pub(super) fn wrong_labels(kind: &str) -> String {
    if kind == "none" { "wrong labels, %".to_string() } else { format!("wrong labels ({}), %", names::noise(kind)) }
}

/// A series in words. The method and the backbone are named only if there are several; a method that is not said, never.
pub(super) fn name(study: &Study, series: &Series) -> String {
    let several = !series.method.is_empty() && study.series().iter().any(|s| s.method != series.method);
    let method = if several { format!(", {}", names::method(&series.method)) } else { String::new() };
    let several = study.series().iter().any(|s| s.backbone != series.backbone);
    let backbone = if several { format!(", {}", series.backbone) } else { String::new() };
    format!("{}{method}{backbone}", names::pretraining(&series.pretraining))
}

#[cfg(test)]
mod tests {
    use super::super::testing::study;
    use super::*;

    /// The figures of one dataset of a study with random weights, two pretrainings and these methods, and the legend.
    fn drawn(methods: &str) -> (String, String) {
        let text = format!(
            "[data]\nspecs = [\"phantom:fetal\"]\n[pretraining]\nmethods = [\"none\", \"simclr\", \"moco\"]\n[noise]\n\
             rates = [0.0, 0.4]\n[training]\nmethods = [{methods}]\n"
        );
        let study = study(&text, &|cell| 0.5 + 0.01 * cell.index as f64);
        let points = |s: &Series| study.line("phantom-fetal", "symmetric", s, |r| Some(r.test_accuracy));
        let of = ("phantom-fetal", "test accuracy");
        (figures_of(&study, of, ("rate", ""), true, &points).unwrap(), legend(&study))
    }

    #[test]
    fn more_lines_than_a_reader_tells_apart_are_in_a_plot_for_each_method() {
        let (one, named) = drawn("\"cross_entropy\", \"elr\"");
        assert_eq!((one.matches("<figure").count(), named.matches("<li>").count()), (1, 6));
        assert!(named.contains("SimCLR, ELR"), "{named}");
        let (three, short) = drawn("\"cross_entropy\", \"elr\", \"gce\"");
        assert_eq!((three.matches("<figure").count(), short.matches("<li>").count()), (3, 3));
        for method in ["Cross-entropy", "ELR", "GCE"] {
            let title = format!("phantom-fetal: test accuracy against rate, {method}");
            assert!(three.contains(&title) && !short.contains(method), "{method}");
        }
        // The lines of each figure have the styles of the legend, in its order.
        for figure in three.split("<figure").skip(1) {
            let figure = figure.to_lowercase();
            let place = |style| figure.find(&crate::base::plot::colour(style).to_lowercase());
            assert!(place(0).is_some() && place(0) < place(1) && place(1) < place(2), "{figure}");
        }
    }

    #[test]
    fn a_plot_without_a_point_is_left_out() {
        let study = study("[data]\nspecs = [\"phantom:fetal\"]\n", &|_| 0.5);
        assert_eq!(figures_of(&study, ("phantom-fetal", "memorised"), ("rate", ""), true, &|_| vec![]).unwrap(), "");
    }
}
