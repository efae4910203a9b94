//! Candidates whose times a race cannot tell apart. Where a compiler tells what it makes of them, that decides.
//!
//! A coarse timer gives kernels that differ the same time, and other programs hide what little they differ by. That a kernel
//! which spills less, or leaves room for more subgroups, is then the better one is a guess; so would be any other choice. A
//! compiler's latency is no such figure: it is an invocation's, and variants differ in what an invocation does.

use super::tune::{Race, median};

/// What a compiler makes of all kernels that a candidate launches. A figure that it does not tell of each is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Registers that are kept in memory, those of all kernels added up.
    pub spills: Option<u64>,
    /// The most subgroups that a SIMD unit can have in flight, of the kernel with the fewest.
    pub waves: Option<u64>,
}

/// A figure by its name, and whether more of it is better.
type Figure = (&'static str, bool, fn(&Made) -> Option<u64>);

/// The figures that decide, the weightiest first.
const FIGURES: [Figure; 2] = [("spills", false, |m| m.spills), ("waves", true, |m| m.waves)];

/// The fewest rounds whose spread says something.
const ROUNDS: usize = 5;

/// The winner of a race, and behind it every candidate that ran to the end and cannot be told from it. Each round has a sample
/// of both, so what counts is their difference in a round: a machine that becomes slower is in it once and not in their
/// times twice. They are tied where its median is at most `tick_ms`, the step of the timer, or, after [`ROUNDS`] rounds, two of
/// its standard errors. Of normal samples that error is 0.93 times the distance of the quartiles, by the root of their number.
fn ties(race: &Race, tick_ms: f64) -> Vec<usize> {
    let winner = &race.samples_ms[race.winner];
    let is_tied = |other: &[f64]| {
        let apart: Vec<f64> = other.iter().zip(winner).map(|(other, own)| other - own).collect();
        let error = 0.93 * quartiles_apart(&apart) / (apart.len() as f64).sqrt();
        let spread = if apart.len() < ROUNDS { 0.0 } else { 2.0 * error };
        median(&apart).abs() <= tick_ms.max(spread)
    };
    let others = race.left.iter().copied().filter(|&i| i != race.winner && is_tied(&race.samples_ms[i]));
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
        let (figure, better, [own, its]) = differs(made, of_other)?;
        better.then(|| format!("{figure} {own} of {name}, {its} of {other}"))
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

    /// A race in which those with the most samples ran to the end.
    fn race(winner: usize, samples_ms: &[&[f64]]) -> Race {
        let most = samples_ms[winner].len();
        let left = (0..samples_ms.len()).filter(|&i| samples_ms[i].len() == most).collect();
        Race { winner, left, samples_ms: samples_ms.iter().map(|s| s.to_vec()).collect() }
    }

    #[test]
    fn times_within_a_tick_or_their_spread_are_tied() {
        // Steady samples: only the step of the timer makes ties.
        let steady = race(1, &[&[2.0; 5], &[1.0; 5], &[1.5; 5]]);
        assert_eq!(ties(&steady, 0.0), [1]);
        assert_eq!(ties(&steady, 0.5), [1, 2]);
        assert_eq!(ties(&steady, 1.0), [1, 0, 2]);
        // Noisy ones: differences of −0.3 to 0.5 with a median of 0.1 are none, those of 1.6 to 2.4 are.
        let own = [1.0, 1.5, 2.0, 1.2, 1.7];
        let by = |apart: [f64; 5]| -> Vec<f64> { own.iter().zip(apart).map(|(own, apart)| own + apart).collect() };
        let (near, far) = (by([0.5, -0.3, 0.1, -0.2, 0.4]), by([2.4, 1.6, 2.0, 1.7, 2.3]));
        assert_eq!(ties(&race(0, &[&own, &near, &far]), 0.0), [0, 1]);
        assert_eq!(ties(&race(0, &[&own[..4], &near[..4]]), 0.0), [0], "four rounds have no spread");
        // A candidate that left early was slower, whatever its only sample says.
        assert_eq!(ties(&race(0, &[&[1.0, 3.0, 1.0], &[1.0]]), 0.0), [0]);
        assert_eq!(ties(&race(0, &[&[1.0], &[1.1], &[1.0]]), 0.0), [0, 2]);
    }

    /// A machine that becomes slower makes no ties, and one that the race threw out in its last round is none.
    #[test]
    fn who_lost_every_round_or_left_is_not_tied() {
        let drifting: Vec<f64> = (0..9).map(|i| 1.0 + f64::from(i) / 8.0).collect();
        let slower: Vec<f64> = drifting.iter().map(|ms| 1.3 * ms).collect();
        assert_eq!(ties(&race(0, &[&drifting, &slower]), 0.0), [0]);
        let samples_ms = [[1.0, 1.0, 3.0], [1.6, 1.6, 4.0]];
        let mut rounds = [0; 2];
        let thrown_out = super::super::tune::race(2, &super::super::tune::Rules::default(), |i| {
            rounds[i] += 1;
            Ok(samples_ms[i][rounds[i] - 1])
        });
        let thrown_out = thrown_out.unwrap();
        assert_eq!(thrown_out.left, [0]);
        assert_eq!(ties(&thrown_out, 10.0), [0]);
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
        let made = |spills: u64, waves: u64| Made { spills: Some(spills), waves: Some(waves) };
        let winner = |list: &[Made]| {
            let named: Vec<(&str, Made)> = ["a", "b", "c"].into_iter().zip(list.iter().copied()).collect();
            preferred(&named)
        };
        let why = |list: &[Made]| winner(list).unwrap();
        assert_eq!(why(&[made(4, 16), made(0, 2)]), (1, "spills 0 of b, 4 of a".into()));
        assert_eq!(why(&[made(0, 8), made(0, 16)]), (1, "waves 16 of b, 8 of a".into()));
        assert_eq!(why(&[made(0, 16), made(0, 8)]), (0, "waves 16 of a, 8 of b".into()), "the first stays");
        let three = why(&[made(0, 4), made(0, 8), made(1, 16)]);
        assert_eq!(three, (1, "waves 8 of b, 4 of a; spills 0 of b, 1 of c".into()));
        // What differs in nothing, and what nobody tells, leaves the race's winner.
        assert_eq!(winner(&[made(0, 8), made(0, 8)]), None);
        assert_eq!(winner(&[Made::default(), made(0, 8)]), None);
        assert_eq!(winner(&[]), None);
        // A figure of one alone is passed over.
        let only_waves = |waves| Made { spills: None, waves: Some(waves) };
        assert_eq!(why(&[only_waves(4), made(2, 8)]), (1, "waves 8 of b, 4 of a".into()));
        // b has fewer spills than c, but more is known of c beside a: what speaks against the chosen one is no reason for it.
        assert_eq!(why(&[only_waves(8), made(0, 4), made(1, 16)]), (2, "waves 16 of c, 8 of a".into()));
    }
}
