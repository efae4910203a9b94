//! `wgslab kernels`.

use super::options::Options;
use super::output::{complain, print, print_json, print_source, table};
use super::stats::{self, Serve, Stats};
use super::watch::Watch;
use crate::base::{Error, Result};
use crate::device::shader::Language;
use crate::device::tune::Table;
use crate::device::{Caps, Gpu, Kernel};
use crate::kernels::listing::{self, Asked, Entry, Variant, Wanted};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Look at the kernels
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(super) struct Kernels {
    #[command(subcommand)]
    command: KernelsCommand,
}

#[derive(Subcommand, Debug)]
enum KernelsCommand {
    List(List),
    Show(Show),
    Watch(Watch),
    Stats(Stats),
    #[command(hide = true, name = "compiler")]
    Serve(Serve),
}

/// List ops, their entries, and the variants of each with its tier
///
/// An entry is what an op or its gradient runs. The column "here" is about this adapter: "first" if
/// it would run that variant first in the op's test cases (with their number if not in all), "yes" if
/// it can run it, "no" if it cannot. With --kernels, "first" is the table's choice for sizes that it
/// knows. Without an adapter the list is for WebGPU's default limits. Tiers: naive, portable, tiled,
/// subgroup, f16, cooperative. Writes nothing.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab kernels list
  wgslab kernels list --kernels kernels.json
  wgslab kernels list --json | jq '.entries[].name'"
)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the WGSL of an entry exactly as it is compiled, or what naga makes of it
///
/// Prints the pieces of shaders/ put together, with constants filled in and loops unrolled: every
/// kernel that the entry launches, in order. The constants may depend on the shape, so on the case.
/// SPIR-V (disassembled), MSL and HLSL are what naga writes without runtime checks; drivers compile
/// them further. The language isa is the assembly that the driver makes, where it shows it; with --for
/// it is that of Mesa's RADV for an AMD GPU that need not be there.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab kernels show relu.grad
  wgslab kernels show conv2d.forward --variant tiled_64 --case '3x3 stride 2'
  wgslab kernels show matmul.forward --language spirv
  wgslab kernels show matmul.forward --variant tiled_64 --language isa --for gfx1100"
)]
struct Show {
    /// The entry, as `wgslab kernels list` names it
    #[arg(value_name = "OP.ENTRY")]
    entry: String,
    /// Which variant [default: the one the adapter, or with --for a GPU, would run first]
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Which of the op's test cases [default: the first that has the variant]
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// wgsl, spirv, msl, hlsl or isa
    #[arg(long, value_name = "NAME", default_value = "wgsl", value_parser = ["wgsl", "spirv", "msl", "hlsl", "isa"])]
    language: String,
    /// With --language isa: compile for this family of AMD GPUs, by Mesa's RADV and without hardware
    #[arg(long = "for", value_name = "FAMILY")]
    family: Option<String>,
}

impl Kernels {
    pub fn run(&self, options: &Options) -> Result<()> {
        match &self.command {
            KernelsCommand::List(c) => c.run(options),
            KernelsCommand::Show(c) => c.run(options),
            KernelsCommand::Watch(c) => c.run(options),
            KernelsCommand::Stats(c) => c.run(options),
            KernelsCommand::Serve(c) => c.run(options),
        }
    }
}

/// What is asked about.
struct Here {
    /// The adapter's name; none without any adapter.
    name: Option<String>,
    caps: Caps,
    table: Table,
}

impl Here {
    /// The adapter and the table of --kernels. Without any adapter it stands for the default limits, after a warning.
    /// An adapter that was asked for by name must be there, and so must the adapter of a table.
    fn new(options: &Options) -> Result<Here> {
        match Gpu::open(&options.gpu()) {
            Ok(gpu) => {
                let (name, caps) = (Some(gpu.adapter().name.clone()), gpu.caps().clone());
                Ok(Here { name, caps, table: options.given_table(&gpu)?.unwrap_or_default() })
            }
            Err(Error::NoAdapter(_)) if options.adapter.is_none() && options.kernels.is_none() => {
                complain("warning: no adapter is here: this is for the default limits of WebGPU");
                Ok(Here { name: None, caps: Caps::portable(), table: Table::default() })
            }
            Err(e) => Err(e),
        }
    }

    fn asked<'a>(&'a self, options: &'a Options) -> Asked<'a> {
        Asked { caps: &self.caps, tree: options.tree(), table: &self.table }
    }
}

impl List {
    fn run(&self, options: &Options) -> Result<()> {
        let here = Here::new(options)?;
        let entries = listing::entries(&here.asked(options))?;
        if self.json {
            let entries: Vec<Value> = entries.iter().map(as_json).collect();
            return print_json(&json!({ "adapter": here.name, "entries": entries }));
        }
        let mut rows = vec![["entry", "variant", "tier", "here", "needs"].map(String::from).to_vec()];
        for e in &entries {
            for (i, v) in e.variants.iter().enumerate() {
                let entry = if i == 0 { e.name.clone() } else { String::new() };
                let tier = v.tier.name().to_string();
                rows.push(vec![entry, v.name.to_string(), tier, standing(e, v), v.needs.join(", ")]);
            }
        }
        let here = here.name.unwrap_or_else(|| "an adapter with the default limits of WebGPU".to_string());
        print(&format!("here: {here}\n\n{}", table(&rows)))
    }
}

fn standing(e: &Entry, v: &Variant) -> String {
    match (v.here, v.first_for.len()) {
        (false, _) => "no".to_string(),
        (true, 0) => "yes".to_string(),
        (true, n) if n == e.cases.len() => "first".to_string(),
        (true, n) => format!("first in {n} of {} cases", e.cases.len()),
    }
}

fn as_json(e: &Entry) -> Value {
    let variant = |v: &Variant| {
        json!({
            "name": v.name,
            "tier": v.tier.name(),
            "needs": v.needs,
            "runs_here": v.here,
            "first_here_for_cases": v.first_for,
            "kernels": v.kernels,
        })
    };
    let variants: Vec<Value> = e.variants.iter().map(variant).collect();
    json!({ "op": e.op, "name": e.name, "cases": e.cases, "variants": variants })
}

impl Show {
    fn run(&self, options: &Options) -> Result<()> {
        let wanted = Wanted { entry: &self.entry, variant: self.variant.as_deref(), case: self.case.as_deref() };
        if self.family.is_some() && self.language != "isa" {
            return Err(Error::Usage("--for names the family of an assembly: add --language isa".into()));
        }
        let mut here = Here::new(options)?;
        if self.family.is_some() {
            here.caps = listing::gpu(); // a software adapter here would be given other text
        }
        let found = listing::find(&wanted, &here.asked(options))?;
        let (variant, case) = (found.variant, found.case.name);
        let mut text = String::new();
        for k in &found.kernels()? {
            let constants: Vec<String> = k.constants.iter().map(|(n, v)| format!("{n} = {v}")).collect();
            let pieces: Vec<String> = k.pieces.iter().map(|p| options.tree().place(p)).collect();
            let comment = if ["spirv", "isa"].contains(&self.language.as_str()) { ";" } else { "//" };
            text += &format!("{comment} {} [{variant}] in the case '{case}'\n", k.name);
            text += &format!("{comment} of {}\n", pieces.join(", "));
            if !constants.is_empty() {
                text += &format!("{comment} with {}\n", constants.join(", "));
            }
            text += &format!("\n{}\n", self.written(k, options)?);
        }
        print_source(&text)
    }
    /// A kernel in the language asked for.
    fn written(&self, kernel: &Kernel, options: &Options) -> Result<String> {
        let tree = options.tree();
        let language = match self.language.as_str() {
            "spirv" => Language::Spirv,
            "msl" => Language::Msl,
            "hlsl" => Language::Hlsl,
            "isa" => return stats::assembly(kernel, self.family.as_deref(), options),
            _ => return Ok(kernel.source(tree)?.text),
        };
        kernel.text(tree, language)
    }
}
