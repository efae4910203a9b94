//! The three questions of the studied paper (arXiv 2401.07990), each answered by one sentence with an effect, its interval and p.
//! A rule says when an answer is claimed; else the sentence says that it cannot be told, and how many runs would do.

use super::compared::{Effect, Side, Signal, Stratum, compare, gains, level, pretrainings};
use super::names;
use super::read::{NoiseLevel, Run, Series, Study};
use super::shown::{interval, number, p_value, points, size, size_interval};
use crate::base::Result;
use crate::base::plot::escape;
use crate::base::text::counted;
use crate::ssl;
use crate::study::statistics::{ALPHA, RESAMPLES};
use crate::study::statistics::{Interval, Kendall, TooFew, between, holm, kendall, mean, resample, tau};
use std::collections::BTreeSet;

/// A question, its answer as HTML, and the rule that made it.
pub(super) struct Answer {
    pub question: &'static str,
    pub answer: String,
    pub rule: String,
}

/// The section with all three.
pub(super) fn questions(study: &Study) -> Result<String> {
    let signal = Signal::of(study)?;
    let one = |a: Answer| {
        format!(
            "<h3>{}</h3>\n<p>{}</p>\n<details><summary>How this was decided</summary><p class=\"soft\">{}</p></details>\n",
            a.question, a.answer, a.rule
        )
    };
    let answers: String = answers(study, &signal).into_iter().map(one).collect();
    let so_far = match study.planned - study.runs.len().min(study.planned) {
        0 => String::new(),
        left => format!("<p class=\"soft\">So far: {left} cells are missing, and the answers may change.</p>\n"),
    };
    Ok(format!("<section class=\"card answers\">\n{so_far}{answers}</section>\n"))
}

/// The answers to all three.
pub(super) fn answers(study: &Study, signal: &Signal) -> [Answer; 3] {
    let harm = Harm::of(study, signal);
    [impact(harm.as_ref()), challenge(harm.as_ref()), help(study, signal)]
}

/// What noise does to random weights: the worst level that every dataset has.
struct Harm {
    level: NoiseLevel,
    method: String,
    /// Noisy less clean accuracy.
    strata: Vec<Stratum>,
}

impl Harm {
    /// The first kind of noise, at its highest rate with signal at which the most datasets have a clean partner.
    fn of(study: &Study, signal: &Signal) -> Option<Self> {
        let base = study.series().into_iter().find(|s| s.pretraining == ssl::NONE)?;
        let of_base = |run: &&Run| Series::of(&run.result) == base;
        let levels: Vec<&Run> = study.runs.iter().filter(of_base).filter(|r| signal.noisy(r)).collect();
        let kind = &levels.first()?.level.kind;
        let (mut best, mut seen) = (None::<Harm>, BTreeSet::new());
        for run in levels.iter().filter(|r| r.level.kind == *kind && seen.insert(level(r))) {
            let strata = compare(study, &|r| {
                let side = if r.level.is_clean() { Side::Theirs } else { Side::Ours };
                let kept = of_base(&r) && (r.level.is_clean() || (level(r) == level(run) && signal.noisy(r)));
                kept.then(|| (side, String::new()))
            });
            let place = |l: &NoiseLevel, n: usize| (n, (l.rate.unwrap_or(0.0) * 1e9) as u64);
            let better = |b: &Harm| place(&run.level, strata.len()) > place(&b.level, b.strata.len());
            if !strata.is_empty() && best.as_ref().is_none_or(better) {
                best = Some(Harm { level: run.level.clone(), method: base.method.clone(), strata });
            }
        }
        best
    }

    fn noise(&self) -> String {
        escape(&self.level.words())
    }
}

/// i) What label noise does to the datasets.
fn impact(harm: Option<&Harm>) -> Answer {
    let question = "How does label noise change what is learned?";
    let rule = "Test accuracy with noise less that with clean labels, of random weights and the first learning method, paired by \
                dataset and seed, at one rate of the first noise kind: of the rates that the most datasets have, the highest whose labels still say \
                something of the truth.";
    let rule = format!("{rule} {}", judged(1));
    let Some((harm, effect)) = harm.and_then(|h| Some((h, Effect::of(&h.strata, 1)?))) else {
        let answer = "It cannot be told: no cell with random weights was run on clean labels and on noisy ones that say \
                      something of the truth.";
        return Answer { question, answer: answer.to_string(), rule };
    };
    let told = told("impact", &effect, &effect.p);
    let noise = harm.noise();
    let answer = match sure(&effect, &effect.p) {
        Some(true) => format!("With {noise}, test accuracy rises by {told}."),
        Some(false) => {
            format!("With {noise}, test accuracy falls by {}.", told_as("impact", &effect, &effect.p, -1.0))
        }
        None => {
            format!("Whether {noise} changes test accuracy cannot be told: {}.", unsure("impact", &effect, &effect.p))
        }
    };
    let from = from(&effect, &harm.strata, &harm.method);
    Answer { question, answer: format!("{answer} {from}"), rule }
}

/// ii) Which datasets are hard to learn, and which lose most.
fn challenge(harm: Option<&Harm>) -> Answer {
    let question = "Which datasets are harder to learn, and do they lose more to noise?";
    let rule = format!(
        "Difficulty is the mean accuracy on clean and on noisy labels with random weights: the loss is computed from the accuracy on \
         clean labels, so that this alone would go with it by chance (Oldham 1962). What noise costs is that of the first question. \
         Kendall's τ says whether datasets of lower accuracy lose more (negative) or less (positive). p is over all orders of the datasets, \
         the interval from {RESAMPLES} resamples of the seeds of each dataset. An answer is given if p is below {ALPHA} and the \
         interval leaves out 0."
    );
    let Some(harm) = harm.filter(|h| h.strata.len() > 1) else {
        let answer = "It cannot be told: fewer than two datasets have clean and noisy labels.".to_string();
        return Answer { question, answer, rule };
    };
    let sets: Vec<SetLoss> = harm.strata.iter().map(SetLoss::of).collect();
    let pick = |by: &dyn Fn(&SetLoss) -> f64| {
        sets.iter().min_by(|a, b| by(a).total_cmp(&by(b))).map(|s| (escape(&s.dataset), by(s))).unwrap_or_default()
    };
    let (hardest, clean) = pick(&|s| mean(&s.clean));
    let (loser, lost) = pick(&|s| -mean(&s.lost));
    let measured = format!(
        "{hardest} is the hardest ({} % accuracy on clean labels), and {loser} loses most to {} ({} points).",
        size("challenge.clean", clean),
        harm.noise(),
        size("challenge.lost", -lost),
    );
    let found = order_of(&sets);
    let of_all = match &found {
        Err(few) => format!("Whether harder datasets lose more cannot be told: {few}."),
        Ok((k, None)) => format!(
            "Whether harder datasets lose more cannot be told: every dataset needs 2 seeds ({}).",
            order_words(k, None)
        ),
        Ok((k, Some(i))) if k.p < ALPHA && !i.spans_zero() => {
            let more = if k.tau < 0.0 { "more" } else { "less" };
            format!("Harder datasets lose {more} ({}).", order_words(k, Some(i)))
        }
        Ok((k, Some(i))) => {
            format!("Whether harder datasets lose more cannot be told ({}).", order_words(k, Some(i)))
        }
    };
    Answer { question, answer: format!("{measured} {of_all}"), rule }
}

/// A dataset's accuracy on clean labels and what noise costs it, by seed.
struct SetLoss {
    dataset: String,
    clean: Vec<f64>,
    /// The mean of the accuracies on clean and on noisy labels.
    level: Vec<f64>,
    lost: Vec<f64>,
}

impl SetLoss {
    fn of(s: &Stratum) -> Self {
        let lost = s.differences().into_iter().map(|d| -d).collect();
        let level = s.seeds.iter().map(|s| (s.ours + s.theirs) / 2.0).collect();
        SetLoss { dataset: s.dataset.clone(), clean: s.side(Side::Theirs), level, lost }
    }
}

/// Kendall's τ of accuracy and loss, with its interval where every dataset has repeats.
fn order_of(sets: &[SetLoss]) -> std::result::Result<(Kendall, Option<Interval>), TooFew> {
    let all = |of: &dyn Fn(&SetLoss) -> f64| sets.iter().map(of).collect::<Vec<f64>>();
    let found = kendall(&all(&|s| mean(&s.level)), &all(&|s| mean(&s.lost)))?;
    let sizes: Vec<usize> = sets.iter().map(|s| s.lost.len()).collect();
    if sizes.iter().any(|n| *n < 2) {
        return Ok((found, None));
    }
    let one = |i: usize| {
        let drawn = resample(&sizes, 0, i);
        let again = |of: &dyn Fn(&SetLoss) -> &Vec<f64>| -> Vec<f64> {
            sets.iter().zip(&drawn).map(|(s, at)| mean(&at.iter().map(|&j| of(s)[j]).collect::<Vec<_>>())).collect()
        };
        tau(&again(&|s| &s.level), &again(&|s| &s.lost))
    };
    let mut all: Vec<f64> = (0..RESAMPLES).map(one).collect();
    all.sort_by(f64::total_cmp);
    Ok((found, Some(between(&all))))
}

fn order_words(k: &Kendall, of: Option<&Interval>) -> String {
    let two = |name: &str, v: f64| number(&format!("challenge.tau{name}"), v, &format!("{v:.2}").replace('-', "−"));
    let ends =
        of.map_or(String::new(), |i| format!(", 95 % interval {} to {}", two(".low", i.low), two(".high", i.high)));
    format!("Kendall’s τ {}{ends}, {}", two("", k.tau), p_value("challenge.p", k.p))
}

/// iii) Which pretraining makes learning more robust.
fn help(study: &Study, signal: &Signal) -> Answer {
    let question = "Which pretraining helps against label noise?";
    let names = pretrainings(study);
    let noisy = |run: &Run| signal.noisy(run);
    let effect = |p: &String| Some((p.clone(), Effect::of(&gains(study, p, ssl::NONE, &noisy), names.len())?));
    let mut all: Vec<(String, Effect)> = names.iter().filter_map(effect).collect();
    let rule = format!(
        "Test accuracy less that of random weights with the same method, noise, dataset, backbone and seed: the mean over all noisy levels whose \
         labels still say something of the truth. {}",
        judged(all.len())
    );
    let adjusted = adjusted(&all);
    let known = |i: usize| sure(&all[i].1, &adjusted[i]);
    let largest = |a: &usize, b: &usize| all[*a].1.mean.total_cmp(&all[*b].1.mean);
    // One that is known to help speaks before one whose mean is larger by chance alone.
    let helping = (0..all.len()).filter(|&i| known(i) == Some(true)).max_by(largest);
    let none_helps = (0..all.len()).all(|i| known(i) == Some(false));
    let Some(best) = helping.or_else(|| (0..all.len()).max_by(largest)) else {
        let answer =
            "It cannot be told: no pretraining was run beside random weights on labels with noise.".to_string();
        return Answer { question, answer, rule };
    };
    let (p, (name, effect)) = (adjusted[best].clone(), all.swap_remove(best));
    let told = told("help", &effect, &p);
    let title = escape(names::pretraining(&name));
    let answer = match (helping.is_some(), none_helps) {
        (true, _) => format!("{title} helps: it adds {told}.{}", runner_up(study, &name, &all, &noisy)),
        (_, true) => format!("None helps: even {title} costs {}.", told_as("help", &effect, &p, -1.0)),
        _ => format!("Whether any helps cannot be told: of {title}, the best, {}.", unsure("help", &effect, &p)),
    };
    let strata = gains(study, &name, ssl::NONE, &noisy);
    let from = from(&effect, &strata, "");
    Answer { question, answer: format!("{answer} {from}"), rule }
}

/// The p of all effects adjusted by Holm; one without enough pairs stays without.
pub(super) fn adjusted(all: &[(String, Effect)]) -> Vec<std::result::Result<f64, TooFew>> {
    let known: Vec<f64> = all.iter().filter_map(|(_, e)| e.p.as_ref().ok().copied()).collect();
    let mut adjusted = holm(&known).into_iter();
    all.iter().map(|(_, e)| e.p.clone().map(|p| adjusted.next().unwrap_or(p))).collect()
}

/// Whether the best is told apart from the next.
fn runner_up(study: &Study, best: &str, others: &[(String, Effect)], kept: &dyn Fn(&Run) -> bool) -> String {
    let Some((next, _)) = others.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) else { return String::new() };
    let Some(lead) = Effect::of(&gains(study, best, next, kept), 1) else { return String::new() };
    let next = escape(names::pretraining(next));
    match &lead.interval {
        Ok(i) if sure(&lead, &lead.p) == Some(true) => {
            let (of, ends) = (size("help.lead", lead.mean), size_interval("help.lead", i));
            let p = lead.p.as_ref().map_or_else(ToString::to_string, |p| p_value("help.lead.p", *p));
            format!(
                " It is ahead of {next}, the next, by {of} points ({ends}, {p}; not adjusted for the choice of these two)."
            )
        }
        Ok(i) => {
            let (of, ends) = (points("help.lead", lead.mean), interval("help.lead", i));
            format!(" Whether it is ahead of {next}, the next, cannot be told ({of} points, {ends}).")
        }
        Err(few) => format!(" Whether it is ahead of {next}, the next, cannot be told: {few}."),
    }
}

/// Whether an effect is known to be above 0, or below; none where it is not known.
fn sure(effect: &Effect, p: &std::result::Result<f64, TooFew>) -> Option<bool> {
    p.as_ref().is_ok_and(|p| effect.is_known(*p)).then_some(effect.mean > 0.0)
}

/// An effect with interval and p.
fn told(name: &str, effect: &Effect, p: &std::result::Result<f64, TooFew>) -> String {
    told_as(name, effect, p, 1.0)
}

/// The same where the words already say its sign: `sign` is −1 for a loss.
fn told_as(name: &str, effect: &Effect, p: &std::result::Result<f64, TooFew>, sign: f64) -> String {
    let ends = match &effect.interval {
        Ok(i) if sign < 0.0 => size_interval(name, &Interval { low: -i.high, high: -i.low }),
        Ok(i) => size_interval(name, i),
        Err(few) => few.to_string(),
    };
    let p = p.as_ref().map_or_else(ToString::to_string, |p| p_value(&format!("{name}.p"), *p));
    format!("{} points ({ends}, {p})", size(name, effect.mean * sign))
}

/// What was measured where it says nothing sure.
fn unsure(name: &str, effect: &Effect, p: &std::result::Result<f64, TooFew>) -> String {
    let mean = points(name, effect.mean);
    let ends = effect.interval.as_ref().map_or_else(ToString::to_string, |i| interval(name, i));
    match p {
        Ok(p) => format!("the difference is {mean} points ({ends}, {})", p_value(&format!("{name}.p"), *p)),
        Err(few) => format!("the difference is {mean} points ({ends}), and {few}"),
    }
}

/// What an effect stands on.
fn from(effect: &Effect, strata: &[Stratum], method: &str) -> String {
    let sets = counted(strata.len(), "dataset");
    let method = if method.is_empty() { String::new() } else { format!(", random weights, {}", names::method(method)) };
    let pairs = match effect.over_datasets {
        true => counted(effect.pairs, "mean"),
        false => format!("{} of equal seed", counted(effect.pairs, "pair")),
    };
    format!("<span class=\"soft\">From {sets}, {pairs}{}.</span>", escape(&method))
}

/// The rule of every answer about a difference.
fn judged(tests: usize) -> String {
    let holm = match tests {
        0 | 1 => String::new(),
        n => format!(" adjusted by Holm over {n} pretrainings"),
    };
    format!(
        "The effect is the mean over datasets of the means over seeds. Its interval is Student's over the seeds of these datasets \
         (Welch and Satterthwaite), or over datasets if one has a single seed. p is Wilcoxon's signed-rank test of the same values, \
         exact up to 50, two-sided, zeros left out{holm}. An answer is given if the interval leaves out 0 and p is below {ALPHA}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Cell;
    use crate::study::report::testing::{study, text, wobble};

    /// The answers as plain text.
    fn said(text: &str, accuracy: &dyn Fn(&Cell) -> f64) -> [String; 3] {
        let study = study(text, accuracy);
        let plain = |a: Answer| {
            let mut out = String::new();
            let mut inside = false;
            for c in a.answer.chars() {
                match c {
                    '<' => inside = true,
                    '>' => inside = false,
                    c if !inside => out.push(c),
                    _ => {}
                }
            }
            out
        };
        answers(&study, &Signal::of(&study).unwrap()).map(plain)
    }

    /// 40 % noise costs 10 points and 2 more for each dataset that is harder, and pretraining gives back 1, 5 and −3.
    fn clear(cell: &Cell) -> f64 {
        let place =
            ["fetal", "dermnet", "covid", "mura", "nct-crc"].iter().position(|s| cell.dataset.ends_with(s)).unwrap();
        let lost = if cell.noise_rate > 0.0 { 0.10 + 0.02 * place as f64 } else { 0.0 };
        let back = match (&*cell.pretraining, cell.noise_rate > 0.0) {
            ("simclr", true) => 0.01,
            ("moco", true) => 0.05,
            ("rotation", true) => -0.03,
            _ => 0.0,
        };
        // Noise that leaves no signal must not count.
        if cell.noise_rate > 0.8 { 0.2 } else { 0.9 - 0.05 * place as f64 - lost + back + wobble(cell) * 0.004 }
    }

    #[test]
    fn clear_answers_are_given() {
        let [impact, challenge, help] = said(&text("[0, 1, 2]"), &clear);
        // What chance adds to the mean of five datasets and three seeds is below 0.2 points.
        let near = |text: &str, before: &str, due: f64| {
            let number = text.split_once(before).unwrap_or_else(|| panic!("{before} is not in {text}")).1;
            let number: f64 = number.split_once(' ').unwrap().0.parse().unwrap();
            assert!((number - due).abs() < 0.3, "{number} in {text}");
        };
        near(&impact, "With 40 % symmetric noise, test accuracy falls by ", 14.0);
        near(&impact, " points (95 % interval ", 13.9);
        assert!(impact.contains("p &lt; 0.001"), "{impact}");
        assert!(impact.contains("From 5 datasets, 15 pairs of equal seed, random weights, Cross-entropy"), "{impact}");
        near(&challenge, "phantom-nct-crc is the hardest (", 70.0);
        near(&challenge, "phantom-nct-crc loses most to 40 % symmetric noise (", 18.0);
        assert!(challenge.contains("Harder datasets lose more (Kendall’s τ −1.00"), "{challenge}");
        assert!(challenge.contains("p = 0.017"), "of 120 orders two are as far: {challenge}");
        near(&help, "MoCo v2 helps: it adds ", 5.0);
        near(&help, "It is ahead of SimCLR, the next, by ", 4.0);
    }

    #[test]
    fn one_that_surely_helps_speaks_before_a_larger_mean_by_chance() {
        let [_, _, help] = said(&text("[0, 1, 2]"), &|cell| {
            let back = match (&*cell.pretraining, cell.noise_rate > 0.0) {
                ("simclr", true) => 0.02,
                ("moco", true) if cell.seed == 0 => 0.3,
                ("moco", true) => -0.08,
                _ => 0.0,
            };
            0.6 + back + wobble(cell) * 0.002
        });
        assert!(help.starts_with("SimCLR helps: it adds "), "{help}");
        assert!(help.contains("Whether it is ahead of MoCo v2, the next, cannot be told"), "{help}");
    }

    #[test]
    fn what_chance_alone_made_cannot_be_told() {
        let [impact, challenge, help] = said(&text("[0, 1, 2]"), &|cell| 0.7 + 0.05 * wobble(cell));
        assert!(
            impact.starts_with("Whether 40 % symmetric noise changes test accuracy cannot be told: the difference is "),
            "{impact}"
        );
        assert!(challenge.contains("Whether harder datasets lose more cannot be told (Kendall’s τ "), "{challenge}");
        assert!(help.starts_with("Whether any helps cannot be told: of "), "{help}");
    }

    #[test]
    fn too_few_runs_say_how_many_would_do() {
        let one_set = "seeds = [0, 1, 2]\n[data]\nspecs = [\"phantom:fetal\"]\n[noise]\nrates = [0.0, 0.4]\n";
        let [impact, challenge, help] = said(one_set, &clear);
        let few = "Wilcoxon's signed-rank test needs at least 6 pairs, and there are 3";
        assert!(impact.contains("cannot be told") && impact.contains(few), "{impact}");
        assert!(challenge.contains("fewer than two datasets"), "{challenge}");
        assert!(help.contains("cannot be told") && help.contains(few), "{help}");
        // Five datasets with one seed are five values.
        let [impact, challenge, _] = said(&text("[0]"), &clear);
        assert!(impact.contains("needs at least 6 pairs, and there are 5"), "{impact}");
        assert!(challenge.contains("every dataset needs 2 seeds"), "{challenge}");
        let clean = "[noise]\nrates = [0.0]\n[pretraining]\nmethods = [\"none\"]\n";
        let [impact, challenge, help] = said(clean, &clear_or_plain);
        assert!(
            [&impact, &challenge, &help].iter().all(|a| a.contains("It cannot be told")),
            "{impact} {challenge} {help}"
        );
    }

    fn clear_or_plain(cell: &Cell) -> f64 {
        0.7 + 0.01 * wobble(cell)
    }
}
