//! A page of reports that people collected: what each kernel takes on each device.

use super::chart::{Line, bars};
use super::compare::{Place, place};
use super::side_by_side::{OtherReport, load};
use super::spread::figures;
use super::{Row, Timer};
use crate::base::plot::{colour, escape};
use crate::base::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The reports of every .json file of a folder, in the order of their names. Each is called as its file. It is an error
/// if there is none, or if a file is no report.
pub fn reports(folder: &Path) -> Result<Vec<OtherReport>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read the folder", e))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, "read the folder", e))?.path();
        if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds no .json file; `wgslab bench --json` and the page of `wgslab export bench` make some",
            folder.display()
        )));
    }
    load(&files)
}

/// The page of `reports`: the devices, every kernel with its time on each, and the rates as bars. It depends on the
/// reports alone.
pub fn html(reports: &[OtherReport]) -> Result<String> {
    let kernels = kernels(reports);
    let title = "Kernels on many devices";
    let lead = format!(
        "<p class=\"soft\">{} reports, {} kernels at their shapes. Below a time stands the variant that was the fastest of \
         those measured there. A share is of the device's own roof, where one was measured, and above 100 % where a cache \
         holds the operands. A browser adds bounds checks and hides its driver.</p>\n",
        reports.len(),
        kernels.len()
    );
    let mut body = format!("<h1>{title}</h1>\n{lead}{}{}", devices(reports), times(reports, &kernels));
    body += "<h2>Rates</h2>\n<p class=\"soft\">Arithmetic where a kernel does more than four operations for each byte of its \
             operands, else memory.</p>\n";
    let legend: String = reports.iter().enumerate().map(|(i, r)| swatch(i, &r.label)).collect();
    body += &format!("<ul class=\"legend\">{legend}</ul>\n");
    let mut ops: Vec<&str> = Vec::new();
    for kernel in &kernels {
        if !ops.contains(&kernel.op) {
            ops.push(kernel.op);
        }
    }
    for op in ops {
        body += &rates(op, reports, &kernels)?;
    }
    let style = concat!(include_str!("../study/report/style.css"), include_str!("page/page.css"));
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    ))
}

/// A kernel at a shape, with the fastest row of each report that has it.
struct Kernel<'a> {
    op: &'a str,
    entry: &'a str,
    case: &'a str,
    shape: &'a str,
    rows: Vec<Option<&'a Row>>,
}

/// All kernels, in the order in which the reports have them.
fn kernels(reports: &[OtherReport]) -> Vec<Kernel<'_>> {
    let (mut list, mut at): (Vec<Kernel<'_>>, HashMap<Place<'_>, usize>) = (Vec::new(), HashMap::new());
    for (i, report) in reports.iter().enumerate() {
        for row in &report.report.rows {
            let here = *at.entry(place(row)).or_insert_with(|| {
                let rows = vec![None; reports.len()];
                list.push(Kernel { op: &row.op, entry: &row.entry, case: &row.case, shape: &row.shape, rows });
                list.len() - 1
            });
            let best = &mut list[here].rows[i];
            if best.is_none_or(|b| row.ms().median < b.ms().median) {
                *best = Some(row);
            }
        }
    }
    // A report may have rows that others lack: those of an op stay together.
    let order: Vec<&str> = list.iter().map(|k| k.op).collect();
    list.sort_by_key(|k| order.iter().position(|op| *op == k.op));
    list
}

fn swatch(i: usize, label: &str) -> String {
    format!("<li><i style=\"background:{}\"></i>{}</li>", colour(1 + i), escape(label))
}

/// A card for each device: what it is, and what measured it.
fn devices(reports: &[OtherReport]) -> String {
    let mut text = String::from("<h2>Devices</h2>\n<div class=\"plots\">\n");
    for r in reports {
        let e = &r.report.environment;
        let program = match e.wgpu.starts_with(|c: char| c.is_ascii_digit()) {
            true => format!("wgslab with wgpu {}", e.wgpu),
            false => e.wgpu.clone(),
        };
        let clock = match e.timer {
            Timer::Timestamps => "the device's timestamps",
            Timer::Wall => "the wall clock",
        };
        let reference =
            r.report.reference.as_ref().map_or(String::new(), |row| {
                format!("; the reference kernel takes {} ms", figures(row.ms().median, 3))
            });
        text += &format!(
            "<div class=\"card\">\n<h3>{}</h3>\n<p><b>{}</b><br>{}, {}</p>\n<p class=\"soft\">{}; {}</p>\n\
             <p class=\"soft\">{} rows by {}, timed by {clock} on {}{reference}</p>\n</div>\n",
            escape(&r.label),
            escape(&e.adapter),
            escape(&e.driver),
            escape(&e.backend),
            escape(&e.os),
            escape(&e.cpu),
            r.report.rows.len(),
            escape(&program),
            escape(e.time.get(..10).unwrap_or(&e.time))
        );
    }
    text + "</div>\n"
}

/// A line for each kernel with its time on each device.
fn times(reports: &[OtherReport], kernels: &[Kernel<'_>]) -> String {
    let labels: String = reports.iter().map(|r| format!("<th scope=\"col\">{}, ms</th>", escape(&r.label))).collect();
    let mut text = format!(
        "<h2>Times</h2>\n<div class=\"card scroll\">\n<table class=\"kernels\">\n<thead><tr><th scope=\"col\" class=\"words\">kernel \
         and case</th>{labels}</tr></thead>\n<tbody>\n"
    );
    for (i, k) in kernels.iter().enumerate() {
        let group = if i == 0 || kernels[i - 1].op != k.op { " class=\"group\"" } else { "" };
        let cells: String = k.rows.iter().map(|row| row.map_or("<td>-</td>".to_string(), cell)).collect();
        text += &format!(
            "<tr{group}><th scope=\"row\" class=\"words\" title=\"{}\">{}<small>{}</small></th>{cells}</tr>\n",
            escape(k.shape),
            escape(k.entry).replacen('.', ".<wbr>", 1),
            escape(k.case)
        );
    }
    text + "</tbody>\n</table>\n</div>\n"
}

/// A time, its variant, its share of the roof, and whether it is noisy.
fn cell(row: &Row) -> String {
    let share = row.roof_share.map(|s| format!("{:.0} % of roof", 100.0 * s));
    let noisy = row.noisy.then(|| "<span class=\"bad\">noisy</span>".to_string());
    let more: Vec<String> = share.into_iter().chain(noisy).collect();
    let more = if more.is_empty() { String::new() } else { format!("<small>{}</small>", more.join(", ")) };
    format!("<td>{}<small>{}</small>{more}</td>", figures(row.ms().median, 4), escape(&row.variant))
}

/// The bars of an op: a line for each kernel and device.
fn rates(op: &str, reports: &[OtherReport], kernels: &[Kernel<'_>]) -> Result<String> {
    let own: Vec<&Kernel<'_>> = kernels.iter().filter(|k| k.op == op).collect();
    let rows = || own.iter().flat_map(|k| k.rows.iter().enumerate().filter_map(move |(i, row)| Some((k, i, (*row)?))));
    let arithmetic = rows().any(|(_, _, r)| r.flops > 4 * r.bytes);
    let line = |(k, i, row): (&&Kernel<'_>, usize, &Row)| Line {
        label: format!("{} · {} · {}", row.direction, k.case, reports[i].label),
        colour: 1 + i,
        samples: Vec::new(),
        rate: if arithmetic { row.gflop_per_s() } else { row.gb_per_s() },
    };
    let unit = if arithmetic { "GFLOP/s" } else { "GB/s" };
    let svg = bars(&format!("{op}: {unit}"), unit, &rows().map(line).collect::<Vec<_>>())?;
    Ok(format!("<h3>{}</h3>\n<div class=\"card chart\"><figure>{svg}</figure></div>\n", escape(op)))
}
