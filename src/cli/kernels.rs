//! `wgslab kernels`.

use super::options::Options;
use super::output::{complain, print, print_json, table};
use crate::base::{Error, Result};
use crate::device::{Caps, Gpu};
use crate::kernels::listing::{self, Entry, Variant, Wanted};
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
}

/// List ops, their entries, and the variants of each with its tier
///
/// An entry is what an op or its gradient runs. "here" says where the adapter stands: the
/// share of the op's test cases in which it would run that variant first, "yes" where it can
/// run it, "no" where it cannot. Without an adapter the list is that of WebGPU's default
/// limits. Tiers: naive, portable, tiled, subgroup, f16, cooperative. Writes nothing.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  wgslab kernels list\n  wgslab kernels list --json | jq '.entries[].name'"
)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the WGSL of an entry exactly as it is compiled
///
/// The pieces of shaders/ put together, constants filled in, loops unrolled: every kernel that
/// the entry launches, in order. Which constants a kernel has may depend on the shape, so on
/// the case.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab kernels show relu.grad
  wgslab kernels show conv2d.forward --variant tiled_64 --case '3x3 stride 2'"
)]
struct Show {
    /// Which, as `wgslab kernels list` names it
    #[arg(value_name = "OP.ENTRY")]
    entry: String,
    /// Which variant [default: the one the adapter would run first]
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Which of the op's test cases [default: the first that has the variant]
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
}

impl Kernels {
    pub fn run(&self, options: &Options) -> Result<()> {
        match &self.command {
            KernelsCommand::List(c) => c.run(options),
            KernelsCommand::Show(c) => c.run(options),
        }
    }
}

/// The adapter's name and what it can do; without any adapter, what every one can, after saying so. One that was asked
/// for by name must be there.
fn adapter(options: &Options) -> Result<(Option<String>, Caps)> {
    match Gpu::open(&options.gpu()) {
        Ok(gpu) => Ok((Some(gpu.adapter().name.clone()), gpu.caps().clone())),
        Err(Error::NoAdapter(_)) if options.adapter.is_none() => {
            complain("warning: no adapter is here: this is for the default limits of WebGPU");
            Ok((None, Caps::portable()))
        }
        Err(e) => Err(e),
    }
}

impl List {
    fn run(&self, options: &Options) -> Result<()> {
        let (name, caps) = adapter(options)?;
        let entries = listing::entries(&caps, options.tree())?;
        if self.json {
            let entries: Vec<Value> = entries.iter().map(as_json).collect();
            return print_json(&json!({ "adapter": name, "entries": entries }));
        }
        let mut rows = vec![["entry", "variant", "tier", "here", "needs"].map(String::from).to_vec()];
        for e in &entries {
            for (i, v) in e.variants.iter().enumerate() {
                let entry = if i == 0 { e.name.clone() } else { String::new() };
                let tier = v.tier.name().to_string();
                rows.push(vec![entry, v.name.to_string(), tier, standing(e, v), v.needs.join(", ")]);
            }
        }
        let here = name.unwrap_or_else(|| "an adapter with the default limits of WebGPU".to_string());
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
        let (variant, case, kernels) = listing::kernels(&wanted, &adapter(options)?.1)?;
        let mut text = String::new();
        for k in &kernels {
            let constants: Vec<String> = k.constants.iter().map(|(n, v)| format!("{n} = {v}")).collect();
            let pieces: Vec<String> = k.pieces.iter().map(|p| options.tree().place(p)).collect();
            text += &format!("// {} [{variant}] in the case '{case}'\n// of {}\n", k.name, pieces.join(", "));
            if !constants.is_empty() {
                text += &format!("// with {}\n", constants.join(", "));
            }
            text += &format!("\n{}\n", k.source(options.tree())?.text);
        }
        print(&text)
    }
}
