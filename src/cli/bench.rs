//! `wgslab bench`.

use super::bench_table;
use super::listener::{Listener, waiting};
use super::measured::Measured;
use super::options::Options;
use super::output::{expect_writable, print};
use super::stats::compiled;
use crate::base::{Error, Result, files, text};
use crate::device::{Gpu, GpuOptions, Tree};
use crate::lab::compare::{THRESHOLD, compare, expect_comparable, no_row_in_common};
use crate::lab::rows::kernels;
use crate::lab::sets::BenchCase;
use crate::lab::statistics::beside;
use crate::lab::{Cache, Environment, Report, bench, gallery, roofline, side_by_side};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Time kernels, forward and backward, one by one
///
/// Measures the cases of a set (quick, resnet18, resnet50, vit, simclr, deepbench, peers, smoke, or
/// cases: every op at the shapes of its tests), of a TOML file like those in benches/sets/, or of one
/// op at your own shape. Any other word selects the rows of `cases` that have it in their name.
///
/// A row is a kernel (conv2d.grad_weight), a case and a variant. It is warmed up and then sampled in
/// turn with the other rows of its case: at least --samples times and for --seconds, then until the
/// quartiles lie within 5 % of the median or the centre is known to 1.6 %, at most for --time-limit.
/// A row that is not within 5 % by then is marked noisy. Times are the device's timestamps, or the
/// wall clock if the adapter has none (the timer column says which). GFLOP/s counts the operations of
/// the formula, GB/s each operand once. A reference kernel of fixed work is timed in between and
/// stored with the samples. A case that cannot run on the adapter is listed as skipped.
///
/// Where the driver tells what it compiles (VK_KHR_pipeline_executable_properties), registers,
/// spills, waves, instructions and the share of multiply-adds in the main loop stand beside the
/// times, as `wgslab kernels stats` has them; of several kernels of a row those of the one with the
/// most registers. --csv and --html have them, too. Other drivers give no such columns (in --csv empty
/// ones), and `"compiled": null` in the file of --json.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab bench                                         the set quick
  wgslab bench resnet18 --variant all --json run.json
  wgslab bench conv2d.grad_weight
  wgslab bench --op conv2d --shape x=16,64,56,56 weight=64,64,3,3 padding=1 --variant all
  wgslab bench my.toml --cache cold --csv run.csv --html run.html
  wgslab bench resnet18 --compare run.json             exit code 5 where a row became slower
  wgslab bench matmul --ab shaders edited
  wgslab bench vit --against torch.json burn.json      beside what benches/peers/ wrote
  wgslab bench --gallery docs/gallery                  a page of all reports in a folder"
)]
pub(super) struct Bench {
    #[command(flatten)]
    what: Measured,
    /// hot: operands may lie in a cache; cold: a buffer larger than the caches is written before each sample
    #[arg(long, value_name = "hot|cold", value_parser = cache, default_value = "hot")]
    cache: Cache,
    /// Write the report with every sample to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a table of the rows to this file, for a spreadsheet
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with plots to this file; it needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Measure the adapter's own roofs first (arithmetic, memory, caches, launches), say how near to them each row is,
    /// and draw both into this file. The roofs are written to a .json of the same name, which `wgslab profile --roof`
    /// reads
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["ab", "read"])]
    roofline: Option<PathBuf>,
    /// Say which rows are faster or slower than in a report that --json wrote on this adapter. Each sample is divided
    /// by the reference kernel beside it, so that a slower hour is not taken for a slower kernel. The exit code is 5 if
    /// a row is slower or no longer runs
    #[arg(long, value_name = "BASE")]
    compare: Option<PathBuf>,
    /// Measure two trees of shaders in turn, in one run, and say which is faster. Each is a folder laid out as
    /// shaders/, with the edited files or all. Both run with bounds and loop checks. The exit code is 5 if the second
    /// is slower. The written files get -a and -b after their names
    #[arg(long, value_name = "DIR", num_args = 2, conflicts_with_all = ["compare", "against", "read"])]
    ab: Vec<PathBuf>,
    /// The smallest change that counts with --compare and --ab; 0.1 is 10 % [default: 0.1]
    #[arg(long, value_name = "SHARE", value_parser = threshold)]
    threshold: Option<f64>,
    /// Lay the reports of other frameworks or adapters beside this one, with ratios; benches/peers/ writes some
    #[arg(long, value_name = "FILE", num_args = 1..)]
    against: Vec<PathBuf>,
    /// Show the report that an earlier run wrote with --json, instead of measuring
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["what", "op", "json", "variant", "direction", "cache", "samples"]
    )]
    read: Option<PathBuf>,
    /// Make one page of the reports that a folder holds, devices against kernels, instead of measuring. It is written to
    /// index.html there, or to --html
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "what", "op", "json", "csv", "variant", "direction", "cache", "samples", "seconds", "time_limit", "roofline",
            "compare", "ab", "against", "read",
        ]
    )]
    gallery: Option<PathBuf>,
}

fn cache(text: &str) -> Result<Cache, String> {
    match text {
        "hot" => Ok(Cache::Hot),
        "cold" => Ok(Cache::Cold),
        _ => Err("use hot or cold".into()),
    }
}

fn threshold(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|s: &f64| *s > 0.0 && s.is_finite());
    share.ok_or_else(|| "use a share above 0, such as 0.1 for 10 %".into())
}

impl Bench {
    pub fn run(&self, options: &Options) -> Result<()> {
        // What cannot be read, written or understood is found before a long measurement.
        self.expect_sense()?;
        if let Some(folder) = &self.gallery {
            return self.run_gallery(folder);
        }
        let others = side_by_side::load(&self.against)?;
        let base = match &self.compare {
            Some(path) => Some((Report::load(path)?, path.display().to_string())),
            None => None,
        };
        if let [a, b] = self.ab.as_slice() {
            return self.run_ab(options, [a, b]);
        }
        let mut report = match &self.read {
            Some(path) => Report::load(path)?,
            None => self.measured(options, base.as_ref())?,
        };
        let compared = base.map(|(base, shown)| compare(&base, &report, self.threshold(), [&shown, "this run"]));
        if let Some(Ok(c)) = &compared {
            report.comparison = Some(c.clone());
        }
        self.write(&report, "")?;
        match others.is_empty() {
            true => print(&bench_table::report(&report))?,
            false => print(&bench_table::against(&side_by_side(&report, &others)?))?,
        }
        compared.transpose()?; // the report is written before a comparison can fail
        let Some(c) = &report.comparison else { return Ok(()) };
        print(&format!("\n{}", bench_table::comparison(c)))?;
        // Showing an old report is no new regression.
        if self.compare.is_some() { c.expect_no_regression() } else { Ok(()) }
    }

    fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(THRESHOLD)
    }

    /// An error for options that contradict each other, and for files that cannot be written.
    fn expect_sense(&self) -> Result<()> {
        self.what.expect_sense()?;
        let judges = self.compare.is_some() || !self.ab.is_empty();
        if self.threshold.is_some() && !judges {
            return Err(Error::Usage("--threshold judges what --compare or --ab compares; give one of them".into()));
        }
        self.expect_files_apart()
    }

    /// An error if the picture of the roofs is no SVG, or if two files would be written to one place.
    fn expect_files_apart(&self) -> Result<()> {
        if let Some(picture) = self.roofline.as_ref().filter(|p| p.extension().is_none_or(|e| e != "svg")) {
            let shown = picture.display();
            return Err(Error::Usage(format!(
                "--roofline {shown} is written as SVG; give it a name that ends in .svg"
            )));
        }
        let roofs = self.roofline.as_ref().map(|p| p.with_extension("json"));
        expect_writable(&[
            ("--json", self.json.as_deref()),
            ("--csv", self.csv.as_deref()),
            ("--html", self.html.as_deref()),
            ("--roofline", self.roofline.as_deref()),
            ("the roofs of --roofline", roofs.as_deref()),
            ("the base of --compare", self.compare.as_deref()),
            ("--read", self.read.as_deref()),
        ])
    }

    fn measured(&self, options: &Options, base: Option<&(Report, String)>) -> Result<Report> {
        let (set, mut asked) = self.what.asked()?;
        asked.cache = self.cache;
        let listener = Arc::new(Listener::new(options.quiet));
        let gpu = options.open(&listener, "kernels run on the CPU")?;
        if let Some((base, shown)) = base {
            expect_comparable(base, &Environment::of(&gpu), shown)?;
            let meant = |s: &BenchCase| base.rows.iter().any(|r| asked.cache == r.cache && s.is_of(r));
            if !set.cases.iter().any(meant) {
                return Err(no_row_in_common([shown, &set.name], None));
            }
        }
        asked.table = options.given_table(&gpu)?.unwrap_or_default();
        let roof = self.roofline.is_some().then(|| roofline::measure(&gpu)).transpose()?;
        let ended = bench(&[&gpu], &set, &asked, &*listener);
        listener.clear();
        let mut report = ended?.pop().ok_or_else(|| Error::Failed("a device gave no report".into()))?;
        compiled(&gpu, |compiler| beside(&mut report, compiler, &kernels(gpu.caps(), &set, &asked), gpu.tree()));
        if let (Some(roof), Some(picture)) = (&roof, &self.roofline) {
            super::roofline::judge(roof, &mut report, picture)?;
            print(&format!("{}\n", super::roofline::table(roof)))?;
        }
        Ok(report)
    }

    /// Measures two trees of shaders on two devices of one adapter. Kernels with edited text run with checks, so for a
    /// fair race all do.
    fn run_ab(&self, options: &Options, folders: [&PathBuf; 2]) -> Result<()> {
        if options.shaders.is_some() {
            return Err(Error::Usage("--ab names both trees of shaders; leave --shaders out".into()));
        }
        let (set, mut asked) = self.what.asked()?;
        asked.cache = self.cache;
        let listener = Arc::new(Listener::new(options.quiet));
        let first = options.open(&listener, "kernels run on the CPU")?;
        asked.table = options.given_table(&first)?.unwrap_or_default();
        let open = |folder: &PathBuf| {
            let shaders = Arc::new(Tree::load(folder).map_err(|e| Error::Usage(format!("--ab: {e}")))?);
            let mut gpu = Gpu::open(&GpuOptions { shaders, checked: true, ..first.options().clone() })?;
            gpu.while_compiling(waiting(listener.clone(), None));
            Ok::<_, Error>(gpu)
        };
        let [a, b] = [open(folders[0])?, open(folders[1])?];
        let ended = bench(&[&a, &b], &set, &asked, &*listener);
        listener.clear();
        let [mut a_report, mut b_report] =
            <[Report; 2]>::try_from(ended?).map_err(|_| Error::Failed("two trees gave no two reports".into()))?;
        compiled(&a, |compiler| {
            let kernels = kernels(a.caps(), &set, &asked);
            beside(&mut a_report, compiler, &kernels, a.tree())?;
            beside(&mut b_report, compiler, &kernels, b.tree())
        });
        let (mut a, mut b) = (a_report, b_report);
        let names = folders.map(|f| f.display().to_string());
        let compared = compare(&a, &b, self.threshold(), names.each_ref().map(String::as_str));
        for ((report, folder), suffix) in [&mut a, &mut b].into_iter().zip(&names).zip(["-a", "-b"]) {
            report.environment.shader_folder = Some(folder.clone()); // also where its text is the built-in one
            report.comparison = compared.as_ref().ok().cloned();
            self.write(report, suffix)?;
        }
        let (c, e) = (compared?, &a.environment);
        let table = bench_table::comparison(&c);
        print(&format!("{}, {}; every kernel with checks\n\n{table}", e.adapter, e.driver))?;
        c.expect_no_regression()
    }

    /// Writes the page of a folder of reports.
    fn run_gallery(&self, folder: &Path) -> Result<()> {
        let reports = gallery::reports(folder)?;
        let path = self.html.clone().unwrap_or_else(|| folder.join("index.html"));
        files::write_atomic(&path, gallery::html(&reports)?.as_bytes())?;
        print(&format!("{}: {}", path.display(), text::counted(reports.len(), "report")))
    }

    /// Writes the files that were asked for, with `suffix` after their names.
    fn write(&self, report: &Report, suffix: &str) -> Result<()> {
        let named = |path: &Path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let ending = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
            path.with_file_name(format!("{stem}{suffix}{ending}"))
        };
        if let Some(path) = &self.json {
            report.save(&named(path))?;
        }
        if let Some(path) = &self.csv {
            files::write_atomic(&named(path), report.csv()?.as_bytes())?;
        }
        if let Some(path) = &self.html {
            files::write_atomic(&named(path), report.html()?.as_bytes())?;
        }
        Ok(())
    }
}
