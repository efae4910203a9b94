//! `wgslab devices`.

use super::options::Options;
use super::output::{print, print_json, size};
use crate::base::Result;
use crate::device::adapter::{Adapter, adapters};
use crate::device::{Caps, Gpu};
use crate::kernels::{gemm, lanes};
use clap::Args;
use serde_json::{Value, json};

/// List the adapters here, what they can do and which kernels they can run
///
/// Prints every Vulkan, Metal and DX12 adapter with its limits, its features and the kernel
/// tiers it can run, the best first. The index before each name is what --adapter takes.
/// Writes nothing.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, after_help = "Examples:\n  wgslab devices\n  wgslab devices --json | jq '.[].name'")]
pub(super) struct Devices {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub fn run(&self, options: &Options) -> Result<()> {
        let list = adapters(options.backend.as_deref())?;
        if self.json {
            print_json(&list.iter().enumerate().map(as_json).collect::<Vec<_>>())?;
        }
        if list.is_empty() {
            return Gpu::open(&options.gpu()).map(drop); // the error says that there is none, and the way out
        }
        if !self.json {
            print(&list.iter().enumerate().map(as_text).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(())
    }
}

/// The subgroup tier: sums within subgroups of any size, and the lanes of the broadcast kernels, if the adapter can run them.
fn subgroup(caps: &Caps) -> String {
    let broadcast = match (gemm::lanes(caps), caps.subgroup) {
        (Some(lanes), _) if caps.software => format!("broadcast, {lanes} lanes, tried first"),
        (Some(lanes), _) => format!("broadcast, {lanes} lanes, tried after the portable tiles"),
        (None, Some((min, max))) if min == max => format!("no broadcast: it needs 8 or 16 lanes, here are {min}"),
        (None, Some((min, max))) => format!("no broadcast: it needs a fixed 8 or 16 lanes, here are {min} to {max}"),
        (None, None) => return "no: the adapter has no subgroup operations".to_string(),
    };
    match lanes::and_subgroups(Vec::new(), caps).first() {
        Some(name) => format!("{name} where a race chose it; {broadcast}"),
        None => broadcast,
    }
}

fn as_text((index, a): (usize, &Adapter)) -> String {
    let c = &a.caps;
    let software = if c.software { ", a software adapter" } else { "" };
    let default = if index == 0 { ", used unless --adapter names another" } else { "" };
    let f16 = if c.f16 { "tiled_f16 and packed" } else { "packed: the adapter has no shader-f16" };
    let cooperative = match a.cooperative.as_slice() {
        [] => "no: the adapter has no cooperative matrices".to_string(),
        shapes => format!("off unless --experimental-cooperative-matrix; the adapter lists {}", shapes.join(", ")),
    };
    let lines = [
        format!("{index}  {}", a.name),
        format!("   {} on {} ({}{software}{default})", a.driver, a.backend, a.kind),
        format!(
            "   limits      {} a binding, {} storage buffers a kernel, {} groups a dimension,",
            size(c.binding_bytes),
            c.storage_buffers,
            c.groups
        ),
        format!(
            "               {} invocations and {} of memory a workgroup",
            c.invocations,
            size(c.workgroup_bytes.into())
        ),
        "   kernels     portable: yes".to_string(),
        format!("               subgroup: {}", subgroup(c)),
        format!("               f16 (only where a step asks for f16): {f16}"),
        format!("               cooperative: {cooperative}"),
        format!("   features    {}", wrapped(&a.features, 100, "               ")),
    ];
    lines.join("\n") + "\n"
}

/// The words in lines of at most `width` characters, all but the first after `indent`.
fn wrapped(words: &[String], width: usize, indent: &str) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for word in words {
        if used > 0 && used + 1 + word.len() > width {
            text += &format!("\n{indent}");
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text += word;
        used += word.len();
    }
    text
}

fn as_json((index, a): (usize, &Adapter)) -> Value {
    let c = &a.caps;
    json!({
        "index": index,
        "name": a.name,
        "driver": a.driver,
        "backend": a.backend,
        "kind": a.kind,
        "software": c.software,
        "limits": {
            "binding_bytes": c.binding_bytes,
            "storage_buffers": c.storage_buffers,
            "groups": c.groups,
            "invocations": c.invocations,
            "workgroup_bytes": c.workgroup_bytes,
        },
        "subgroup_lanes": c.subgroup.map(|(min, max)| [min, max]),
        "tiers": {
            "portable": true,
            "subgroup_broadcast_lanes": gemm::lanes(c),
            "f16_adapter_support": c.f16,
            "f16_kernels": true,
            "cooperative_matrix_shapes": a.cooperative,
        },
        "features": a.features,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subgroup_tier_is_what_the_kernels_say() {
        let caps = |software, subgroup| Caps { software, subgroup, ..Caps::portable() };
        assert!(subgroup(&caps(true, Some((8, 8)))).contains("; broadcast, 8 lanes, tried first"));
        assert!(subgroup(&caps(false, Some((4, 64)))).starts_with("subgroups where a race chose it; no broadcast"));
        assert!(subgroup(&caps(false, Some((32, 32)))).contains("here are 32"));
        assert!(subgroup(&caps(false, Some((8, 32)))).contains("here are 8 to 32"));
        assert!(subgroup(&caps(false, None)).starts_with("no"));
    }

    #[test]
    fn long_lists_are_wrapped() {
        let words = ["aa", "bb", "cc"].map(String::from);
        assert_eq!(wrapped(&words, 5, "> "), "aa bb\n> cc");
    }
}
