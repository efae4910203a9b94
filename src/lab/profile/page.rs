//! A profile as one HTML page that needs no other file.

use super::memory::KINDS;
use super::{Profile, Sum};
use crate::base::plot::{self, Axes, escape, ink};
use crate::base::{Error, Result};
use crate::lab::roofline::{self, Point};
use crate::tape::StepPart;
use plotters::prelude::*;

/// The kinds of memory, and of them the parts of a step, in the colours of the study's plots.
const COLOURS: [usize; KINDS.len()] = [3, 1, 2, 5, 0];

const STYLE: &str = "\
h3 { margin-top: 1.4rem; }
.bars td { border: 0; padding: .12rem .42rem; }
.bars td.bar { width: 60%; }
.bars i { display: inline-block; height: .85em; vertical-align: middle; }
.bars tr:nth-child(even) { background: color-mix(in srgb, var(--line) 25%, transparent); }
td.path { text-align: left; font-family: ui-monospace, Consolas, \"DejaVu Sans Mono\", monospace; font-size: .8rem; }
";

/// The whole page.
pub fn page(p: &Profile) -> Result<String> {
    let title = escape(&format!("Profile of {}", p.subject));
    let body = [summary(p), phases(p), kernels(p), roofline(p)?, layers(p), memory(p)?, host(p), about(p)].concat();
    let style = include_str!("../../study/report/style.css");
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    ))
}

/// The colour of a part of the step.
fn colour_of(phase: &str) -> String {
    plot::colour(COLOURS[KINDS.iter().position(|k| *k == phase).unwrap_or(0)])
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / (1 << 20) as f64)
}

fn summary(p: &Profile) -> String {
    let tile = |value: String, label: &str| {
        format!("<div class=\"card tile\"><b>{}</b><span>{label}</span></div>\n", escape(&value))
    };
    let (w, e) = (&p.whole, &p.environment);
    format!(
        "<p class=\"soft\">{}, {}; {} images a step; medians of {} steps.</p>\n<div class=\"tiles\">\n{}{}{}{}{}</div>\n\
         <p>Profiled dispatch by dispatch, a step took {:.2} times a plain one; the times of its kernels add up to {:.2} \
         times the device's time of a plain step.</p>\n",
        escape(&e.adapter),
        escape(&e.driver),
        p.images,
        p.steps,
        tile(format!("{:.1} ms", w.step_ms.median), "a plain step"),
        tile(format!("{:.1}", p.images as f64 / w.step_ms.median * 1e3), "images a second"),
        tile(format!("{:.1} ms", w.device_ms.median), "of it on the device"),
        tile(p.launches.len().to_string(), "dispatches"),
        tile(format!("{} MiB", mib(p.memory.allocated_bytes())), "device memory"),
        w.overhead,
        w.agreement,
    )
}

fn legend(names: &[&str]) -> String {
    let item = |name: &&str| format!("<li><i style=\"background:{}\"></i>{name}</li>", colour_of(name));
    format!("<ul class=\"legend\">{}</ul>\n", names.iter().map(item).collect::<String>())
}

/// A bar of the sum's time, split by the part of the step, against the longest.
fn bar(sum: &Sum, longest: f64) -> String {
    let part = |phase: &StepPart| {
        let (name, ms) = (phase.name(), sum.phases_ms.get(phase.name())?);
        let width = 100.0 * ms / longest;
        Some(format!("<i style=\"width:{width:.2}%;background:{}\" title=\"{name} {ms:.3} ms\"></i>", colour_of(name)))
    };
    StepPart::ALL.iter().filter_map(part).collect()
}

fn bars(sums: &[Sum]) -> String {
    let longest = sums.iter().map(|s| s.ms.median).fold(f64::MIN_POSITIVE, f64::max);
    let row = |s: &Sum| {
        format!(
            "<tr><td class=\"path\">{}</td><td>{:.2} ms</td><td>{:.1} %</td><td class=\"bar words\">{}</td></tr>\n",
            escape(&s.name),
            s.ms.median,
            100.0 * s.share,
            bar(s, longest)
        )
    };
    format!(
        "<div class=\"card scroll\"><table class=\"bars\">\n{}</table></div>\n",
        sums.iter().map(row).collect::<String>()
    )
}

fn phases(p: &Profile) -> String {
    format!("<h2>By part of the step</h2>\n{}", bars(&p.phases))
}

fn kernels(p: &Profile) -> String {
    let row = |s: &Sum| {
        format!(
            "<tr><td class=\"path\">{}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{:.1} %</td><td>{:.2}</td><td>{:.2}</td><td>{}</td></tr>\n",
            escape(&s.name),
            s.calls,
            s.dispatches,
            s.ms.median,
            100.0 * s.share,
            s.gflop_per_s,
            s.gb_per_s,
            s.roof_share.map_or(String::new(), |share| format!("{:.1} %", 100.0 * share))
        )
    };
    format!(
        "<h2>By kernel</h2>\n<p class=\"soft\">An entry with its variant; packing of operands is in its time and not in its \
         work.</p>\n{}{}<details><summary>As a table</summary><div class=\"scroll\"><table>\n<tr><th class=\"words\">kernel</th>\
         <th>calls</th><th>dispatches</th><th>ms</th><th>share</th><th>GFLOP/s</th><th>GB/s</th><th>of roof</th></tr>\n{}</table></div></details>\n",
        legend(&KINDS[..4]),
        bars(&p.kernels),
        p.kernels.iter().map(row).collect::<String>()
    )
}

/// Kernels against the adapter's roofs, if those were measured.
fn roofline(p: &Profile) -> Result<String> {
    let Some(roof) = &p.roof else { return Ok(String::new()) };
    let point = |s: &Sum| Point { name: s.name.clone(), flops: s.flops, bytes: s.bytes, ms: s.ms.median };
    let points: Vec<Point> = p.kernels.iter().map(point).collect();
    Ok(format!(
        "<h2>Against the roofs of the adapter</h2>\n<p class=\"soft\">Each kernel with all its calls as one point; above \
         the slope of the copy lies only what a cache holds.</p>\n<figure class=\"card\">{}</figure>\n",
        roofline::svg(roof, &points)?
    ))
}

fn layers(p: &Profile) -> String {
    format!("<h2>By layer</h2>\n{}{}", legend(&KINDS[..4]), bars(&p.layers))
}

fn memory(p: &Profile) -> Result<String> {
    let m = &p.memory;
    let held = m.allocated.iter().filter(|a| a.1 > 0);
    let held: Vec<String> = held.map(|(what, bytes)| format!("{what} {} MiB", mib(*bytes))).collect();
    let row = |a: &super::memory::Alive| {
        format!(
            "<tr><td>{}</td><td class=\"path\">{}</td><td class=\"words\">{}</td><td class=\"words\">{}</td><td>{} – {}</td></tr>\n",
            mib(a.bytes),
            escape(&a.label),
            escape(&a.ty),
            a.kind,
            a.born,
            a.dies
        )
    };
    Ok(format!(
        "<h2>Memory over the step</h2>\n<p class=\"soft\">Allocated for the step: {}. The slabs are buffers that values share \
         over time: without sharing the values would take {} MiB. The plot shows what is alive in them while each of the {} \
         nodes runs; at the peak, {}, it is {} MiB.</p>\n{}<figure class=\"card\">{}</figure>\n<h3>The largest values alive at \
         the peak</h3>\n<div class=\"scroll\"><table>\n<tr><th>MiB</th><th class=\"words\">made by</th><th class=\"words\">type\
         </th><th class=\"words\">kind</th><th>alive, nodes</th></tr>\n{}</table></div>\n",
        held.join(", "),
        mib(m.values_bytes),
        m.alive.len(),
        escape(&m.peak_label),
        mib(m.peak_bytes()),
        legend(&KINDS),
        memory_svg(p)?,
        m.at_peak.iter().take(20).map(row).collect::<String>()
    ))
}

/// Bytes alive by kind over the device's time, stacked.
fn memory_svg(p: &Profile) -> Result<String> {
    let mut text = String::new();
    draw(p, &mut text).map_err(|e| Error::Failed(format!("cannot draw the memory of a step: {e}")))?;
    plot::element("Bytes alive over the step", &text)
}

fn draw(p: &Profile, text: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    const SIZE: (u32, u32) = (1100, 340);
    let unit = (1 << 20) as f64;
    // A node's bytes are drawn from its first dispatch to the next node's.
    let nodes: Vec<(f64, usize)> =
        p.launches.chunk_by(|a, b| a.node == b.node).map(|c| (c[0].span_ms[0], c[0].node)).collect();
    let end = p.launches.last().map_or(1.0, |l| l.span_ms[1]);
    let slabs = p.memory.allocated.last().map_or(0, |a| a.1) as f64 / unit;
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    let axes = Axes {
        room: [12, 16, 64],
        x: 0.0..end,
        y: 0.0..slabs.max(1e-3) * 1.08,
        x_label: "ms on the device",
        ticks: 11,
        x_tick: &|v| format!("{v:.0}"),
        y_tick: &|v| format!("{v:.0} MiB"),
    };
    let mut chart = axes.on(&root)?;
    let mut base = vec![0.0; nodes.len()];
    for (kind, &colour) in COLOURS.iter().enumerate() {
        let top: Vec<f64> = nodes.iter().zip(&base).map(|(n, b)| b + p.memory.alive[n.1][kind] as f64 / unit).collect();
        let stairs = |heights: &[f64]| -> Vec<(f64, f64)> {
            let until = |i: usize| nodes.get(i + 1).map_or(end, |n| n.0);
            (0..nodes.len()).flat_map(|i| [(nodes[i].0, heights[i]), (until(i), heights[i])]).collect()
        };
        let outline: Vec<(f64, f64)> = stairs(&top).into_iter().chain(stairs(&base).into_iter().rev()).collect();
        chart.draw_series([Polygon::new(outline, plot::rgb(colour).mix(0.85).filled())])?;
        base = top;
    }
    chart.draw_series([PathElement::new([(0.0, slabs), (end, slabs)], BLACK.mix(0.6).stroke_width(1))])?;
    chart.draw_series([Text::new("slabs", (end * 0.005, slabs * 1.05), ink(14, 0.8))])?;
    root.present()?;
    drop(chart);
    Ok(())
}

fn host(p: &Profile) -> String {
    let (a, h) = (&p.preparation, &p.host);
    let row = |what: &str, ms: f64| format!("<tr><td class=\"words\">{what}</td><td>{ms:.2}</td></tr>\n");
    format!(
        "<h2>The host</h2>\n<div class=\"scroll\"><table>\n<tr><th class=\"words\">what</th><th>ms</th></tr>\n{}</table></div>\n",
        [
            row("once: record the step", a.record_ms),
            row("once: schedule", a.schedule_ms),
            row("once: fill the state, make buffers, pipelines and bind groups", a.compile_ms),
            row("once: the first step", a.first_step_ms),
            row("each step: write inputs and encode", h.encode_ms),
            row("each step: submit (a software driver may compute meanwhile)", h.submit_ms),
            row("each step: wait for the device", h.wait_ms),
        ]
        .concat()
    )
}

fn about(p: &Profile) -> String {
    let text = serde_json::to_string_pretty(&p.environment).unwrap_or_default();
    format!("<details><summary>Where and how it was measured</summary><pre>{}</pre></details>\n", escape(&text))
}
