//! `wgslab kernels stats`.

use super::listener::Listener;
use super::network::precision;
use super::options::Options;
use super::output::{complain, expect_writable, print, table, temporary};
use super::signals;
use crate::base::{Error, Progress, Result, files};
use crate::device::tie::Made;
use crate::device::{Gpu, Kernel};
use crate::lab::Figures;
use crate::lab::statistics::asked::{Asked, Whose, radv};
use crate::lab::statistics::compare::{Change, Verdict, compare};
use crate::lab::statistics::models::{of_methods, of_step};
use crate::lab::statistics::{Row, SCHEMA, Subject, Table, ask, figures, of_driver_in_use, serve, subjects};
use crate::nn::step::TrainingStep;
use crate::nn::{GlobalPool, Model, Precision, Stem, backbone};
use crate::study::Config;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Say what a GPU's own compiler makes of the kernels: registers, spills, waves, instructions
///
/// Nothing is run. Without --for the driver in use is asked, where it tells
/// (VK_KHR_pipeline_executable_properties). With --for, Mesa's RADV compiles for AMD GPUs that are
/// not there. Every variant of an entry is compiled for the shape of its largest case, or of --case. Figures are
/// those of the compiler: latency and inverse throughput count a loop once or a few times, so compare
/// versions of one kernel only. "fma" is the share of multiply-adds in the vector cycles of the loop
/// that has the most of them; "loads/fma", "waits" and "round trips" (to buffers; loads that are on their way
/// together are one) are counted there. With --shaders, edited text
/// is compiled as it would run without checks.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab kernels stats conv2d --case '3x3 stride 2' --for gfx1100
  wgslab kernels stats matmul.forward --variant tiled_128 --for vega20,navi21,gfx1100 --json base.json
  wgslab kernels stats matmul.forward --for gfx1100 --shaders mine --compare base.json    exit code 5 where a row is worse
  wgslab kernels stats --model resnet18 --for gfx1100 --csv resnet18.csv    what a training step launches
  wgslab kernels stats --model resnet18 --precision f16 --for gfx1100
  wgslab kernels stats --config configs/smoke.toml --for gfx1100    what the steps of a study's methods launch"
)]
pub(super) struct Stats {
    /// An entry, as `wgslab kernels list` names it, or a part of the names of several [default: all]
    #[arg(value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: String,
    /// Only this variant
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// The test case whose shape to compile for [default: the largest of each entry]
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// What a training step of this network launches on a GPU that binds 2 GiB, with the variants that come first there, and
    /// how much of the step's operations and bytes each kernel has; of these only kernels with FILTER in their name
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["variant", "case"], value_parser = PossibleValuesParser::new(backbone::names()))]
    model: Option<String>,
    /// What the steps of all pretraining and training methods of a study's config launch on such a GPU, each kernel once; of
    /// these only kernels with FILTER in their name. Recorded on images of its first dataset
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["variant", "case", "model"])]
    config: Option<PathBuf>,
    /// With --model: images of a step
    #[arg(long, value_name = "N", default_value_t = 256, requires = "model")]
    batch: usize,
    /// With --model: side of the images in pixels; a ViT has 64 patches
    #[arg(long, value_name = "N", default_value_t = 32, requires = "model")]
    size: usize,
    /// With --model: the elements of activations, f32 or f16
    #[arg(long, value_name = "f32|f16", default_value = "f32", requires = "model", value_parser = precision())]
    precision: Precision,
    /// Families of AMD GPUs to compile for without hardware, by Mesa's RADV: vega20, navi21, gfx1100, …
    #[arg(long = "for", value_name = "FAMILY,…", value_delimiter = ',')]
    families: Vec<String>,
    /// The Vulkan loader's file of a RADV to ask with --for [default: the one that is installed]
    #[arg(long, value_name = "ICD.json", requires = "families")]
    driver: Option<PathBuf>,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to this file, for a spreadsheet
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Say which rows are better or worse than in a table that --json wrote. The first figure that differs decides, of
    /// spills, waves, inverse throughput, latency, instructions, registers and workgroup memory
    #[arg(long, value_name = "BASE.json")]
    compare: Option<PathBuf>,
}

/// Be the compiler that `wgslab kernels stats` asks
#[derive(Args, Debug)]
pub(super) struct Serve {}

impl Serve {
    pub fn run(&self, options: &Options) -> Result<()> {
        serve(options.adapter.as_deref(), std::io::stdin().lock(), std::io::stdout().lock())
    }
}

/// The driver's assembly of a kernel: of the driver in use, or of RADV's for `family`.
pub(super) fn assembly(kernel: &Kernel, family: Option<&str>, options: &Options) -> Result<String> {
    let whose = match family {
        Some(family) => Whose::Family(family.to_string(), installed(None)?),
        None => Whose::InUse(options.adapter.clone()),
    };
    let mut compiler = Asked::start(&this_program()?, whose)?;
    let told = compiler.compile(&kernel.reflect(options.tree())?.spirv()?)?;
    let compiled = told.map_err(|why| Error::Failed(format!("{} [{}]: {why}", kernel.name, kernel.variant)))?;
    let device = &compiler.about().device;
    compiled.assembly.ok_or_else(|| Error::Failed(format!("the driver of {device} shows no assembly")))
}

/// What the compiler of the driver in use says, where it tells anything. Measurements are not lost with it: where asking fails,
/// that is a warning.
pub(super) fn compiled<T>(gpu: &Gpu, ask: impl FnOnce(&mut Asked) -> Result<T>) -> Option<T> {
    let asked = this_program().and_then(|program| of_driver_in_use(gpu, &program));
    or_warn(asked.and_then(|compiler| compiler.map(|mut c| ask(&mut c)).transpose()))
}

fn or_warn<T>(asked: Result<Option<T>>) -> Option<T> {
    asked.unwrap_or_else(|e| {
        complain(&format!("warning: what the driver's compiler says of the kernels is left out: {e}"));
        None
    })
}

/// What the compiler of the driver in use makes of the kernels of a candidate. It is started where it is asked first; one that
/// tells nothing, or fails, is not asked again.
pub(super) fn told(gpu: &Gpu) -> impl Fn(&[Kernel]) -> Option<Made> + '_ {
    let started: RefCell<Option<Option<Asked>>> = RefCell::new(None);
    move |kernels| {
        let mut started = started.borrow_mut();
        let start = || or_warn(this_program().and_then(|program| of_driver_in_use(gpu, &program)));
        let compiler = started.get_or_insert_with(start).as_mut()?;
        let made = or_warn(figures(compiler, kernels, gpu.tree()).map(Some));
        if made.is_none() {
            *started = Some(None);
        }
        Some(Figures::together(&made?))
    }
}

pub(super) fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::Failed(format!("the path of this program: {e}")))
}

/// The loader's file of RADV: the one that --driver names, or the one that is installed.
pub(super) fn installed(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(file) if file.exists() => Ok(file.to_path_buf()),
        Some(file) => Err(Error::Usage(format!("--driver {} is not there", file.display()))),
        None => radv().ok_or_else(|| {
            let words = "--for needs Mesa's RADV, and no radeon_icd file of the Vulkan loader is here; install it (Debian: \
                         mesa-vulkan-drivers) or name its file with --driver";
            Error::NoAdapter(words.into())
        }),
    }
}

/// Patches on a side of a ViT's image, as the program's other steps of small images have them.
const PATCHES: usize = 8;

impl Stats {
    pub fn run(&self, options: &Options) -> Result<()> {
        expect_writable(&[("--json", self.json.as_deref()), ("--csv", self.csv.as_deref())])?;
        let base = self.compare.as_deref().map(Table::load).transpose()?;
        let made = match &self.config {
            Some(path) => self.of_config(path, options)?,
            None => {
                let subjects = self.expect_any(self.subjects()?)?;
                let listener = Arc::new(Listener::new(options.quiet));
                let stop = signals::watch(listener.clone())?;
                let made = self.ask(&subjects, options, (&*listener, &stop))?;
                listener.clear();
                made
            }
        };
        if let Some(path) = &self.json {
            made.save(path)?;
        }
        if let Some(path) = &self.csv {
            files::write_atomic(path, made.csv()?.as_bytes())?;
        }
        match base {
            None => print(&text(&made)),
            Some(base) => {
                let (changes, new) = compare(&base, &made)?;
                print(&changed(&changes, new))?;
                expect_no_worse(&changes)
            }
        }
    }

    /// What the compilers say of `subjects`.
    fn ask(&self, subjects: &[Subject], options: &Options, to: (&dyn Progress, &AtomicBool)) -> Result<Table> {
        let (program, (progress, stop)) = (this_program()?, to);
        let mut made = Table { schema: SCHEMA.into(), drivers: BTreeMap::new(), rows: Vec::new() };
        for whose in self.whose(options)? {
            let mut compiler = Asked::start(&program, whose)?;
            let family = compiler.family().to_string();
            progress.stage(&format!("compiling for {family}"), subjects.len() as u64, 0, "kernels");
            let rows = ask(&mut compiler, subjects, options.tree(), |i| {
                progress.step(i as u64, subjects[i].kernel.name);
                if stop.load(Ordering::SeqCst) {
                    return Err(Error::TryAgain("stopped; nothing was written".into()));
                }
                Ok(())
            })?;
            made.drivers.insert(family, compiler.about().clone());
            made.rows.extend(rows);
        }
        Ok(made)
    }

    /// Those with FILTER in their name. It is an error if there are none.
    fn expect_any(&self, mut all: Vec<Subject>) -> Result<Vec<Subject>> {
        if self.model.is_some() || self.config.is_some() {
            all.retain(|s| s.kernel.name.contains(&self.filter) || s.entry.contains(&self.filter));
        }
        if all.is_empty() && (self.model.is_some() || self.config.is_some()) {
            let why = match self.filter.as_str() {
                "" => "the config names no method that pretrains or trains, so no step launches a kernel".to_string(),
                filter => {
                    format!("no kernel of these steps has '{filter}' in its name; leave it out to see all of them")
                }
            };
            return Err(Error::Usage(why));
        }
        if all.is_empty() {
            let said =
                |what: &str, name: &Option<String>| name.as_ref().map_or(String::new(), |n| format!(" {what} '{n}'"));
            return Err(Error::Usage(format!(
                "no entry has '{}' in its name{}{}; see `wgslab kernels list`",
                self.filter,
                said("and a variant", &self.variant),
                said("in a case", &self.case)
            )));
        }
        Ok(all)
    }

    /// What the compilers say of the kernels that the steps of a config's methods launch.
    fn of_config(&self, path: &Path, options: &Options) -> Result<Table> {
        let config = Config::load(path)?;
        let Some(spec) = config.data.specs.first() else {
            let why = "names no dataset, and steps are recorded on images; give it data.specs";
            return Err(Error::Usage(format!("--config {} {why}", path.display())));
        };
        // Decoded images are cached in a temporary folder.
        let folder = temporary()?;
        let software = "it records the steps and runs none";
        options.job_warning(software, &config, folder.path(), |job| {
            let subjects = self.expect_any(of_methods(&job.recordings_of(spec)?)?)?;
            self.ask(&subjects, options, (job.progress, job.stop))
        })
    }

    /// The kernels to ask about.
    fn subjects(&self) -> Result<Vec<Subject>> {
        let Some(model) = &self.model else {
            return subjects(&self.filter, self.variant.as_deref(), self.case.as_deref());
        };
        let (batch, size) = (self.batch, self.size);
        if batch == 0 || size == 0 || !size.is_multiple_of(PATCHES) {
            return Err(Error::Usage(format!("--batch must be above 0, and --size a multiple of {PATCHES}")));
        }
        let model = Model {
            arch: model.clone(),
            stem: Some(Stem::Small),
            width: Some(1.0),
            patch_size: Some(size / PATCHES),
            global_pool: Some(GlobalPool::Token),
        };
        let step =
            TrainingStep { model: model.settled().backbone(3)?, batch, size, classes: 10, precision: self.precision };
        of_step(&[step.record()?.0])
    }

    /// Whose compilers to ask.
    fn whose(&self, options: &Options) -> Result<Vec<Whose>> {
        if self.families.is_empty() {
            return Ok(vec![Whose::InUse(options.adapter.clone())]);
        }
        let driver = installed(self.driver.as_deref())?;
        Ok(self.families.iter().map(|f| Whose::Family(f.clone(), driver.clone())).collect())
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".to_string(), |v| format!("{v:.1} %"))
}

fn figure(value: Option<u64>) -> String {
    value.map_or("-".to_string(), |v| v.to_string())
}

/// The table for people.
fn text(made: &Table) -> String {
    let head = [
        "kernel",
        "variant",
        "case",
        "family",
        "registers",
        "spills",
        "shared bytes",
        "waves",
        "instructions",
        "fma",
        "loads/fma",
        "waits",
        "round trips",
        "latency",
        "inverse throughput",
        "compile ms",
        "flops",
        "bytes",
    ];
    // Only a step has shares.
    let shares = made.rows.iter().any(|r| r.share.is_some());
    let columns = head.len() - if shares { 0 } else { 2 };
    let mut rows = vec![head[..columns].iter().map(|h| h.to_string()).collect::<Vec<_>>()];
    rows.extend(made.rows.iter().map(|row| line(row)[..columns].to_vec()));
    let drivers: Vec<String> =
        made.drivers.iter().map(|(family, d)| format!("{family}: {}, {}\n", d.device, d.driver)).collect();
    let failed = made.rows.iter().filter_map(|r| {
        let why = r.failed.as_ref()?;
        Some(format!("\nfailed: {} [{}] for {}: {why}", r.kernel, r.variant, r.family))
    });
    format!("{}\n{}{}", drivers.concat(), table(&rows), failed.collect::<String>())
}

fn line(r: &Row) -> Vec<String> {
    let main = r.main_loop().map(|l| l.counts);
    let share = main.and_then(|c| c.fma_share()).map_or("-".into(), |s| format!("{:.0} %", 100.0 * s));
    let loads = main.and_then(|c| c.loads_per_fma()).map_or("-".into(), |l| format!("{l:.2}"));
    let mut cells = vec![r.kernel.clone(), r.variant.clone(), r.case.clone(), r.family.clone()];
    cells.extend([r.registers, r.spills, r.workgroup_bytes, r.waves, r.instructions].map(figure));
    cells.extend([share, loads]);
    cells.extend([main.map(|c| c.waits), main.map(|c| c.round_trips)].map(|n| figure(n.map(u64::from))));
    cells.extend([r.latency, r.inverse_throughput].map(figure));
    cells.push(r.compile_ms.map_or("-".into(), |ms| format!("{ms:.1}")));
    cells.extend([r.share.map(|s| s.flops), r.share.map(|s| s.bytes)].map(percent));
    cells
}

/// What became of each row, those that differ first.
fn changed(changes: &[Change], new: usize) -> String {
    let mut rows =
        vec![["kernel", "variant", "case", "family", "verdict", "by", "before", "now"].map(String::from).to_vec()];
    for verdict in [Verdict::Worse, Verdict::Better] {
        for c in changes.iter().filter(|c| c.verdict == verdict) {
            let word = if verdict == Verdict::Worse { "worse" } else { "better" };
            let (by, before, now) = c.by.unwrap_or_default();
            let r = &c.row;
            let names = [r.kernel.as_str(), &r.variant, &r.case, &r.family, word, by].map(String::from);
            rows.push(names.into_iter().chain([before, now].map(figure)).collect());
        }
    }
    let of = |verdict| changes.iter().filter(|c| c.verdict == verdict).count();
    let (worse, better, same) = (of(Verdict::Worse), of(Verdict::Better), of(Verdict::Same));
    let sum = format!("{worse} worse, {better} better, {same} same, {new} not in the base\n");
    if worse + better == 0 { sum } else { format!("{}\n{sum}", table(&rows)) }
}

fn expect_no_worse(changes: &[Change]) -> Result<()> {
    let worse: Vec<String> = changes
        .iter()
        .filter(|c| c.verdict == Verdict::Worse)
        .map(|c| format!("{} [{}] for {}", c.row.kernel, c.row.variant, c.row.family))
        .collect();
    if worse.is_empty() { Ok(()) } else { Err(Error::Regression(format!("worse: {}", worse.join("; ")))) }
}
