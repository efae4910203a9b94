//! Reports of `wgslab bench` as text.

use super::output::table;
use crate::lab::compare::{Comparison, Verdict};
use crate::lab::spread::figures;
use crate::lab::{Cache, Report, Row, SideBySide, Spread, Timer};

/// The report for people.
pub(super) fn report(report: &Report) -> String {
    let e = &report.environment;
    let roof = report.rows.iter().any(|r| r.roof_share.is_some());
    let cold = report.rows.iter().any(|r| r.cache == Cache::Cold);
    let mut head = vec!["kernel", "case", "variant", "median ms", "q1", "q3", "wall ms", "GFLOP/s", "GB/s"];
    head.extend(roof.then_some("of roof"));
    head.extend(cold.then_some("cache"));
    head.extend(["timer", ""]);
    let mut rows = vec![head.into_iter().map(String::from).collect()];
    rows.extend(report.rows.iter().map(|r| line(r, roof, cold)));
    let edited = e.shaders.as_ref().map_or(String::new(), |hash| match &e.shader_folder {
        Some(folder) => format!("; shaders of {folder} ({hash}), with checks"),
        None => format!("; edited shaders ({hash}), with checks"),
    });
    format!("{}, {}{edited}\n\n{}\n{}", e.adapter, e.driver, table(&rows), below(report))
}

/// The reference kernel and what could not run.
fn below(report: &Report) -> String {
    let mut text = String::new();
    if let Some(r) = &report.reference {
        let (ms, noisy) = (r.ms(), if r.noisy { ", noisy" } else { "" });
        let (median, q1, q3) = (short(ms.median), short(ms.q1), short(ms.q3));
        let n = r.samples_ms.len();
        text += &format!("\nreference kernel: {median} ms (quartiles {q1} and {q3}) in {n} samples{noisy}\n");
    }
    for s in &report.skipped {
        text += &format!("skipped: {} {}: {}\n", s.op, s.case, s.why);
    }
    text
}

fn line(r: &Row, roof: bool, cold: bool) -> Vec<String> {
    let (ms, wall) = (r.ms(), Spread::of(&r.wall_ms).median);
    let rate = |of: u64, v: f64| match of {
        0 => "-".to_string(),
        _ => figures(v, 3),
    };
    let mut cells = vec![r.entry.clone(), r.case.clone(), r.variant.clone()];
    cells.extend([ms.median, ms.q1, ms.q3, wall].map(short));
    cells.extend([rate(r.flops, r.gflop_per_s()), rate(r.bytes, r.gb_per_s())]);
    cells.extend(roof.then(|| r.roof_share.map_or("-".into(), |s| format!("{:.0} %", 100.0 * s))));
    cells.extend(cold.then(|| r.cache.name().to_string()));
    let timer = match r.timer {
        Timer::Timestamps => "device",
        Timer::Wall => "wall",
    };
    cells.extend([timer.to_string(), if r.noisy { "noisy".into() } else { String::new() }]);
    cells
}

/// Other frameworks beside ours.
pub(super) fn against(a: &SideBySide) -> String {
    let mut text = format!("{}\n\n{}\n\n", table(&a.table()), table(&a.mean_table()));
    text +=
        "times: the other's median over ours, so 2 means that ours takes half as long; by kernel the geometric mean\n";
    for ((label, about), missing) in a.labels.iter().zip(&a.about).zip(&a.missing) {
        text += &format!("{label}: {about}\n");
        if let Some(first) = missing.first() {
            text += &format!("  {} of its rows are not ours, the first {first}\n", missing.len());
        }
    }
    if a.alone > 0 {
        text += &format!("{} rows of ours are in no other report\n", a.alone);
    }
    text
}

/// Two runs side by side.
pub(super) fn comparison(c: &Comparison) -> String {
    let [base, new] = &c.names;
    let head =
        ["kernel and case", "variant", &format!("{base} ms"), &format!("{new} ms"), "ratio", "from", "to", "verdict"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for r in &c.rows {
        let j = r.judgement;
        let mut cells = vec![r.name.clone(), r.variants(), short(r.base_ms), short(r.ms)];
        cells.extend([j.ratio, j.low, j.high].map(|v| format!("{v:.3}")));
        cells.push(j.verdict.name().into());
        rows.push(cells);
    }
    let count = |v: Verdict| format!("{} {}", c.count(v), v.name());
    let all = [Verdict::Faster, Verdict::Slower, Verdict::Same, Verdict::TooNoisy].map(count).join(", ");
    let mut text = format!("{}\n\nat a threshold of {:.0} %: {all}\n", table(&rows), 100.0 * c.threshold);
    if let Some(drift) = c.drift {
        text += &format!("reference kernel: {} times its time in {base}, which is cancelled\n", figures(drift, 3));
    }
    let unsteady: Vec<&str> = c.rows.iter().filter(|r| !r.steady).map(|r| r.name.as_str()).collect();
    if !unsteady.is_empty() {
        let which = unsteady.join("; ");
        text += &format!("no reference kernel on one side, so the machine's drift is not cancelled in: {which}\n");
    }
    for s in &c.stopped {
        text += &format!("no longer runs: {}: {}\n", s.name, s.why);
    }
    for (what, names) in [(base, &c.only_base), (new, &c.only_new)] {
        if !names.is_empty() {
            text += &format!("only in {what}: {}\n", names.join("; "));
        }
    }
    for s in &c.skipped {
        text += &format!("skipped in {new}: {} {}: {}\n", s.op, s.case, s.why);
    }
    text
}

/// Milliseconds with four digits that count.
fn short(ms: f64) -> String {
    figures(ms, 4)
}
