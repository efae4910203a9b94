//! What each pretraining gains on each dataset, as a heat map.

use super::compared::{Signal, Stratum, gains, pretrainings};
use super::names;
use super::read::{Run, Study};
use super::words::signed;
use crate::base::Result;
use crate::base::plot::escape;
use crate::ssl;
use crate::study::statistics::{Interval, mean, student};

/// Width of the picture in its own coordinates, of the column of names, and the height of a row.
const WIDTH: f64 = 380.0;
const NAMES: f64 = 96.0;
/// Room at the right, over which the name of the last column leans.
const LEAN: f64 = 46.0;
const ROW: f64 = 30.0;
/// Letters of a name that fit before it is cut, at the left and above a column.
const LETTERS: usize = 15;

/// A gain with its interval; none where a dataset has one seed.
pub(super) struct Gain {
    pub pretraining: String,
    pub dataset: String,
    pub mean: f64,
    pub interval: Option<Interval>,
    pub seeds: usize,
}

impl Gain {
    fn of(pretraining: &str, stratum: &Stratum) -> Self {
        let values = stratum.differences();
        Gain {
            pretraining: pretraining.to_string(),
            dataset: stratum.dataset.clone(),
            mean: mean(&values),
            interval: student(&values).ok().map(|e| e.interval),
            seeds: values.len(),
        }
    }

    /// Whether its sign is known. Two values that happen to be close, or equal ones, say nothing.
    fn is_known(&self) -> bool {
        self.seeds >= 3 && self.interval.is_some_and(|i| !i.spans_zero() && i.high > i.low)
    }
}

/// A heat map: of which labels it is, and its gains.
pub(super) struct Heat {
    pub labels: String,
    pub gains: Vec<Gain>,
}

/// A heat map of clean labels and one of each kind of noise.
pub(super) fn heats(study: &Study) -> Result<Vec<Heat>> {
    let signal = Signal::of(study)?;
    let heat = |labels: &str, kept: &dyn Fn(&Run) -> bool| {
        let of = |p: &String| {
            let strata = gains(study, p, ssl::NONE, kept);
            strata.iter().map(|s| Gain::of(p, s)).collect::<Vec<_>>()
        };
        Heat { labels: labels.to_string(), gains: pretrainings(study).iter().flat_map(of).collect() }
    };
    let mut all = vec![heat("clean labels", &|run| run.level.is_clean())];
    for kind in study.kinds() {
        // Labels that people gave are a kind without a rate.
        let has_rate = study.levels(&kind).iter().any(|l| l.kind == kind && l.rate.is_some());
        let labels =
            if has_rate { format!("{} noise", names::noise(&kind)) } else { format!("{} labels", names::noise(&kind)) };
        all.push(heat(&labels, &|run| run.level.kind == kind && signal.noisy(run)));
    }
    all.retain(|h| !h.gains.is_empty());
    Ok(all)
}

/// The section.
pub(super) fn heat(study: &Study, heats: &[Heat]) -> String {
    let most = heats.iter().flat_map(|h| &h.gains).map(|g| g.mean.abs()).fold(1.0, f64::max);
    let figure = |h: &Heat| {
        format!(
            "<figure class=\"card\"><h3>{}</h3>\n{}</figure>\n",
            escape(&h.labels),
            svg(h, &study.datasets.iter().map(|(d, _)| d.as_str()).collect::<Vec<_>>(), most)
        )
    };
    let figures: String = heats.iter().map(figure).collect();
    if figures.is_empty() {
        return figures;
    }
    format!(
        "<h2>Where pretraining helps</h2>\n<p class=\"soft\">Points of test accuracy gained over random weights with the same method, \
         noise, dataset, backbone and seed; of noise, the mean over the levels whose labels still say something of the truth. A gain has a \
         colour, stronger the further it is from 0, where its 95 % interval over seeds (Student's t) leaves out 0. It is grey where \
         the interval spans 0, or where one seed gives none.</p>\n<div class=\"plots\">\n{figures}</div>\n"
    )
}

/// The picture, which stands alone in a file too.
pub(super) fn svg(heat: &Heat, datasets: &[&str], most: f64) -> String {
    let has = |d: &&&str| heat.gains.iter().any(|g| g.dataset == **d);
    let columns: Vec<&str> = datasets.iter().filter(has).copied().collect();
    let mut rows: Vec<&str> = Vec::new();
    heat.gains.iter().for_each(|g| {
        if !rows.contains(&g.pretraining.as_str()) {
            rows.push(&g.pretraining)
        }
    });
    let head = 20.0 + 6.2 * columns.iter().map(|c| cut(c).chars().count()).max().unwrap_or(0) as f64 * 0.72;
    let (column, height) = ((WIDTH - NAMES - LEAN) / columns.len().max(1) as f64, head + ROW * rows.len() as f64);
    let mut body = String::new();
    for (i, name) in columns.iter().enumerate() {
        let (x, y) = (NAMES + column * (i as f64 + 0.5), head - 6.0);
        body += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\" transform=\"rotate(-45 {x:.1} {y:.1})\">{}</text>\n",
            escape(&cut(name))
        );
    }
    for (j, row) in rows.iter().enumerate() {
        let y = head + ROW * j as f64;
        body += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" text-anchor=\"end\">{}</text>\n",
            NAMES - 6.0,
            y + ROW * 0.64,
            escape(&cut(names::pretraining(row)))
        );
        for (i, name) in columns.iter().enumerate() {
            let gain = heat.gains.iter().find(|g| g.pretraining == *row && g.dataset == *name);
            let place = (NAMES + column * i as f64, y, column);
            body += &gain.map_or(String::new(), |g| cell(&heat.labels, g, place, most));
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"Gain over random weights, {}\" viewBox=\"0 0 {WIDTH} \
         {height:.0}\" fill=\"currentColor\" font-family=\"sans-serif\">\n{body}</svg>\n",
        escape(&heat.labels)
    )
}

/// A coloured field with its number.
fn cell(labels: &str, gain: &Gain, (x, y, width): (f64, f64, f64), most: f64) -> String {
    let name = format!("heat.{labels}.{}.{}", gain.pretraining, gain.dataset);
    let (fill, strength) = match gain.is_known() {
        // Blue and orange are told apart with every kind of colour blindness; the sign stands in the number.
        true if gain.mean > 0.0 => ("#2A7BDE", 0.15 + 0.5 * (gain.mean / most).min(1.0)),
        true => ("#E07416", 0.15 + 0.5 * (-gain.mean / most).min(1.0)),
        false => ("#888C96", 0.16),
    };
    let of = |i: Interval| format!(", 95 % interval {} to {}", signed(i.low), signed(i.high));
    let title = format!(
        "{} on {}: {} points{}, {} seeds",
        names::pretraining(&gain.pretraining),
        gain.dataset,
        signed(gain.mean),
        gain.interval.map_or(String::new(), of),
        gain.seeds
    );
    let weight = if gain.is_known() { " font-weight=\"bold\"" } else { "" };
    format!(
        "<g data-name=\"{}\"><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"3\" \
         fill=\"{fill}\" fill-opacity=\"{strength:.2}\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{:.1}\" \
         text-anchor=\"middle\"{weight}>{}</text></g>\n",
        escape(&name),
        escape(&title),
        x + 1.0,
        y + 1.0,
        width - 2.0,
        ROW - 2.0,
        x + width / 2.0,
        y + ROW * 0.64,
        (width / 3.2).min(12.0),
        signed(gain.mean)
    )
}

/// A name short enough for its place.
pub(super) fn cut(name: &str) -> String {
    match name.char_indices().nth(LETTERS) {
        Some((at, _)) if name.chars().count() > LETTERS + 1 => format!("{}…", &name[..at]),
        _ => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Cell;
    use crate::study::report::testing::{study, text, wobble};

    #[test]
    fn a_gain_has_a_colour_where_its_interval_leaves_out_zero() {
        let accuracy = |cell: &Cell| {
            let gain = match (&*cell.pretraining, cell.noise_rate > 0.0) {
                ("moco", true) => 0.2,
                ("rotation", true) => -0.2,
                _ => 0.0,
            };
            0.6 + gain + 0.01 * wobble(cell)
        };
        let drawn = |seeds: &str| heats(&study(&text(seeds), &accuracy)).unwrap();
        let sure = drawn("[0, 1, 2, 3]");
        assert_eq!(sure.iter().map(|h| h.labels.as_str()).collect::<Vec<_>>(), ["clean labels", "symmetric noise"]);
        assert_eq!(sure[1].gains.len(), 15, "three pretrainings on five datasets");
        let fills = |heats: &[Heat], pretraining: &str| -> Vec<&str> {
            let of = heats[1].gains.iter().filter(|g| g.pretraining == pretraining);
            let fill = |g: &Gain| {
                let svg = cell("noise", g, (0.0, 0.0, 40.0), 20.0);
                ["#2A7BDE", "#E07416", "#888C96"].into_iter().find(|c| svg.contains(c)).unwrap()
            };
            of.map(fill).collect()
        };
        assert_eq!((fills(&sure, "moco"), fills(&sure, "rotation")), (vec!["#2A7BDE"; 5], vec!["#E07416"; 5]));
        // Of five intervals that hold 0 by right, one may leave it out by chance.
        assert!(fills(&sure, "simclr").iter().filter(|f| **f == "#888C96").count() >= 4);
        assert_eq!(fills(&drawn("[0]"), "moco"), ["#888C96"; 5], "one seed has no interval");
        let picture = svg(&sure[1], &["phantom-fetal", "phantom-covid"], 20.0);
        assert!(picture.contains("MoCo v2 on phantom-fetal: +") && picture.contains("4 seeds"), "{picture}");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("phantom-nct-crc"), "phantom-nct-crc");
        assert_eq!(cut("a dataset of a long name"), "a dataset of a …");
    }
}
