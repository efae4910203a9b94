//! Times steps on images that stream from pages on disk beside steps on images that the device holds, interleaved.
//!
//! `cargo bench --bench stream -- --images 100000 --store 224` makes so many images of noise (no file of images is needed;
//! 100,000 of 224 × 224 in colour are 14 GiB in --folder, and are gone at the end), then takes rounds of steps of SimCLR
//! with a ResNet-18: `--steps` resident ones and as many streamed ones, by turns first. Streamed steps take images in random
//! order, as an epoch does, and each round begins to read anew. It prints images per second of both, how much longer a
//! streamed round took, and the peak of the process's memory before the images were made, after it and at the end. Where other
//! programs work beside it, the processor time of a round says more than its length: on a software driver it holds the
//! device's work, too.

mod common;
#[path = "common/simclr.rs"]
mod simclr;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use wgslab::base::rng::Rng;
use wgslab::base::{Error, Result, files};
use wgslab::data::Paged;
use wgslab::data::store::ImageStore;
use wgslab::device::{Gpu, GpuOptions, Ticket};
use wgslab::kernels::fuse;
use wgslab::lab::{Environment, Spread};
use wgslab::nn::{Precision, ResNet, Stem};
use wgslab::tape::{Feed, Plan, Schedule, State};

/// Times streamed and resident steps
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench stream --")]
struct Arguments {
    /// Images that are streamed
    #[arg(long, default_value_t = 100_000, value_parser = at_least_one())]
    images: usize,
    /// Pixels of a side of a stored image
    #[arg(long, default_value_t = 224, value_parser = at_least_one())]
    store: usize,
    /// Pixels of a side of what the network sees
    #[arg(long, default_value_t = 64, value_parser = at_least_one())]
    size: usize,
    /// Channels of an image
    #[arg(long, default_value_t = 3, value_parser = at_least_one())]
    channels: usize,
    /// Images of a step
    #[arg(long, default_value_t = 32, value_parser = at_least_one())]
    batch: usize,
    /// Scales the channels of the network
    #[arg(long, default_value_t = 0.25)]
    width: f64,
    /// Steps of a round, of each kind
    #[arg(long, default_value_t = 10, value_parser = at_least_one())]
    steps: usize,
    /// Rounds
    #[arg(long, default_value_t = 8, value_parser = at_least_one())]
    rounds: usize,
    /// Images that the device holds, for resident steps
    #[arg(long, default_value_t = 256, value_parser = at_least_one())]
    resident: usize,
    /// Where the pages are
    #[arg(long, default_value = "target/stream")]
    folder: PathBuf,
    /// Write the report to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Images of noise: each is a part of one long noise that begins at a place of its own.
#[derive(Clone)]
struct Noise {
    all: Arc<Vec<u8>>,
    stride: usize,
}

impl Noise {
    fn new(stride: usize) -> Noise {
        let mut rng = Rng::new(1, 0, 0);
        Noise { all: Arc::new((0..2 * stride).map(|_| rng.word() as u8).collect()), stride }
    }

    fn image(&self, i: usize) -> Vec<u8> {
        let mut image = self.all[i % self.stride..][..self.stride].to_vec();
        image.iter_mut().zip(i.to_le_bytes()).for_each(|(byte, number)| *byte = number); // no two are equal
        image
    }
}

/// One of the two ways, compiled.
struct Way {
    store: ImageStore,
    plan: Plan,
    _state: State,
}

impl Way {
    fn new(gpu: &Gpu, store: ImageStore, mut state: State, a: &Arguments) -> Result<Way> {
        let backbone = ResNet::resnet18(Stem::Small, a.width, a.channels);
        let (tape, params) = simclr::record(&store, &backbone, a.batch, a.size as u32, Precision::F32)?;
        params.fill(gpu, &mut state, 0)?;
        state.insert_missing(gpu, &tape.state_types())?;
        let plan = Plan::new(gpu, Schedule::new(&tape, &fuse::options(gpu.caps()))?, &state)?;
        Ok(Way { store, plan, _state: state })
    }

    /// Takes a step for each list of images, the host one step ahead of the device as in a study. Gives the seconds that passed,
    /// and those of the processor.
    fn round(&self, gpu: &Gpu, steps: &[Vec<u32>]) -> Result<[f64; 2]> {
        let (since, processor) = (Instant::now(), processor_s());
        let ahead = self.store.steps(steps.iter().cloned())?;
        let mut in_flight: Option<Ticket> = None;
        for indices in steps {
            let images = ahead.next(&|note| eprintln!("{note}"))?;
            let mut feed = Feed::new().input("indices", indices).scalar("epoch", 0.0).scalar("lr", 1e-4);
            images.iter().for_each(|images| images.feed(&mut feed, 0..indices.len(), &|_| true));
            let ticket = self.plan.run(gpu, &feed)?;
            if let Some(before) = in_flight.replace(ticket) {
                gpu.wait_for(&before)?;
            }
        }
        gpu.wait()?;
        Ok([since.elapsed().as_secs_f64(), processor_s() - processor])
    }
}

/// Seconds of the processor that this process has taken, to a hundredth; only Linux tells them, and elsewhere they are 0.
fn processor_s() -> f64 {
    let stat = files::read_text(Path::new("/proc/self/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn run() -> Result<()> {
    let a = Arguments::parse();
    if a.batch > a.images.min(a.resident) {
        return Err(Error::Usage(format!("--batch {} is more than --images or --resident", a.batch)));
    }
    let (gpu, stride) = (Gpu::open(&GpuOptions::default())?, a.store * a.store * a.channels);
    let before_bytes = common::peak_process_bytes();
    let (since, path) = (Instant::now(), a.folder.join("images.pages"));
    let noise = Noise::new(stride);
    let images = noise.clone();
    let pages = Paged::made(&path, (a.images, stride), move |i| images.image(i))?;
    let made_s = since.elapsed().as_secs_f64();
    let made_bytes = common::peak_process_bytes();
    let store = ImageStore::streaming(&gpu, "train", (&pages, a.images), [a.store, a.channels], None)?;
    let streamed = Way::new(&gpu, store, State::new(), &a)?;
    let (mut state, held) = (State::new(), (0..a.resident).flat_map(|i| noise.image(i)).collect::<Vec<u8>>());
    let store = ImageStore::upload(&gpu, &mut state, "train", &held, [a.store, a.channels], None)?;
    drop(held);
    let resident = Way::new(&gpu, store, state, &a)?;
    let mut rng = Rng::new(0, 0, 0);
    let mut draw = |count: usize, steps: usize| -> Vec<Vec<u32>> {
        let step = |_| (0..a.batch).map(|_| rng.below(count) as u32).collect();
        (0..steps).map(step).collect()
    };
    resident.round(&gpu, &draw(a.resident, 2))?;
    streamed.round(&gpu, &draw(a.images, 2))?;
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..a.rounds {
        let (of_resident, of_streamed) = (draw(a.resident, a.steps), draw(a.images, a.steps));
        for way in [round % 2, 1 - round % 2] {
            let took = if way == 0 { resident.round(&gpu, &of_resident) } else { streamed.round(&gpu, &of_streamed) };
            seconds[way].push(took?);
        }
    }
    report(&gpu, &a, &seconds, (made_s, [before_bytes, made_bytes, common::peak_process_bytes()]))
}

fn report(gpu: &Gpu, a: &Arguments, took: &[Vec<[f64; 2]>; 2], (made_s, peaks): (f64, [Option<u64>; 3])) -> Result<()> {
    let of = |which: usize| took.each_ref().map(|all| all.iter().map(|t| t[which]).collect::<Vec<f64>>());
    let longer =
        |of: &[Vec<f64>; 2]| of[0].iter().zip(&of[1]).map(|(r, s)| 100.0 * (s / r - 1.0)).collect::<Vec<f64>>();
    let (seconds, processor) = (of(0), of(1));
    let processor_all = processor.each_ref().map(|all| all.iter().sum::<f64>());
    let rate = |seconds: &[f64]| (a.steps * a.batch) as f64 / Spread::of(seconds).median;
    let report = serde_json::json!({
        "schema": "wgslab-stream/1", "environment": Environment::of(gpu), "adapter": gpu.adapter().name,
        "driver": gpu.adapter().driver, "images": a.images, "store": a.store, "channels": a.channels, "size": a.size,
        "batch": a.batch, "width": a.width, "steps": a.steps, "rounds": a.rounds,
        "disk_bytes": a.images * a.store * a.store * a.channels, "made_s": made_s,
        "resident_images_per_s": rate(&seconds[0]), "streamed_images_per_s": rate(&seconds[1]),
        "resident_s": seconds[0], "streamed_s": seconds[1],
        "resident_processor_s": processor[0], "streamed_processor_s": processor[1],
        "longer_percent": Spread::of(&longer(&seconds)), "longer_percent_each": longer(&seconds),
        "more_processor_percent": 100.0 * (processor_all[1] / processor_all[0] - 1.0),
        "more_processor_percent_each": longer(&processor),
        "peak_process_bytes": { "before": peaks[0], "images_made": peaks[1], "end": peaks[2] },
        "peak_device_bytes": gpu.meter().peak_bytes(),
    });
    common::tell(&report, a.json.as_deref())
}

fn main() -> std::process::ExitCode {
    common::ended(run())
}
