//! Reports of `wgslab bench` as text.

use super::output::table;
use crate::lab::compare::{Comparison, Verdict};
use crate::lab::spread::figures;
use crate::lab::{Cache, Figures, Report, Row, SideBySide, Spread, Timer};

/// The report for people.
pub(super) fn report(report: &Report) -> String {
    let e = &report.environment;
    let roof = report.rows.iter().any(|r| r.roof_share.is_some());
    let cold = report.rows.iter().any(|r| r.cache == Cache::Cold);
    let mut head = vec!["kernel", "case", "variant", "median ms", "q1", "q3", "wall ms", "GFLOP/s", "GB/s"];
    head.extend(roof.then_some("of roof"));
    head.extend(cold.then_some("cache"));
    let compiled = report.rows.iter().any(|r| r.compiled.is_some());
    head.extend(Figures::HEADS.into_iter().filter(|_| compiled));
    head.extend(["timer", ""]);
    let mut rows = vec![head.into_iter().map(String::from).collect()];
    rows.extend(report.rows.iter().map(|r| line(r, (roof, cold, compiled))));
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

fn line(r: &Row, (roof, cold, compiled): (bool, bool, bool)) -> Vec<String> {
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
    if compiled {
        cells.extend(Figures::cells(r.compiled.as_deref().and_then(Figures::shown)));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: &str) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        let environment = serde_json::json!({
            "adapter": "a", "driver": "d", "backend": "Vulkan", "wgpu": "30", "limits": crate::lab::environment::Limits::default(),
            "features": [], "subgroup_size": null, "os": "o", "cpu": "c", "git_commit": null, "git_dirty": null,
            "arguments": [], "timer": "wall", "time": "t",
        });
        let text = format!(
            "{{\"schema\": \"{}\", \"environment\": {environment}, \"reference\": null, \"rows\": [{row}]}}",
            crate::lab::report::SCHEMA
        );
        std::fs::write(&path, text).unwrap();
        Report::load(&path).unwrap()
    }

    /// A report of a driver that tells what it compiles has columns of it; another has none, and so has an older file.
    #[test]
    fn a_compiler_s_figures_stand_beside_the_times() {
        let row = |compiled: &str| {
            format!(
                "{{\"op\": \"conv2d\", \"entry\": \"conv2d.forward\", \"direction\": \"forward\", \"case\": \"c\", \"shape\": \"s\", \
                 \"variant\": \"tiled_64\", \"flops\": 1, \"bytes\": 1, \"cache\": \"hot\", \"timer\": \"wall\", \"repeats\": 1, \
                 \"samples_ms\": [1.0], \"wall_ms\": [1.0], \"noisy\": false, \"roof_share\": null{compiled}}}"
            )
        };
        let figures = |kernel: &str, registers: u64| Figures {
            kernel: kernel.into(),
            variant: "tiled_64".into(),
            registers: Some(registers),
            spills: Some(0),
            waves: Some(8),
            instructions: Some(1234),
            fma_share: Some(0.876),
            ..Figures::default()
        };
        let told = serde_json::to_string(&[figures("conv2d_pack", 24), figures("conv2d.forward", 96)]).unwrap();
        let full = read(&row(&format!(", \"compiled\": {told}")));
        let lines: Vec<String> = report(&full).lines().map(str::to_string).collect();
        let words = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>();
        let head = words(2);
        let at = head.iter().position(|w| *w == "registers").unwrap();
        assert_eq!(head[at..at + 5], Figures::HEADS);
        assert!(lines[3..].iter().any(|l| l.contains("96") && l.contains("1234") && l.contains("88 %")), "{lines:?}");
        assert!(!lines.iter().any(|l| l.split_whitespace().any(|w| w == "24")), "the packing has fewer registers");
        // So they do in the other files.
        let columns = |r: &Report| {
            let csv = r.csv().unwrap(); // in which nothing has a comma of its own
            let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
            let cell = |name: &str| lines[1][lines[0].iter().position(|h| *h == name).unwrap()].to_string();
            ["compiled_kernel", "registers", "spills", "waves", "instructions", "fma_share", "latency"].map(cell)
        };
        assert_eq!(columns(&full), ["conv2d.forward", "96", "0", "8", "1234", "0.876", ""]);
        let page = full.html().unwrap();
        let heads = Figures::HEADS.map(|h| format!("<th>{h}</th>")).concat();
        assert!(page.contains(&heads) && page.contains("<td>96</td><td>0</td><td>8</td><td>1234</td><td>88 %</td>"));
        for none in ["", ", \"compiled\": null"] {
            let bare = read(&row(none));
            assert!(bare.rows[0].compiled.is_none() && !report(&bare).contains("registers"));
            assert_eq!(columns(&bare), [""; 7]);
            assert!(!bare.html().unwrap().contains("<th>registers</th>"));
            assert!(serde_json::to_string(&bare).unwrap().contains("\"compiled\":null"));
        }
    }
}
