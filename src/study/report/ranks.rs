//! The critical-difference diagram: mean ranks of pretrainings over datasets, how stable they are, and which are told apart.

use super::compared::{Signal, everywhere, shared};
use super::heat::cut;
use super::names;
use super::read::{Run, Study};
use super::shown::{number, p_value};
use crate::base::Result;
use crate::base::plot::escape;
use crate::ssl;
use crate::study::statistics::{
    ALPHA, Friedman, Interval, TooFew, critical_difference, friedman, groups, mean, nemenyi, pairwise_holm,
    rank_intervals,
};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const WIDTH: f64 = 380.0;
/// Where the axis begins and ends.
const LEFT: f64 = 108.0;
const RIGHT: f64 = 372.0;
const ROW: f64 = 24.0;
/// Where the first row is.
const TOP: f64 = 64.0;

/// Ranks of methods over datasets.
pub(super) struct Ranks {
    /// The methods, by their pretraining, in the order of the columns.
    pub methods: Vec<String>,
    test: Friedman,
    intervals: Vec<Interval>,
    critical: f64,
    /// p of each method against random weights, by Holm over all pairs.
    holm: Vec<Vec<f64>>,
    /// The methods from the best rank on.
    order: Vec<usize>,
    /// Positions in `order` that are not told apart.
    groups: Vec<RangeInclusive<usize>>,
}

impl Ranks {
    /// Ranks of the mean accuracy under noise that says something of the truth, over the seeds, methods and levels that all have.
    pub fn of(study: &Study) -> Result<std::result::Result<Self, TooFew>> {
        let signal = Signal::of(study)?;
        let mut methods = vec![ssl::NONE.to_string()];
        methods.extend(everywhere(study).0);
        let rows: Vec<Vec<f64>> =
            study.datasets.iter().filter_map(|(d, _)| scores(study, &signal, d, &methods)).collect();
        Ok(friedman_of(&rows, methods.len()).map(|test| {
            let k = methods.len();
            let mut order: Vec<usize> = (0..k).collect();
            order.sort_by(|&a, &b| test.ranks[a].total_cmp(&test.ranks[b]));
            let apart = nemenyi(&test.ranks, test.sets);
            // Where the ranks as a whole are not told from chance, no two of them are.
            let all = if test.f_p < ALPHA { groups(&order, &apart) } else { vec![0..=k - 1] };
            Ranks {
                intervals: rank_intervals(&rows, 0),
                critical: critical_difference(k, test.sets),
                holm: pairwise_holm(&test.ranks, test.sets),
                groups: all,
                methods,
                order,
                test,
            }
        }))
    }

    /// (name, mean rank, low, high, p against random weights by Holm), from the best on.
    pub fn rows(&self) -> Vec<(&str, [f64; 4])> {
        let row = |&i: &usize| {
            let (rank, of) = (self.test.ranks[i], self.intervals[i]);
            (self.methods[i].as_str(), [rank, of.low, of.high, self.holm[i][0]])
        };
        self.order.iter().map(row).collect()
    }
}

fn friedman_of(rows: &[Vec<f64>], methods: usize) -> std::result::Result<Friedman, TooFew> {
    // Of no dataset the number of methods is not known from a row, but how many would do is.
    match rows {
        [] => friedman(&[vec![0.0; methods]]).map_err(|few| match few.of {
            "datasets" => TooFew { have: 0, ..few },
            _ => few,
        }),
        rows => friedman(rows),
    }
}

/// The mean accuracy of each method on one dataset, over what all of them have; none where that is nothing.
fn scores(study: &Study, signal: &Signal, dataset: &str, methods: &[String]) -> Option<Vec<f64>> {
    let key = |run: &Run| format!("{}/{}", run.result.seed, shared(run));
    let of = |method: &String| -> BTreeMap<String, f64> {
        let ours = study.runs.iter().filter(|r| signal.noisy(r) && r.result.dataset == dataset);
        ours.filter(|r| r.result.pretraining == *method).map(|r| (key(r), r.result.test_accuracy * 100.0)).collect()
    };
    let all: Vec<BTreeMap<String, f64>> = methods.iter().map(of).collect();
    let common: Vec<&String> = all.first()?.keys().filter(|k| all.iter().all(|m| m.contains_key(*k))).collect();
    let mean_of = |m: &BTreeMap<String, f64>| mean(&common.iter().map(|k| m[*k]).collect::<Vec<_>>());
    (!common.is_empty()).then(|| all.iter().map(mean_of).collect())
}

/// The section.
pub(super) fn ranks(of: &std::result::Result<Ranks, TooFew>) -> String {
    const HEAD: &str = "<h2>Ranks over datasets</h2>\n";
    let ranks = match of {
        // Without a pretraining there is nothing to rank.
        Err(few) if few.of == "methods" && few.have < 2 => return String::new(),
        Err(few) => {
            return format!("{HEAD}<p>There is no critical-difference diagram: {}.</p>\n", escape(&few.to_string()));
        }
        Ok(ranks) => ranks,
    };
    let t = &ranks.test;
    let differ =
        if t.f_p < ALPHA { "The ranks differ by more than chance" } else { "The ranks are not told from chance" };
    let two = |name: &str, v: f64| number(name, v, &format!("{v:.2}"));
    format!(
        "{HEAD}<p>{differ}: Friedman’s χ² {}, {}; Iman and Davenport’s F {}, {}, over {} datasets. Ranks that differ by less than \
         {} (Nemenyi, 95 %) are not told apart.</p>\n<p class=\"soft\">On each dataset the mean accuracy under noise that says \
         something of the truth is ranked, 1 the best. A line is the 95 % interval of a mean rank when the datasets are drawn again. A bar \
         at the right joins ranks that are not told apart. “Holm” is p against random weights, adjusted for all pairs.</p>\n\
         <div class=\"plots\">\n<figure class=\"card\">\n{}</figure>\n</div>\n{}",
        two("ranks.chi_square", t.chi_square),
        p_value("ranks.chi_square_p", t.chi_square_p),
        two("ranks.f", t.f),
        p_value("ranks.f_p", t.f_p),
        t.sets,
        two("ranks.critical_difference", ranks.critical),
        svg(ranks),
        table(ranks)
    )
}

fn table(ranks: &Ranks) -> String {
    let row = |(name, [rank, low, high, holm]): (&str, [f64; 4])| {
        let two = |of: &str, v: f64| number(&format!("ranks.{name}.{of}"), v, &format!("{v:.2}"));
        let holm = if name == ssl::NONE { "–".to_string() } else { p_value(&format!("ranks.{name}.holm"), holm) };
        format!(
            "<tr><td class=\"words\">{}</td><td>{} <span class=\"soft\">[{}, {}]</span></td><td>{holm}</td></tr>\n",
            escape(names::pretraining(name)),
            two("mean", rank),
            two("low", low),
            two("high", high)
        )
    };
    let rows: String = ranks.rows().into_iter().map(row).collect();
    format!(
        "<div class=\"card scroll\"><table>\n<thead><tr><th class=\"words\">pretraining</th><th>mean rank</th><th>Holm</th></tr>\
         </thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// The diagram, which stands alone in a file too.
pub(super) fn svg(ranks: &Ranks) -> String {
    let k = ranks.methods.len();
    // Bars of groups have their own room at the right.
    let right = RIGHT - 8.0 * ranks.groups.len() as f64 - 6.0;
    let x = |rank: f64| LEFT + (rank - 1.0) / (k - 1) as f64 * (right - LEFT);
    let y = |place: usize| TOP + ROW * place as f64;
    let (foot, height) = (y(k - 1) + 12.0, y(k - 1) + 20.0);
    let mut body = String::new();
    for rank in 1..=k {
        let at = x(rank as f64);
        body += &format!(
            "<path d=\"M{at:.1} {:.1}V{foot:.1}\" stroke=\"currentColor\" stroke-opacity=\"0.14\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
             font-size=\"12\" text-anchor=\"middle\">{rank}</text>\n",
            TOP - 14.0,
            TOP - 18.0
        );
    }
    let end = x(1.0) + ranks.critical / (k - 1) as f64 * (right - LEFT);
    body += &format!(
        "<path d=\"M{:.1} 8v8m0 -4H{end:.1}m0 -4v8\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/><text x=\"{:.1}\" \
         y=\"28\" font-size=\"11\">critical difference {:.2}</text>\n",
        x(1.0),
        x(1.0),
        ranks.critical
    );
    for (place, (name, [rank, low, high, _])) in ranks.rows().into_iter().enumerate() {
        let (at, title) = (
            y(place),
            format!("{}: mean rank {rank:.2}, 95 % interval {low:.2} to {high:.2}", names::pretraining(name)),
        );
        let fill = if name == ssl::NONE { "none" } else { "currentColor" };
        body += &format!(
            "<g><title>{}</title><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" text-anchor=\"end\">{}</text><path d=\"M{:.1} \
             {at:.1}H{:.1}\" stroke=\"currentColor\" stroke-opacity=\"0.55\" stroke-width=\"2\"/><circle cx=\"{:.1}\" cy=\"{at:.1}\" \
             r=\"4.5\" fill=\"{fill}\" stroke=\"currentColor\" stroke-width=\"1.5\"/></g>\n",
            escape(&title),
            LEFT - 12.0,
            at + 4.0,
            escape(&cut(names::pretraining(name))),
            x(low),
            x(high),
            x(rank)
        );
    }
    for (i, group) in ranks.groups.iter().enumerate() {
        let at = right + 12.0 + 8.0 * i as f64;
        body += &format!(
            "<path d=\"M{at:.1} {:.1}V{:.1}\" stroke=\"currentColor\" stroke-width=\"4\" stroke-linecap=\"round\"/>\n",
            y(*group.start()) - 5.0,
            y(*group.end()) + 5.0
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"Mean ranks of {k} pretrainings over {} datasets\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" fill=\"currentColor\" font-family=\"sans-serif\">\n{body}</svg>\n",
        ranks.test.sets
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Cell;
    use crate::study::report::testing::{study, text, wobble};

    fn accuracy(cell: &Cell) -> f64 {
        let of = match &*cell.pretraining {
            "moco" => 0.7,
            "simclr" => 0.6,
            "rotation" => 0.55,
            _ => 0.5,
        };
        of + 0.01 * wobble(cell)
    }

    #[test]
    fn a_diagram_joins_what_is_not_told_apart() {
        let found = Ranks::of(&study(&text("[0, 1]"), &accuracy)).unwrap();
        let page = ranks(&found);
        assert!(page.contains("The ranks differ by more than chance") && page.contains("over 5 datasets"), "{page}");
        let of = found.unwrap();
        let rows: Vec<(&str, f64)> = of.rows().iter().map(|(name, n)| (*name, n[0])).collect();
        assert_eq!(rows, [("moco", 1.0), ("simclr", 2.0), ("rotation", 3.0), ("none", 4.0)]);
        // 2.569 √(4 · 5 / 6 · 5) (Demšar 2006, table 5a).
        assert!((of.critical - 2.569 * (20.0_f64 / 30.0).sqrt()).abs() < 1e-3, "{}", of.critical);
        assert_eq!(of.groups, [0..=2, 1..=3]);
        assert!(svg(&of).contains("critical difference 2.10"));
        let chance = Ranks::of(&study(&text("[0]"), &|cell| 0.5 + 0.1 * wobble(cell))).unwrap();
        let page = ranks(&chance);
        assert!(page.contains("The ranks are not told from chance"), "{page}");
        assert_eq!(chance.unwrap().groups, [0..=3]);
    }

    #[test]
    fn too_few_datasets_say_how_many_would_do() {
        let of = |specs: &str, methods: &str| {
            let text = format!(
                "[data]\nspecs = [{specs}]\n[pretraining]\nmethods = [{methods}]\n[noise]\nrates = [0.0, 0.4]\n"
            );
            ranks(&Ranks::of(&study(&text, &accuracy)).unwrap())
        };
        let two = of("\"phantom:fetal\", \"phantom:covid\"", "\"none\", \"simclr\", \"moco\", \"rotation\"");
        assert!(
            two.contains("no critical-difference diagram: Friedman's test needs at least 3 datasets, and there are 2"),
            "{two}"
        );
        let pair = of("\"phantom:fetal\"", "\"none\", \"simclr\"");
        assert!(pair.contains("needs at least 3 methods, and there are 2"), "{pair}");
        assert_eq!(of("\"phantom:fetal\"", "\"none\""), "");
    }
}
