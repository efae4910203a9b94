//! Candidates whose times a race cannot tell apart. Where a compiler tells what it makes of them, that decides.
//!
//! A coarse timer gives kernels that differ the same time, and other programs hide what little they differ by. A kernel
//! that spills less, leaves room for more subgroups or has less latency is then the better bet, on a quieter machine too.

use super::tune::{Race, median};

/// What a compiler makes of all kernels that a candidate launches. A figure that it does not tell of each is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Registers that are kept in memory, those of all kernels added up.
    pub spills: Option<u64>,
    /// The most subgroups that a SIMD unit can have in flight, of the kernel with the fewest.
    pub waves: Option<u64>,
    /// The compiler's estimate of an invocation's time in cycles, all kernels added up.
    pub latency: Option<u64>,
}

/// A figure by its name, and whether more of it is better.
type Figure = (&'static str, bool, fn(&Made) -> Option<u64>);

/// The figures that decide, the weightiest first.
const FIGURES: [Figure; 3] =
    [("spills", false, |m| m.spills), ("waves", true, |m| m.waves), ("latency", false, |m| m.latency)];

/// The winner of a race, and behind it every candidate that ran to the end and cannot be told from it: their medians are no
/// further apart than `tick_ms`, the step of the timer, or than the mean of their interquartile ranges. Of the nine
/// samples of a usual race that is 2.3 times the standard error of the difference.
fn ties(race: &Race, tick_ms: f64) -> Vec<usize> {
    let winner = &race.samples_ms[race.winner];
    let is_tied = |other: &Vec<f64>| {
        let apart = (median(other) - median(winner)).abs();
        let spread = (quartiles_apart(other) + quartiles_apart(winner)) / 2.0;
        other.len() == winner.len() && apart <= tick_ms.max(spread)
    };
    let others = (0..race.samples_ms.len()).filter(|&i| i != race.winner && is_tied(&race.samples_ms[i]));
    std::iter::once(race.winner).chain(others).collect()
}

/// The distance of the quartiles, linear between neighbours. 0 of a single sample.
fn quartiles_apart(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = sorted.len().saturating_sub(1) as f64 * share;
        let [low, high] = [place.floor(), place.ceil()].map(|i| sorted.get(i as usize).copied().unwrap_or(0.0));
        low + (high - low) * place.fract()
    };
    at(0.75) - at(0.25)
}

/// The first figure that a compiler tells of both and that differs, and whether it speaks for `a`.
fn differs(a: &Made, b: &Made) -> Option<(&'static str, bool, [u64; 2])> {
    FIGURES.iter().find_map(|(name, more, figure)| {
        let (of_a, of_b) = (figure(a)?, figure(b)?);
        (of_a != of_b).then_some((*name, (of_a > of_b) == *more, [of_a, of_b]))
    })
}

/// Which of some candidates, each with its name, their compiler's figures prefer, and why in words. The first stays where
/// no figure speaks against it; `None` where no figure tells it from any other.
fn preferred(candidates: &[(&str, Made)]) -> Option<(usize, String)> {
    let mut best = 0;
    for i in 1..candidates.len() {
        if differs(&candidates[i].1, &candidates[best].1).is_some_and(|(_, better, _)| better) {
            best = i;
        }
    }
    let (name, made) = candidates.get(best)?;
    let told = candidates.iter().filter_map(|(other, of_other)| {
        let (figure, _, [own, its]) = differs(made, of_other)?;
        Some(format!("{figure} {own} of {name}, {its} of {other}"))
    });
    let why: Vec<String> = told.collect();
    (!why.is_empty()).then(|| (best, why.join("; ")))
}

/// The winner of a race between candidates of these names. Where its time cannot be told from others', `told` says what a
/// compiler makes of each of them, and where that differs it decides: then why, in words.
pub fn untied(
    race: &Race,
    tick_ms: f64,
    names: &[&str],
    told: impl FnMut(usize) -> Option<Made>,
) -> (usize, Option<String>) {
    let tied = ties(race, tick_ms);
    if tied.len() < 2 {
        return (race.winner, None);
    }
    let made: Option<Vec<Made>> = tied.iter().copied().map(told).collect();
    let named = made.map(|made| tied.iter().map(|&i| names[i]).zip(made).collect::<Vec<_>>());
    match named.and_then(|named| preferred(&named)) {
        Some((at, why)) => (tied[at], Some(why)),
        None => (race.winner, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn race(winner: usize, samples_ms: &[&[f64]]) -> Race {
        Race { winner, samples_ms: samples_ms.iter().map(|s| s.to_vec()).collect() }
    }

    #[test]
    fn times_within_a_tick_or_their_spread_are_tied() {
        // Steady samples: only the step of the timer makes ties.
        let steady = race(1, &[&[2.0; 5], &[1.0; 5], &[1.5; 5]]);
        assert_eq!(ties(&steady, 0.0), [1]);
        assert_eq!(ties(&steady, 0.5), [1, 2]);
        assert_eq!(ties(&steady, 1.0), [1, 0, 2]);
        // Noisy ones: quartiles 1 apart, medians 0.5 and 2 away.
        let noisy = race(0, &[&[1.0, 1.5, 2.0, 2.5, 3.0], &[1.5, 2.0, 2.5, 3.0, 3.5], &[3.0, 3.5, 4.0, 4.5, 5.0]]);
        assert_eq!(ties(&noisy, 0.0), [0, 1]);
        // A candidate that left early was slower, whatever its only sample says; a lone round has no spread.
        assert_eq!(ties(&race(0, &[&[1.0, 3.0, 1.0], &[1.0]]), 0.0), [0]);
        assert_eq!(ties(&race(0, &[&[1.0], &[1.1], &[1.0]]), 0.0), [0, 2]);
    }

    /// A compiler is asked about those alone that a race leaves open, and where it tells nothing the race stands.
    #[test]
    fn a_compiler_decides_only_what_a_race_leaves_open() {
        let names = ["a", "b", "c"];
        let figures = [4, 0, 0].map(|spills| Made { spills: Some(spills), ..Made::default() });
        let mut asked = Vec::new();
        let open = race(0, &[&[1.0; 3], &[1.0; 3], &[2.0; 3]]);
        let won = untied(&open, 0.0, &names, |i| {
            asked.push(i);
            Some(figures[i])
        });
        assert_eq!((won, asked), ((1, Some("spills 0 of b, 4 of a".to_string())), vec![0, 1]));
        assert_eq!(untied(&open, 0.0, &names, |_| None), (0, None));
        assert_eq!(untied(&open, 0.0, &names, |i| (i == 1).then_some(figures[1])), (0, None));
        let clear = race(2, &[&[2.0; 3], &[3.0; 3], &[1.0; 3]]);
        assert_eq!(untied(&clear, 0.5, &names, |_| unreachable!("nothing is open")), (2, None));
    }

    #[test]
    fn the_weightiest_figure_that_differs_decides() {
        let made = |spills: u64, waves: u64, latency: u64| Made {
            spills: Some(spills),
            waves: Some(waves),
            latency: Some(latency),
        };
        let winner = |list: &[Made]| {
            let named: Vec<(&str, Made)> = ["a", "b", "c"].into_iter().zip(list.iter().copied()).collect();
            preferred(&named)
        };
        let why = |list: &[Made]| winner(list).unwrap();
        assert_eq!(why(&[made(4, 16, 10), made(0, 2, 90)]), (1, "spills 0 of b, 4 of a".into()));
        assert_eq!(why(&[made(0, 8, 10), made(0, 16, 90)]), (1, "waves 16 of b, 8 of a".into()));
        assert_eq!(why(&[made(0, 8, 90), made(0, 8, 10)]), (1, "latency 10 of b, 90 of a".into()));
        assert_eq!(why(&[made(0, 8, 10), made(0, 8, 90)]), (0, "latency 10 of a, 90 of b".into()), "the first stays");
        let three = why(&[made(0, 4, 10), made(0, 8, 20), made(1, 16, 5)]);
        assert_eq!(three, (1, "waves 8 of b, 4 of a; spills 0 of b, 1 of c".into()));
        // What differs in nothing, and what nobody tells, leaves the race's winner.
        assert_eq!(winner(&[made(0, 8, 10), made(0, 8, 10)]), None);
        assert_eq!(winner(&[Made::default(), made(0, 8, 10)]), None);
        assert_eq!(winner(&[]), None);
        // A figure of one alone is passed over.
        let no_waves = |latency| Made { waves: None, ..made(0, 0, latency) };
        assert_eq!(why(&[no_waves(20), made(0, 8, 10)]), (1, "latency 10 of b, 20 of a".into()));
    }
}
