//! A report as one HTML page that needs no other file, and as a table for spreadsheets. Both have the verdicts of a
//! comparison, if there is one.

mod verdicts;

use super::chart::{Line, bars, strips};
use super::spread::figures;
use super::{Figures, Report, Row, Spread, Timer};
use crate::base::plot::{colour, escape};
use crate::base::{Error, Result};

impl Report {
    /// The page: what was measured where, every row in a table, and for each op its rates and the samples of its rows.
    pub fn html(&self) -> Result<String> {
        let title = format!("Kernels on {}", self.environment.adapter);
        let verdicts = self.comparison.as_ref().map(verdicts::section).transpose()?.unwrap_or_default();
        let mut body = format!("<h1>{}</h1>\n{}{verdicts}{}", escape(&title), self.about(), self.table());
        let mut ops: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !ops.contains(&row.op.as_str()) {
                ops.push(&row.op);
            }
        }
        body += "<h2>Rates and samples</h2>\n<p class=\"soft\">Bars are rates at the median: arithmetic where a kernel does \
                 more than four operations for each byte of its operands, else memory. Below them stands every sample over \
                 its row's median, in the order they were taken from top to bottom: a slope is a machine that drifts, a \
                 wide box (quartile to quartile) is noise.</p>\n";
        for op in ops {
            body += &self.op(op)?;
        }
        let style = concat!(include_str!("../../study/report/style.css"), include_str!("page.css"));
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
            escape(&title)
        ))
    }

    /// The environment, the reference kernel and what was skipped.
    fn about(&self) -> String {
        let e = &self.environment;
        let tile = |value: &str, label: &str| {
            format!("<div class=\"card tile\"><b>{}</b><span>{label}</span></div>\n", escape(value))
        };
        let commit = e.git_commit.as_deref().map_or("no checkout".to_string(), |c| {
            format!("{}{}", c.get(..10).unwrap_or(c), if e.git_dirty == Some(true) { ", edited" } else { "" })
        });
        let reference = self.reference.as_ref().map_or(String::new(), |r| {
            let ms = r.ms();
            tile(&format!("{:.3} ms ± {:.1} %", ms.median, 50.0 * ms.relative_iqr()), "reference kernel, half its IQR")
        });
        // A peer writes its framework's name there.
        let library = match e.wgpu.starts_with(|c: char| c.is_ascii_digit()) {
            true => format!("wgpu {}", e.wgpu),
            false => e.wgpu.clone(),
        };
        let clock = match e.timer {
            Timer::Timestamps => "the device's timestamps",
            Timer::Wall => "the wall clock",
        };
        let skipped: String = self
            .skipped
            .iter()
            .map(|s| format!("<li>{} {}: {}</li>\n", escape(&s.op), escape(&s.case), escape(&s.why)))
            .collect();
        let skipped = match skipped.is_empty() {
            true => String::new(),
            false => format!("<p><b>Skipped</b>, because it cannot run here:</p>\n<ul>\n{skipped}</ul>\n"),
        };
        // The report of a browser has none.
        let arguments = match e.arguments.as_slice() {
            [] => String::new(),
            words => format!("<p class=\"soft\">Arguments: {}</p>\n", escape(&words.join(" "))),
        };
        let shaders = e.shaders.as_ref().map_or(String::new(), |hash| {
            tile(e.shader_folder.as_deref().unwrap_or("edited"), &format!("shaders, {hash}; they run with checks"))
        });
        format!(
            "<p class=\"soft\">{} rows, timed by {clock}, {}.</p>\n<div class=\"tiles\">\n{}{}{}{}{shaders}{reference}</div>\n\
             {arguments}{skipped}",
            self.rows.len(),
            escape(&e.time),
            tile(&e.driver, "driver"),
            tile(&format!("{}, {library}", e.backend), "backend"),
            tile(&format!("{}; {}", e.cpu, e.os), "machine"),
            tile(&commit, "source tree's HEAD at the time"),
        )
    }

    fn table(&self) -> String {
        let roof = self.rows.iter().any(|r| r.roof_share.is_some());
        let head = ["median, ms", "quartiles, ms", "samples", "GFLOP/s", "GB/s"].map(|h| format!("<th>{h}</th>"));
        let words = ["kernel", "case", "variant", "timer", "cache"].map(|h| format!("<th class=\"words\">{h}</th>"));
        // As on the terminal, only a driver that tells what it compiles has these columns.
        let told = self.rows.iter().any(|r| r.compiled.is_some());
        let heads = Figures::HEADS.map(|h| format!("<th>{h}</th>"));
        let mut text = format!(
            "<h2>Every row</h2>\n<div class=\"card scroll\">\n<table>\n<thead><tr>{}{}{}{}<th></th></tr></thead>\n<tbody>\n",
            words.concat(),
            head.concat(),
            if roof { "<th>of roof</th>" } else { "" },
            if told { heads.concat() } else { String::new() }
        );
        for (i, r) in self.rows.iter().enumerate() {
            let (ms, new) = (r.ms(), i == 0 || self.rows[i - 1].op != r.op);
            let share = r.roof_share.map_or("-".to_string(), |s| format!("{:.0} %", 100.0 * s));
            let cells = Figures::cells(r.compiled.as_deref().and_then(Figures::shown));
            let compiled = cells.map(|cell| format!("<td>{cell}</td>")).concat();
            text += &format!(
                "<tr{}><td class=\"words\">{}</td><td class=\"words\" title=\"{}\">{}</td><td class=\"words\">{}</td>\
                 <td class=\"words\">{}</td><td class=\"words\">{}</td><td>{}</td>\
                 <td>{} to {}</td><td>{}</td><td>{}</td><td>{}</td>{}{}<td class=\"bad\">{}</td>\
                 </tr>\n",
                if new { " class=\"group\"" } else { "" },
                escape(&r.entry),
                escape(&r.shape),
                escape(&r.case),
                escape(&r.variant),
                r.timer.name(),
                r.cache.name(),
                figures(ms.median, 4),
                figures(ms.q1, 3),
                figures(ms.q3, 3),
                r.samples_ms.len(),
                figures(r.gflop_per_s(), 3),
                figures(r.gb_per_s(), 3),
                if roof { format!("<td>{share}</td>") } else { String::new() },
                if told { compiled } else { String::new() },
                if r.noisy { "noisy" } else { "" }
            );
        }
        text + "</tbody>\n</table>\n</div>\n"
    }

    /// The charts of an op, its variants in colours of their own.
    fn op(&self, op: &str) -> Result<String> {
        let rows: Vec<&Row> = self.rows.iter().filter(|r| r.op == op).collect();
        let mut variants: Vec<&str> = rows.iter().map(|r| r.variant.as_str()).collect();
        variants.sort_unstable();
        variants.dedup();
        let arithmetic = rows.iter().any(|r| r.flops > 4 * r.bytes);
        let line = |r: &&Row| {
            let median = r.ms().median;
            Line {
                label: format!("{} · {}", r.direction, r.case),
                colour: 1 + variants.iter().position(|v| *v == r.variant).unwrap_or(0),
                samples: r.samples_ms.iter().map(|ms| ms / median).collect(),
                rate: if arithmetic { r.gflop_per_s() } else { r.gb_per_s() },
            }
        };
        let lines: Vec<Line> = rows.iter().map(line).collect();
        let unit = if arithmetic { "GFLOP/s" } else { "GB/s" };
        let legend: String = variants
            .iter()
            .enumerate()
            .map(|(i, v)| format!("<li><i style=\"background:{}\"></i>{}</li>", colour(1 + i), escape(v)))
            .collect();
        Ok(format!(
            "<h3>{}</h3>\n<ul class=\"legend\">{legend}</ul>\n<div class=\"card chart\">\n<figure>{}</figure>\n\
             <details><summary>every sample</summary>\n<figure>{}</figure></details>\n</div>\n",
            escape(op),
            bars(&format!("{op}: {unit}"), unit, &lines)?,
            strips(&format!("{op}: samples"), &lines)?,
        ))
    }

    /// A line for each row, with its statistics instead of its samples. Some columns are what the driver's compiler says of
    /// the kernel with the most registers, empty where it tells nothing.
    pub fn csv(&self) -> Result<String> {
        let mut out = ::csv::Writer::from_writer(Vec::new());
        let bad = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write the report as CSV: {e}"));
        out.write_record([
            "op",
            "entry",
            "direction",
            "case",
            "shape",
            "variant",
            "cache",
            "timer",
            "samples",
            "repeats",
            "median_ms",
            "q1_ms",
            "q3_ms",
            "wall_ms",
            "reference_ms",
            "flops",
            "bytes",
            "gflop_per_s",
            "gb_per_s",
            "roof_share",
            "noisy",
            "compiled_kernel",
            "registers",
            "spills",
            "waves",
            "workgroup_bytes",
            "instructions",
            "fma_share",
            "latency",
            "inverse_throughput",
            "base_variant",
            "base_ms",
            "ratio",
            "ratio_low",
            "ratio_high",
            "verdict",
        ])
        .map_err(|e| bad(&e))?;
        for r in &self.rows {
            let (ms, timer) = (r.ms(), r.timer.name());
            let median =
                |list: &[f64]| if list.is_empty() { String::new() } else { Spread::of(list).median.to_string() };
            let words = [&r.op, &r.entry, &r.direction, &r.case, &r.shape, &r.variant].map(String::clone);
            let counts =
                [r.cache.name().to_string(), timer.to_string(), r.samples_ms.len().to_string(), r.repeats.to_string()];
            let times = [ms.median, ms.q1, ms.q3].map(|v| v.to_string());
            let beside = [median(&r.wall_ms), median(&r.reference_ms), r.flops.to_string(), r.bytes.to_string()];
            let rates = [r.gflop_per_s(), r.gb_per_s()].map(|v| v.to_string());
            let last = [r.roof_share.map(|s| s.to_string()).unwrap_or_default(), r.noisy.to_string()];
            let verdict = self.comparison.as_ref().and_then(|c| c.of(r)).map_or_else(Default::default, |c| {
                let (j, number) = (c.judgement, |v: f64| v.to_string());
                let ratios = [c.base_ms, j.ratio, j.low, j.high].map(number);
                let [base, ratio, low, high] = ratios;
                [c.base_variant.clone(), base, ratio, low, high, j.verdict.name().to_string()]
            });
            let numbers = counts.iter().chain(&times).chain(&beside).chain(&rates).chain(&last);
            let compiled = compiled_cells(r);
            let record = words.iter().chain(numbers).chain(&compiled).chain(&verdict);
            out.write_record(record).map_err(|e| bad(&e))?;
        }
        let bytes = out.into_inner().map_err(|e| bad(&e))?;
        String::from_utf8(bytes).map_err(|e| bad(&e))
    }
}

/// The cells of a row's line that a compiler tells: the kernel with the most registers and what a compiler says of it.
fn compiled_cells(row: &Row) -> [String; 9] {
    let Some(f) = row.compiled.as_deref().and_then(Figures::shown) else { return Default::default() };
    let shown = |figure: Option<u64>| figure.map_or_else(String::new, |v| v.to_string());
    let fma = f.fma_share.map_or_else(String::new, |share| share.to_string());
    let [registers, spills, waves, workgroup] = [f.registers, f.spills, f.waves, f.workgroup_bytes].map(shown);
    let [instructions, latency, throughput] = [f.instructions, f.latency, f.inverse_throughput].map(shown);
    [f.kernel.clone(), registers, spills, waves, workgroup, instructions, fma, latency, throughput]
}
