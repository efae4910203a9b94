//! A table of every test of each pretraining against random weights under noise.

use super::compared::{Effect, Side, Signal, differences, gains, pretrainings};
use super::names;
use super::questions::adjusted;
use super::read::{Run, Study};
use super::shown::{number, p_words};
use super::words::signed;
use crate::base::Result;
use crate::base::plot::escape;
use crate::ssl;
use crate::study::statistics::{
    Belief, Interval, TooFew, improvement_interval, iqm, mean, percentile, probability_of_improvement,
    signed_rank_belief,
};

/// The margin within which two accuracies are equal in practice, in points.
const MARGIN: f64 = 1.0;

/// What the tests say of one pretraining.
pub(super) struct Gained {
    pub pretraining: String,
    effect: Effect,
    holm: std::result::Result<f64, TooFew>,
    iqm: f64,
    iqm_interval: std::result::Result<Interval, TooFew>,
    improvement: f64,
    improvement_interval: std::result::Result<Interval, TooFew>,
    belief: std::result::Result<Belief, TooFew>,
}

/// The columns that files have, beside the name.
pub(super) const COLUMNS: [&str; 14] = [
    "gain",
    "gain_low",
    "gain_high",
    "p",
    "p_holm",
    "iqm",
    "iqm_low",
    "iqm_high",
    "improvement",
    "improvement_low",
    "improvement_high",
    "worse",
    "equal",
    "better",
];

impl Gained {
    /// Each pretraining, in the order of the grid.
    pub fn all(study: &Study) -> Result<Vec<Self>> {
        let signal = Signal::of(study)?;
        let noisy = |run: &Run| signal.noisy(run);
        let names = pretrainings(study);
        let effect = |p: &String| Some((p.clone(), Effect::of(&gains(study, p, ssl::NONE, &noisy), names.len())?));
        let effects: Vec<(String, Effect)> = names.iter().filter_map(effect).collect();
        let holm = adjusted(&effects);
        let one = |((pretraining, effect), holm): ((String, Effect), _)| {
            let pairs = gains(study, &pretraining, ssl::NONE, &noisy);
            let side = |of: Side| pairs.iter().map(|s| s.side(of)).collect::<Vec<_>>();
            let (strata, ours, theirs) = (differences(&pairs), side(Side::Ours), side(Side::Theirs));
            Gained {
                iqm: iqm(&strata.concat()),
                iqm_interval: percentile(&strata, |s| iqm(&s.concat()), 0),
                improvement: probability_of_improvement(&ours, &theirs),
                improvement_interval: improvement_interval(&ours, &theirs, 0),
                belief: signed_rank_belief(&strata.iter().map(|s| mean(s)).collect::<Vec<_>>(), MARGIN, 0),
                pretraining,
                effect,
                holm,
            }
        };
        Ok(effects.into_iter().zip(holm).map(one).collect())
    }

    /// The numbers of [`COLUMNS`]; none where there are too few values.
    pub fn numbers(&self) -> [Option<f64>; 14] {
        let ends = |i: &std::result::Result<Interval, TooFew>| {
            let i = i.as_ref().ok();
            (i.map(|i| i.low), i.map(|i| i.high))
        };
        let (gain, iqm, improvement) =
            (ends(&self.effect.interval), ends(&self.iqm_interval), ends(&self.improvement_interval));
        let belief = self.belief.as_ref().ok();
        [
            Some(self.effect.mean),
            gain.0,
            gain.1,
            self.effect.p.as_ref().ok().copied(),
            self.holm.as_ref().ok().copied(),
            Some(self.iqm),
            iqm.0,
            iqm.1,
            Some(self.improvement),
            improvement.0,
            improvement.1,
            belief.map(|b| b.below),
            belief.map(|b| b.within),
            belief.map(|b| b.above),
        ]
    }
}

/// The section.
pub(super) fn gained(all: &[Gained]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let rows: String = all.iter().map(row).collect();
    let mut few: Vec<String> = Vec::new();
    for g in all {
        let told = [
            g.effect.interval.as_ref().err(),
            g.effect.p.as_ref().err(),
            g.improvement_interval.as_ref().err(),
            g.iqm_interval.as_ref().err(),
            g.belief.as_ref().err(),
        ];
        for sentence in told.into_iter().flatten().map(ToString::to_string) {
            if !few.contains(&sentence) {
                few.push(sentence);
            }
        }
    }
    let few: String = few.iter().map(|f| format!("<li>–: {}.</li>\n", escape(f))).collect();
    format!(
        "<h2>Each pretraining under noise</h2>\n<p class=\"soft\">Gain over random weights in points of test accuracy, with 95 % \
         intervals.</p>\n<ul class=\"soft\">\n{few}<li>“Gain” has Student’s interval over the seeds of these datasets, p is \
         Wilcoxon’s, and “Holm” is p adjusted for all rows.</li>\n<li>“IQM” is the mean of the middle half of the gains, and \
         “improves” the probability that a run with it beats one with random weights. Both have a stratified bootstrap \
         interval.</li>\n<li>“Worse”, “equal” and “better” are the probabilities of the Bayesian signed-rank test over the datasets’ means, where up to {MARGIN} \
         point is equal in practice.</li>\n</ul>\n<div class=\"card scroll\"><table>\n<thead><tr><th class=\"words\">pretraining\
         </th><th>gain</th><th>p</th><th>Holm</th><th>IQM</th><th>improves</th><th>worse</th><th>equal</th><th>better</th></tr>\
         </thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

fn row(of: &Gained) -> String {
    let n = of.numbers();
    let name = |column: usize| format!("gained.{}.{}", of.pretraining, COLUMNS[column]);
    let one =
        |i: usize, text: &dyn Fn(f64) -> String| n[i].map_or("–".to_string(), |v| number(&name(i), v, &text(v)));
    let percent = |v: f64| format!("{:.0} %", v * 100.0);
    let p = |v: f64| p_words(v).trim_start_matches("p = ").trim_start_matches("p ").to_string();
    let with_ends = |i: usize, text: &dyn Fn(f64) -> String| match (n[i + 1], n[i + 2]) {
        (Some(_), Some(_)) => {
            format!("{} <span class=\"soft\">[{}, {}]</span>", one(i, text), one(i + 1, text), one(i + 2, text))
        }
        _ => one(i, text),
    };
    let cells = [
        with_ends(0, &signed),
        one(3, &p),
        one(4, &p),
        with_ends(5, &signed),
        with_ends(8, &percent),
        one(11, &percent),
        one(12, &percent),
        one(13, &percent),
    ];
    let cells: String = cells.iter().map(|c| format!("<td>{c}</td>")).collect();
    format!("<tr><td class=\"words\">{}</td>{cells}</tr>\n", escape(names::pretraining(&of.pretraining)))
}
