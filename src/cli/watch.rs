//! `wgslab kernels watch`.

use super::options::Options;
use super::output::{complain, print, print_exact};
use super::stats::{installed, this_program};
use crate::base::{Error, Result};
use crate::device::tree::{guess, pieces};
use crate::device::{Gpu, GpuOptions, Tree};
use crate::kernels::listing::{self, Asked, Found, Wanted};
use crate::lab::shader_trial::{TrialVerdict, judge};
use crate::lab::spread::figures;
use crate::lab::statistics::asked::{Asked as Compiler, Whose};
use crate::lab::statistics::compare::{Change, Verdict, of_edit};
use crate::lab::statistics::{Row, Subject, ask, of_driver_in_use, subjects};
use crate::lab::{Figures, Spread, watch};
use clap::Args;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Try an edited shader at each save: is it right, and is it faster
///
/// FILE is an edited copy of a file of shaders/. At each save it is compiled. Then its values are
/// compared with those of the built-in naive variant, in every case that runs it. (If the op has no
/// naive variant, and for inputs with NaN and infinities, with those of the same variant.) In the
/// largest case it is timed beside the built-in text: samples alternate, and both run with runtime
/// checks. A compile error is shown at the line of FILE, and the watch goes on. Each trial runs in a
/// process of its own, which is killed if it does not end in time. Ctrl-C ends the watch.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  cp -r shaders mine
  wgslab kernels watch mine/layers/softmax/forward_rows.wgsl --case softmax.forward
  wgslab kernels watch my.wgsl --piece elementwise/scale/forward.wgsl --case scale.forward/prime --once --json
  wgslab kernels watch mine/layers/softmax/forward_rows.wgsl --case softmax.forward --for gfx1100"
)]
pub(super) struct Watch {
    /// The edited file
    file: PathBuf,
    /// What to run: an entry as `wgslab kernels list` names it, and one of the op's cases [default: all of them that have
    /// the variant]
    #[arg(long, value_name = "OP.ENTRY[/CASE]")]
    case: String,
    /// Which variant [default: the first on this adapter that is made of the file]
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Which file of shaders/ it replaces [default: the one that the end of its path names]
    #[arg(long, value_name = "PATH")]
    piece: Option<String>,
    /// Try it once, and end with exit code 1 if it does not compile or is not right
    #[arg(long)]
    once: bool,
    /// Kill a trial that takes longer, in seconds
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = seconds)]
    limit_s: f64,
    /// Print each verdict as a line of JSON, with every sample
    #[arg(long)]
    json: bool,
    /// Say of an edit that is right what it does to registers, spills and instructions on these families of AMD GPUs, which
    /// need not be here: gfx1100, … (see `wgslab kernels stats`) [default: on the driver in use, if it tells what it
    /// compiles]
    #[arg(long = "for", value_name = "FAMILY,…", value_delimiter = ',')]
    families: Vec<String>,
    /// Be the process that tries it
    #[arg(long, hide = true)]
    child: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|s| (0.1..=86_400.0).contains(s));
    seconds.ok_or_else(|| "use seconds from 0.1 to 86400".to_string())
}

impl Watch {
    pub fn run(&self, options: &Options) -> Result<()> {
        if self.child {
            return self.judge(options);
        }
        if !self.file.is_file() {
            return Err(Error::Usage(format!(
                "there is no file {}; copy a file of shaders/ there",
                self.file.display()
            )));
        }
        let gpu = Gpu::open(&GpuOptions { shaders: Arc::default(), ..options.gpu() })?;
        let (piece, found) = (self.piece()?, self.find(options, &gpu)?);
        let mut compilers = match self.families.is_empty() {
            true => Compilers::in_use(&gpu, piece, &found[0], self.entry().0)?,
            false => Compilers::start(&self.families, piece, &found[0], self.entry().0)?,
        };
        drop(gpu);
        if !options.quiet {
            let (file, variant, case) = (self.file.display(), found[0].variant, found[0].case.name);
            let cases = match found.len() {
                1 => format!("case '{case}'"),
                n => format!("{n} cases, timed in '{case}'"),
            };
            complain(&format!("{file} in place of shaders/{piece}, in {} [{variant}], {cases}", self.entry().0));
        }
        let mut right = true;
        let limit = Duration::from_secs_f64(self.limit_s);
        watch::watch(&self.file, self.once, limit, &child, &mut |verdict| {
            right = matches!(verdict, TrialVerdict::Right(_));
            let edited = || options.tree().clone().with(piece, &self.file);
            let compiled = if right { compilers.asked(&edited)? } else { Vec::new() };
            if self.json {
                return print_exact(&line(verdict, right.then_some(&compiled))?);
            }
            let at = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
            let told = std::iter::once(format!("{}  {}", &at[11..19], self.told(verdict)));
            print(&told.chain(compiled.iter().map(in_words)).collect::<Vec<_>>().join("\n"))
        })?;
        if right { Ok(()) } else { Err(Error::Failed(format!("{} is not right", self.file.display()))) }
    }

    /// What the child does: one verdict on stdout.
    fn judge(&self, options: &Options) -> Result<()> {
        let limit = Duration::from_secs_f64(self.limit_s);
        // If nobody is left to kill it, it ends by itself.
        std::thread::spawn(move || {
            std::thread::sleep(limit + Duration::from_secs(5));
            std::process::abort();
        });
        let mut gpu_options = options.gpu();
        let verdict = match options.tree().clone().with(self.piece()?, &self.file) {
            Err(e) => TrialVerdict::Broken { why: e.to_string() },
            Ok(tree) => {
                let gpu = Gpu::open(&GpuOptions { shaders: Arc::default(), ..options.gpu() })?;
                let found = self.find(options, &gpu)?;
                gpu_options.shaders = Arc::new(tree);
                judge(&gpu_options, &found, (limit / 4).min(Duration::from_secs(3)))?
            }
        };
        print_exact(&line(&verdict, None)?)
    }

    /// Entry and case of --case.
    fn entry(&self) -> (&str, Option<&str>) {
        match self.case.split_once('/') {
            Some((entry, case)) => (entry, Some(case)),
            None => (&self.case, None),
        }
    }

    /// The piece that the file stands for.
    fn piece(&self) -> Result<&'static str> {
        let file = self.file.to_string_lossy().replace('\\', "/");
        let named = |path: &str| match &self.piece {
            Some(piece) => path == piece,
            None => file == path || file.ends_with(&format!("/{path}")),
        };
        if let Some((path, _)) = pieces().find(|p| named(p.0)) {
            return Ok(path);
        }
        let wanted = self.piece.as_deref().unwrap_or(&file);
        Err(Error::Usage(format!(
            "{wanted} names no file of shaders/; say with --piece which one it replaces, as in --piece \
             elementwise/scale/forward.wgsl{}",
            guess(wanted)
        )))
    }

    /// The entry in its cases, in a variant that this adapter can run and that is made of the piece.
    fn find(&self, options: &Options, gpu: &Gpu) -> Result<Vec<Found>> {
        let (piece, (entry, case)) = (self.piece()?, self.entry());
        let (tree, table) = (gpu.tree(), options.given_table(gpu)?.unwrap_or_default());
        let asked = Asked { caps: gpu.caps(), tree, table: &table };
        let find = |variant| listing::find_all(&Wanted { entry, variant, case }, &asked);
        let found = find(self.variant.as_deref())?.swap_remove(0);
        let made_of = |found: &Found| {
            let kernels = found.kernels()?;
            let paths = kernels.iter().flat_map(|k| &k.pieces).map(|p| p.path).collect::<Vec<_>>();
            Ok::<_, Error>(paths)
        };
        let offered = match self.variant {
            Some(_) => vec![found.variant],
            None => found.step.op.variants(&found.step.x, gpu.caps()),
        };
        for variant in offered {
            let found = find(Some(variant))?;
            if found[0].caps != *gpu.caps() {
                let (name, needs) = (&gpu.adapter().name, "`wgslab kernels list` says what it needs");
                return Err(Error::Usage(format!("{name} cannot run {entry} [{variant}]; {needs}")));
            }
            // At the sizes of some cases the kernel may not use the piece.
            let made = found.iter().map(|f| Ok(made_of(f)?.contains(&piece))).collect::<Result<Vec<_>>>()?;
            let found: Vec<Found> = found.into_iter().zip(made).filter_map(|(f, made)| made.then_some(f)).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let mut paths = made_of(&found)?;
        paths.sort_unstable();
        paths.dedup();
        let (variant, paths) = (found.variant, paths.join(", "));
        Err(Error::Usage(format!("{piece} is no part of {entry} [{variant}], which is made of {paths}")))
    }

    /// A verdict as a line.
    fn told(&self, verdict: &TrialVerdict) -> String {
        match verdict {
            TrialVerdict::Broken { why } => format!("broken: {why}"),
            TrialVerdict::Wrong { why } => format!("wrong values: {why}"),
            TrialVerdict::Stopped { why } => format!("stopped: {why}"),
            TrialVerdict::Right(times) => {
                let ms = |s: Spread| format!("{} ms ({} to {})", short(s.median), short(s.q1), short(s.q3));
                let ([edited, committed, shipped], j) = (times.spreads(), times.judgement());
                format!(
                    "right in {} and {}, {:.2} x the time ({:.2} to {:.2}): {} against {}; as shipped, without checks, {} ms",
                    if times.cases == 1 { "its case".into() } else { format!("all {} cases", times.cases) },
                    times.word(),
                    j.ratio,
                    j.low,
                    j.high,
                    ms(edited),
                    ms(committed),
                    short(shipped.median)
                )
            }
        }
    }
}

/// The compilers of --for, or that of the driver in use, each with what it makes of the built-in text.
struct Compilers {
    running: Vec<(Compiler, Vec<Row>)>,
    subjects: Vec<Subject>,
}

impl Compilers {
    fn start(families: &[String], piece: &str, found: &Found, entry: &str) -> Result<Compilers> {
        // What a GPU is offered: the same variant may have another text on the adapter that runs the trial.
        let mut subjects = subjects(entry, Some(found.variant), Some(found.case.name))?;
        subjects.retain(|s| s.kernel.pieces.iter().any(|p| p.path == piece));
        if subjects.is_empty() {
            let (variant, case) = (found.variant, found.case.name);
            return Err(Error::Usage(format!("--for: no GPU is offered {entry} [{variant}] in the case '{case}'")));
        }
        let driver = installed(None)?;
        let start = |f: &String| {
            let mut compiler = Compiler::start(&this_program()?, Whose::Family(f.clone(), driver.clone()))?;
            let base = ask(&mut compiler, &subjects, &Tree::default(), |_| Ok(()))?;
            Ok((compiler, base))
        };
        let running = families.iter().map(start).collect::<Result<_>>()?;
        Ok(Compilers { running, subjects })
    }

    /// The compiler of the driver that the trial runs on. None if that driver tells nothing.
    fn in_use(gpu: &Gpu, piece: &str, found: &Found, entry: &str) -> Result<Compilers> {
        let mut kernels = found.kernels()?;
        kernels.retain(|k| k.pieces.iter().any(|p| p.path == piece));
        let subject = |kernel| Subject {
            entry: entry.to_string(),
            variant: found.variant,
            case: found.case.name.to_string(),
            kernel,
            share: None,
        };
        let subjects: Vec<Subject> = kernels.into_iter().map(subject).collect();
        let Some(mut compiler) = of_driver_in_use(gpu, &this_program()?)? else {
            return Ok(Compilers { running: Vec::new(), subjects });
        };
        let base = ask(&mut compiler, &subjects, &Tree::default(), |_| Ok(()))?;
        Ok(Compilers { running: vec![(compiler, base)], subjects })
    }

    /// What each makes of the edited text beside the built-in one. Nothing if an editor has just replaced the file: its next
    /// text is tried anew.
    fn asked(&mut self, edited: &dyn Fn() -> Result<Tree>) -> Result<Vec<Change>> {
        let mut all = Vec::new();
        for (compiler, base) in &mut self.running {
            let Ok(tree) = edited() else { return Ok(Vec::new()) };
            all.extend(of_edit(compiler, &self.subjects, base, &tree)?);
        }
        Ok(all)
    }
}

/// A verdict as a line of JSON. Of an edit that is right, `time` has its times over those of the built-in text, and `compiled`
/// what each compiler says; that is null if there is none to ask.
fn line(verdict: &TrialVerdict, compiled: Option<&[Change]>) -> Result<String> {
    let failed = |e: serde_json::Error| Error::Failed(format!("cannot write a verdict as JSON: {e}"));
    let mut line = serde_json::to_value(verdict).map_err(failed)?;
    if let TrialVerdict::Right(times) = verdict {
        line["time"] = serde_json::to_value(times.judgement()).map_err(failed)?;
    }
    if let Some(compiled) = compiled {
        let told: Vec<Value> = compiled.iter().map(figures_of).collect();
        line["compiled"] = if told.is_empty() { Value::Null } else { told.into() };
    }
    serde_json::to_string(&line).map_err(failed)
}

/// A change with the figures of both texts.
fn figures_of(change: &Change) -> Value {
    let (kernel, family) = (&change.row.kernel, &change.row.family);
    let by = change.by.map(|by| by.0);
    let [built_in, edited] = [&change.base, &change.row].map(Figures::from);
    json!({ "kernel": kernel, "family": family, "verdict": change.verdict, "by": by, "built_in": built_in, "edited": edited })
}

/// A change as a line: what decided, and what people look at first.
fn in_words(change: &Change) -> String {
    let (base, row) = (&change.base, &change.row);
    let verdict = match (change.verdict, change.by) {
        (Verdict::Same, _) => "the same figures".to_string(),
        (Verdict::Better, by) => format!("better by {}", by.unwrap_or_default().0),
        (Verdict::Worse, by) => format!("worse by {}", by.unwrap_or_default().0),
    };
    let pair = |name: &str, of: fn(&Row) -> Option<u64>| {
        let [base, row] = [base, row].map(|r| of(r).map_or("-".to_string(), |v| v.to_string()));
        format!("{name} {base} → {row}")
    };
    let figures = [
        pair("registers", |r| r.registers),
        pair("spills", |r| r.spills),
        pair("waves", |r| r.waves),
        pair("instructions", |r| r.instructions),
        pair("inverse throughput", |r| r.inverse_throughput),
    ];
    format!("          {} on {}: {verdict}; {}", row.kernel, row.family, figures.join(", "))
}

fn short(ms: f64) -> String {
    figures(ms, 3)
}

/// This command again, as the process that tries the file.
fn child() -> Result<Command> {
    let program = std::env::current_exe().map_err(|e| Error::Failed(format!("cannot find this program: {e}")))?;
    let mut command = Command::new(program);
    command.args(as_child(std::env::args_os().skip(1).collect()));
    Ok(command)
}

/// The words of a command with --child among its options. After `--` none is an option.
fn as_child(mut words: Vec<OsString>) -> Vec<OsString> {
    let end = words.iter().position(|w| w == "--").unwrap_or(words.len());
    words.insert(end, "--child".into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_behind_two_dashes_is_no_option_of_the_child() {
        let child = |words: &[&str]| as_child(words.iter().map(OsString::from).collect());
        assert_eq!(child(&["kernels", "watch", "--", "-a.wgsl"]), ["kernels", "watch", "--child", "--", "-a.wgsl"]);
        assert_eq!(child(&["kernels", "watch", "a.wgsl"]), ["kernels", "watch", "a.wgsl", "--child"]);
    }
}
