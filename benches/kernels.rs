//! `wgslab bench` at the shapes that Burn 0.22.1 was measured at. It adds Burn's figures and the ratios to them.
//!
//! `cargo bench --bench kernels` times convolution (forward and both gradients) and matmul. `--set NAME` takes another
//! set of benches/sets/. `--filter TEXT` keeps the rows with the text in their name. `--variant NAME|all` takes other
//! variants than each op's first. `src/lab/bench.rs` says how rows are sampled.

mod common;

use clap::Parser;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wgslab::base::progress::Silent;
use wgslab::base::{Error, Result};
use wgslab::device::{Gpu, GpuOptions};
use wgslab::lab::{Asked, Row, SamplingRule, Set, bench, sets};

/// Times single kernels beside Burn's figures
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench kernels --")]
struct Arguments {
    /// Which shapes
    #[arg(long, default_value = "peers")]
    set: String,
    /// Variants by name, or all [default: those of the set]
    #[arg(long, value_name = "NAME|all")]
    variant: Vec<String>,
    /// Only rows whose name holds this text, such as conv2d.forward
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// The most seconds of samples for each row
    #[arg(long, value_name = "S", value_parser = seconds, default_value_t = 3.0)]
    seconds: f64,
    /// Write the report to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| (0.0..1e6).contains(s)).ok_or_else(|| "use seconds from 0 up".into())
}

/// Burn 0.22.1 (wgpu): the forward rate in GFLOP/s, and the mean that the ratio counts in. Measured on Mesa llvmpipe
/// 22.3.6 with 2 cores, after autotuning and warming up. It was not measured at 2048, so its best rate, that of 1024,
/// is used there.
const BURN: &[(&str, &str, f64)] = &[
    ("3x3 64@56 N16", "3x3", 3.5),
    ("3x3 128@28 N16", "3x3", 3.3),
    ("3x3 256@14 N16", "3x3", 2.4),
    ("3x3 512@7 N16", "3x3", 2.7),
    ("1x1 64->256@56 N16", "1x1", 6.0),
    ("7x7/2 3->64@224 N8", "7x7/2", 0.8),
    ("512", "matmul", 9.5),
    ("1024", "matmul", 11.0),
    ("2048", "matmul", 11.0),
];

/// The window and Burn's figure for a row's case; `None` outside the set `peers`, since cases are matched by name.
fn peer(set: &str, row: &Row) -> Option<(&'static str, f64)> {
    let (_, family, burn) = BURN.iter().find(|b| set == "peers" && b.0 == row.case)?;
    Some((family, *burn))
}

fn line(set: &str, row: &Row) -> String {
    let (ms, gf, gb) = (row.ms(), row.gflop_per_s(), row.gb_per_s());
    let peer = peer(set, row).map(|(_, burn)| format!("{burn:5.1} {:6.1}", gf / burn)).unwrap_or_default();
    let times = format!("{:10.4} {:10.4} {:10.4}", ms.median, ms.q1, ms.q3);
    format!("{:44} {:20} {times} {gf:8.2} {gb:7.2} {peer}", row.name(), row.variant).trim_end().to_string()
}

/// Prints the geometric mean and the least of the ratios to Burn's forward pass, by window and by direction. If a shape
/// has several variants, the fastest counts.
fn print_means(set: &str, rows: &[Row]) {
    let mut best: BTreeMap<(&str, &str, &str), f64> = BTreeMap::new();
    for row in rows {
        if let Some((family, burn)) = peer(set, row) {
            let ratio = row.gflop_per_s() / burn;
            let most = best.entry((family, &row.entry, &row.case)).or_insert(ratio);
            *most = most.max(ratio);
        }
    }
    if !best.is_empty() {
        println!("\ntimes Burn's forward pass, geometric mean (least)");
    }
    let mean = |over: &str, entry: &str, families: &[&str]| {
        let fits = |k: &(&str, &str, &str)| k.1 == entry && families.contains(&k.0);
        let ratios: Vec<f64> = best.iter().filter(|(k, _)| fits(k)).map(|(_, r)| *r).collect();
        if !ratios.is_empty() {
            let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            println!("{:44} {mean:6.1} ({least:.1})", format!("{entry} {over}"));
        }
    };
    for entry in ["conv2d.forward", "conv2d.grad_input", "conv2d.grad_weight"] {
        mean("3x3", entry, &["3x3"]);
        mean("1x1", entry, &["1x1"]);
        mean("3x3 and 1x1", entry, &["3x3", "1x1"]);
    }
    mean("512 to 2048", "matmul.forward", &["matmul"]);
}

fn run() -> Result<()> {
    let a = Arguments::parse();
    let gpu = Gpu::open(&GpuOptions::default())?;
    let Some(set) = Set::built_in(&a.set).transpose()? else {
        return Err(Error::Usage(format!("--set {}: the sets are {}", a.set, sets::names().join(", "))));
    };
    let least = SamplingRule::default().seconds.min(a.seconds);
    let rule = SamplingRule { seconds: least, limit: a.seconds, ..SamplingRule::default() };
    let asked = Asked { variants: a.variant, filter: a.filter, rule, ..Asked::default() };
    println!("{}, {}", gpu.adapter().name, gpu.adapter().driver);
    println!(
        "{:44} {:20} {:>10} {:>10} {:>10} {:>8} {:>7} {:>5} {:>6}",
        "kernel and shape", "variant", "median ms", "q1", "q3", "GFLOP/s", "GB/s", "Burn", "times"
    );
    for report in bench(&[&gpu], &set, &asked, &Silent)? {
        report.rows.iter().for_each(|row| println!("{}", line(&a.set, row)));
        print_means(&a.set, &report.rows);
        if let Some(path) = &a.json {
            report.save(path)?;
        }
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::ended(run())
}
