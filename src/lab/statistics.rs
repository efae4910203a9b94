//! What a GPU's own compiler makes of the kernels, with or without that GPU: registers, spills, workgroup memory, waves,
//! instructions by kind, and of each loop the share of multiply-adds. `wgslab kernels stats` shows it.
//!
//! The compiler runs in a process of its own ([`serve`], [`asked::Asked`]): a family of RADV is named by the environment of
//! a whole process, and a driver that stops on a kernel then takes only that kernel with it.

pub mod asked;
pub mod compare;
pub mod isa;
pub mod models;

use crate::base::{Error, Result};
use crate::device::statistics::{Compiled, Compiler, Driver};
use crate::device::{Caps, Gpu, Kernel, Tree};
use crate::kernels::listing::{self, Found};
use crate::lab::Figures;
use crate::lab::profile::sums::kernel_of;
use crate::lab::report::Report;
use crate::lab::rows::RowName;
use crate::tape::Schedule;
use isa::{Counts, Loop};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::path::Path;

/// The form of the file that [`Table`] writes.
pub const SCHEMA: &str = "wgslab-statistics/3";

/// What compilers say of kernels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// [`SCHEMA`].
    pub schema: String,
    /// The compilers, by the name in [`Row::family`].
    pub drivers: BTreeMap<String, Driver>,
    /// A row a kernel and family.
    pub rows: Vec<Row>,
}

/// What a compiler says of a kernel. A figure that its driver does not tell is `None`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// `<op>.<entry>` that launches it.
    pub entry: String,
    /// The entry's variant.
    pub variant: String,
    /// The case whose shape it was made for.
    pub case: String,
    /// The kernel: an entry may launch several.
    pub kernel: String,
    /// `gfx1100`, or the device that the driver in use names.
    pub family: String,
    /// Vector registers of an invocation.
    pub registers: Option<u64>,
    /// Scalar and vector registers that are kept in memory because there are too few.
    pub spills: Option<u64>,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: Option<u64>,
    /// Mesa's "Subgroups per SIMD": the most subgroups of this kernel that a SIMD unit can have in flight.
    pub waves: Option<u64>,
    /// Instructions of the whole text.
    pub instructions: Option<u64>,
    /// The compiler's estimate of one invocation's time, in cycles; a loop counts once or a few times.
    pub latency: Option<u64>,
    /// The compiler's estimate of the cycles that a subgroup keeps its units busy; a loop counts once or a few times.
    pub inverse_throughput: Option<u64>,
    /// How long the driver compiled, ms.
    pub compile_ms: Option<f64>,
    /// Instructions by kind, where the assembly is one that [`isa`] reads.
    pub counts: Option<Counts>,
    /// Loops that hold no other, in the order of the text.
    pub loops: Vec<Loop>,
    /// What the step of a model asks of it. `None` where no model was asked about.
    pub share: Option<Share>,
    /// All that the driver says, by its own names.
    pub statistics: BTreeMap<String, f64>,
    /// Why there is no figure: what the driver said when it refused the kernel, or how it ended.
    pub failed: Option<String>,
}

impl Row {
    /// The loop with the most multiply-adds: the one that a product spends its time in.
    pub fn main_loop(&self) -> Option<&Loop> {
        self.loops.iter().filter(|l| l.counts.fma_cycles() > 0).max_by_key(|l| l.counts.fma_cycles())
    }

    /// What tells it from other rows of a table.
    pub fn key(&self) -> [&str; 5] {
        [&self.entry, &self.variant, &self.case, &self.kernel, &self.family]
    }

    fn of(subject: &Subject, family: &str, told: Result<Compiled, String>) -> Row {
        let (compiled, failed) = match told {
            Ok(compiled) => (Some(compiled), None),
            Err(why) => (None, Some(why)),
        };
        let statistics: BTreeMap<String, f64> = compiled.iter().flat_map(|c| c.statistics.iter().cloned()).collect();
        // The names of Mesa's drivers; RADV's first.
        let first = |names: &[&str]| names.iter().find_map(|n| statistics.get(*n)).map(|v| *v as u64);
        let sum = |names: &[&str]| {
            let found: Vec<u64> = names.iter().filter_map(|n| statistics.get(*n)).map(|v| *v as u64).collect();
            (!found.is_empty()).then(|| found.iter().sum())
        };
        let assembly = compiled.as_ref().and_then(|c| c.assembly.as_deref()).and_then(isa::read);
        let (counts, loops) = assembly.map_or((None, Vec::new()), |a| (Some(a.counts), a.loops));
        Row {
            entry: subject.entry.clone(),
            variant: subject.variant.to_string(),
            case: subject.case.clone(),
            kernel: subject.kernel.name.to_string(),
            family: family.to_string(),
            registers: first(&["VGPRs", "Number of GRF registers", "GPRs"]),
            spills: sum(&["Spilled VGPRs", "Spilled SGPRs", "Spill count"]),
            workgroup_bytes: first(&["LDS size", "Workgroup Memory Size"]),
            waves: first(&["Subgroups per SIMD"]),
            instructions: first(&["Instructions", "Instruction Count"]),
            latency: first(&["Latency", "Cycle Count"]),
            inverse_throughput: first(&["Inverse Throughput"]),
            compile_ms: compiled.as_ref().map(|c| c.compile_ms),
            counts,
            loops,
            share: subject.share,
            statistics,
            failed,
        }
    }
}

/// What a training step asks of a kernel, in percent of the whole step.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Of the floating-point operations.
    pub flops: f64,
    /// Of the bytes that must be moved at least.
    pub bytes: f64,
}

/// A kernel to ask about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// `<op>.<entry>`.
    pub entry: String,
    /// Its variant.
    pub variant: &'static str,
    /// The case whose shape the kernel is made for; of a model, its layer.
    pub case: String,
    /// The kernel.
    pub kernel: Kernel,
    /// See [`Row::share`].
    pub share: Option<Share>,
}

/// The kernels of the entry `filter`, or if there is none of every entry whose name holds `filter`. They are those of
/// each variant that a GPU or a portable adapter is offered (or only of `variant`), each in its largest case (or in `case`). `filter` may be empty.
pub fn subjects(filter: &str, variant: Option<&str>, case: Option<&str>) -> Result<Vec<Subject>> {
    let kinds: Vec<Caps> = listing::kinds().into_iter().map(|k| k.1).filter(|c| !c.software).collect();
    let wanted = |name: &str, of: &str, in_case: &str| {
        name.contains(filter) && variant.is_none_or(|v| v == of) && case.is_none_or(|c| c == in_case)
    };
    let mut subjects: Vec<Subject> = Vec::new();
    let mut all = listing::largest(&kinds, wanted)?;
    let is_it = |found: &Found| listing::entry_name(found.step.op.as_ref()) == filter;
    if all.iter().any(is_it) {
        all.retain(is_it);
    }
    for found in all {
        let entry = listing::entry_name(found.step.op.as_ref());
        let Found { case, variant, .. } = &found;
        for kernel in found.kernels()? {
            subjects.push(Subject { entry: entry.clone(), variant, case: case.name.to_string(), kernel, share: None });
        }
    }
    Ok(subjects)
}

/// The compiler of the driver that `gpu` runs on, if that driver tells what it compiles. `program` is this one. It is an
/// error if the process that asks cannot be started.
pub fn of_driver_in_use(gpu: &Gpu, program: &Path) -> Result<Option<asked::Asked>> {
    let adapter = gpu.adapter();
    if !adapter.backend.eq_ignore_ascii_case("vulkan") {
        return Ok(None); // only Vulkan has a way to tell
    }
    match asked::Asked::start(program, asked::Whose::InUse(Some(adapter.name.clone()))) {
        Ok(asked) => Ok(Some(asked)),
        Err(Error::NoAdapter(_)) => Ok(None), // a driver that does not tell, or a machine without a Vulkan loader
        Err(e) => Err(e),
    }
}

/// What a compiler says of kernels, in their order.
pub fn figures(compiler: &mut asked::Asked, kernels: &[Kernel], tree: &Tree) -> Result<Vec<Figures>> {
    let subject = |kernel: &Kernel| Subject {
        entry: kernel.name.to_string(),
        variant: kernel.variant,
        case: String::new(),
        kernel: kernel.clone(),
        share: None,
    };
    let subjects: Vec<Subject> = kernels.iter().map(subject).collect();
    Ok(ask(compiler, &subjects, tree, |_| Ok(()))?.iter().map(Figures::from).collect())
}

/// Puts beside the rows of a report what a compiler says of their kernels, which [`crate::lab::rows::kernels`] lists.
pub fn beside(
    report: &mut Report,
    compiler: &mut asked::Asked,
    kernels: &BTreeMap<RowName, Vec<Kernel>>,
    tree: &Tree,
) -> Result<()> {
    for row in &mut report.rows {
        let name = (row.op.clone(), row.case.clone(), row.entry.clone(), row.variant.clone());
        row.compiled = kernels.get(&name).map(|own| figures(compiler, own, tree)).transpose()?;
    }
    Ok(())
}

/// What a compiler says of the kernels of a step, by the names that a profile gives them.
pub fn of_step(
    schedule: &Schedule,
    compiler: &mut asked::Asked,
    tree: &Tree,
) -> Result<BTreeMap<String, Vec<Figures>>> {
    let mut kernels: BTreeMap<String, Vec<Kernel>> = BTreeMap::new();
    for step in &schedule.steps {
        let own = kernels.entry(kernel_of(step)).or_default();
        for (launch, _) in &step.launches {
            if !own.contains(&launch.kernel) {
                own.push(launch.kernel.clone());
            }
        }
    }
    kernels.into_iter().map(|(name, own)| Ok((name, figures(compiler, &own, tree)?))).collect()
}

impl From<&Row> for Figures {
    fn from(row: &Row) -> Figures {
        Figures {
            kernel: row.kernel.clone(),
            variant: row.variant.clone(),
            registers: row.registers,
            spills: row.spills,
            waves: row.waves,
            workgroup_bytes: row.workgroup_bytes,
            instructions: row.instructions,
            fma_share: row.main_loop().and_then(|l| l.counts.fma_share()),
            latency: row.latency,
            inverse_throughput: row.inverse_throughput,
            failed: row.failed.clone(),
        }
    }
}

/// Asks one compiler about all subjects; `told` hears of each, with its number, and says whether to go on.
pub fn ask(
    compiler: &mut asked::Asked,
    subjects: &[Subject],
    tree: &Tree,
    mut told: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (i, subject) in subjects.iter().enumerate() {
        told(i)?;
        let reflected = subject.kernel.reflect(tree)?;
        let answer = match not_for(reflected.cooperative(), compiler.about()) {
            Some(why) => Err(why),
            None => compiler.compile(&reflected.spirv()?)?,
        };
        rows.push(Row::of(subject, compiler.family(), answer));
    }
    Ok(rows)
}

/// Why a device cannot run a kernel that its driver might compile all the same, or stop on.
fn not_for(shape: Option<String>, about: &Driver) -> Option<String> {
    let shape = shape.filter(|shape| !about.cooperative.contains(shape))?;
    Some(match about.cooperative.as_slice() {
        [] => format!("it multiplies cooperative matrices of {shape}, and {} has none", about.device),
        list => format!("it multiplies cooperative matrices of {shape}, and {} has {}", about.device, list.join(", ")),
    })
}

/// The other end of [`asked::Asked`]: compiles what comes on `input` until it ends. A request is the number of words of a
/// SPIR-V module and the words, little-endian; an answer is a line of JSON. The first line says whose compiler it is.
pub fn serve(name: Option<&str>, mut input: impl Read, mut output: impl Write) -> Result<()> {
    let opened = Compiler::open(name);
    let first = opened.as_ref().map(|c| c.about().clone()).map_err(ToString::to_string);
    let mut say = |line: String| {
        writeln!(output, "{line}").and_then(|()| output.flush()).map_err(|e| Error::Failed(e.to_string()))
    };
    let json = |e: serde_json::Error| Error::Failed(e.to_string());
    say(serde_json::to_string(&first).map_err(json)?)?;
    let Ok(compiler) = opened else { return Ok(()) };
    let mut length = [0; 4];
    while input.read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; 4 * u32::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes).map_err(|e| Error::Failed(e.to_string()))?;
        let words: Vec<u32> = bytes.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
        say(serde_json::to_string(&compiler.compile(&words).map_err(|e| e.to_string())).map_err(json)?)?;
    }
    Ok(())
}

/// A line of `input` as JSON.
fn line<T: serde::de::DeserializeOwned>(input: &mut impl BufRead) -> Result<T, String> {
    let mut text = String::new();
    match input.read_line(&mut text) {
        Ok(0) => Err("the compiler's process ended".to_string()),
        Ok(_) => serde_json::from_str(&text).map_err(|e| format!("the compiler's answer cannot be read: {e}")),
        Err(e) => Err(e.to_string()),
    }
}
