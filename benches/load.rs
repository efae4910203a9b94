//! Times the decoding of a set of picture files into memory, without a cache.
//!
//! `cargo bench --bench load -- photos --store 224` reads every file of the folder `photos`, decodes it, resizes it where it has
//! another size, and keeps its bytes as a study does. `benches/peers/torch_load.py` reads the same folder with PyTorch's
//! DataLoader and takes turns with this program.

mod common;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;
use std::time::Instant;
use wgslab::base::Result;
use wgslab::data::decode::MAX_PIXELS;
use wgslab::data::{LoadOptions, MAX_BYTES, load_all};
use wgslab::lab::Spread;

/// Times the decoding of picture files
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench load --")]
struct Arguments {
    /// The dataset, as `wgslab data inspect` takes it
    spec: String,
    /// Pixels of a side of a stored image
    #[arg(long, default_value_t = 224, value_parser = RangedU64ValueParser::<usize>::new().range(4..=2048))]
    store: usize,
    /// Channels of an image, 1 or 3
    #[arg(long, default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=3))]
    channels: usize,
    /// Rounds; each decodes all files
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
    /// Write the report to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn run() -> Result<()> {
    let a = Arguments::parse();
    let options = LoadOptions {
        data_root: ".".into(),
        store_size: a.store,
        channels: a.channels,
        val_fraction: 0.0,
        seed: 0,
        max_pixels: MAX_PIXELS,
        max_bytes: MAX_BYTES,
        bit_depth: 16,
        strict: true, // a file that is left out would make the others look faster
        cache: None,
        paging: None,
    };
    let (mut seconds, mut images) = (Vec::new(), 0);
    for _ in 0..a.rounds {
        let since = Instant::now();
        let data = load_all(&a.spec, &options, &|_, _| ())?;
        seconds.push(since.elapsed().as_secs_f64());
        images = data.parts.iter().flatten().map(|part| part.images.len()).sum();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = serde_json::json!({
        "schema": "wgslab-load/1", "spec": a.spec, "store": a.store, "channels": a.channels, "images": images,
        "threads": threads, "seconds": seconds, "images_per_s": images as f64 / Spread::of(&seconds).median,
        "peak_process_bytes": common::peak_process_bytes(),
    });
    common::tell(&report, a.json.as_deref())
}

fn main() -> std::process::ExitCode {
    common::ended(run())
}
