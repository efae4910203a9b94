//! What kernels there are, found by recording every case of every op and asking the ops what they offer: no list of
//! variants is kept by hand. An entry is a node that a case or its gradient runs (`conv2d.forward`,
//! `conv2d.grad_weight`); a variant of it launches one kernel or several. What a variant needs is found by asking again
//! on an adapter without it, and from the kernels' own reflection.

mod found;

use crate::base::{DType, Result};
use crate::device::tune::Table;
use crate::device::{Caps, Cooperative, Kernel, Tree};
use crate::kernels::tune::chooser;
use crate::kernels::{Case, ops};
use crate::tape::schedule::Step;
use crate::tape::{Emit, Launch, Op, Options, Schedule};
use std::collections::{BTreeMap, HashSet};

pub use found::{Found, Wanted, find, find_all, largest};

/// Kinds of adapter that are offered different variants.
pub fn kinds() -> Vec<(&'static str, Caps)> {
    let software = Caps { software: true, subgroup: Some((8, 8)), f16: true, ..Caps::portable() };
    let cooperative = [(16, DType::F16), (8, DType::F16), (8, DType::F32)];
    let cooperative = cooperative.map(|(side, operands)| Cooperative { side, operands }).to_vec();
    let gpu = Caps { cooperative, ..gpu() };
    vec![("a portable adapter", Caps::portable()), ("a software adapter", software), ("a GPU", gpu)]
}

/// A GPU that need not be here, opened without cooperative matrices.
pub fn gpu() -> Caps {
    Caps {
        subgroup: Some((32, 64)), // what RADV says: the driver chooses for each kernel
        f16: true,
        storage_buffers: 16,
        binding_bytes: 1 << 31,
        invocations: 1024,
        workgroup_bytes: 48 << 10,
        ..Caps::portable()
    }
}

/// What a variant is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// The plain one that the others are measured against.
    Naive,
    /// The default limits of WebGPU.
    Portable,
    /// Tiles in workgroup memory and registers.
    Tiled,
    /// Subgroup operations.
    Subgroup,
    /// f16 storage, by `shader-f16` or in words of two.
    F16,
    /// Cooperative matrices.
    Cooperative,
}

impl Tier {
    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Naive => "naive",
            Tier::Portable => "portable",
            Tier::Tiled => "tiled",
            Tier::Subgroup => "subgroup",
            Tier::F16 => "f16",
            Tier::Cooperative => "cooperative",
        }
    }
}

/// A variant of an entry.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Its tier.
    pub tier: Tier,
    /// What an adapter must have beyond the default limits of WebGPU.
    pub needs: Vec<String>,
    /// Whether the adapter asked about is offered it in any case.
    pub here: bool,
    /// The cases in which that adapter would run it unless told otherwise.
    pub first_for: Vec<&'static str>,
    /// The kernels it launches, by name.
    pub kernels: Vec<&'static str>,
}

/// A node that an op or its gradient runs.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The op whose file holds it.
    pub op: &'static str,
    /// `<op>.<entry>`.
    pub name: String,
    /// The cases that run it.
    pub cases: Vec<&'static str>,
    /// Its variants: those of the adapter asked about in their order, then the others.
    pub variants: Vec<Variant>,
}

/// `<op>.<entry>` of a node.
pub fn entry_name(op: &dyn Op) -> String {
    let name = op.name();
    if name.contains('.') { name.to_string() } else { format!("{name}.forward") }
}

/// The nodes of a case and of its gradient; the tape's own copies, which an in-place op asks for, are no kernel of it.
fn nodes(case: &Case) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for r in std::iter::once(case.forward()?).chain(case.gradients()?) {
        steps.extend(Schedule::new(&r.tape, &Options::new(&Caps::portable()))?.steps);
    }
    steps.retain(|s| !s.op.is_view() && s.op.name() != "copy");
    Ok(steps)
}

fn launches(step: &Step, variant: &'static str, caps: &Caps) -> Result<Vec<Launch>> {
    let mut e = Emit::apart(&step.x, &step.y, variant, caps);
    step.op.emit(&mut e)?;
    Ok(e.launches)
}

/// The adapter that is asked about.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What it can do.
    pub caps: &'a Caps,
    /// The text that it would run.
    pub tree: &'a Tree,
    /// The variants that a table chooses for it; empty where there is none.
    pub table: &'a Table,
}

impl Asked<'_> {
    /// The variant of `step` that it would run unless told otherwise.
    fn first(&self, step: &Step) -> Option<&'static str> {
        let offered = step.op.variants(&step.x, self.caps);
        chooser(self.table)(step.op.as_ref(), &step.x, &offered).or(offered.first().copied())
    }
}

/// Every entry of every op, as an adapter stands to it.
pub fn entries(asked: &Asked<'_>) -> Result<Vec<Entry>> {
    survey(asked, &mut |kernel, needs| limits(kernel, asked.tree, needs))
}

/// As [`entries`], but `needs` lacks limits past WebGPU's default ones: to read every kernel for those takes most of the time.
pub fn entries_without_limits(asked: &Asked<'_>) -> Result<Vec<Entry>> {
    survey(asked, &mut |_, _| Ok(()))
}

/// Adds what a kernel needs.
type Needs<'a> = &'a mut dyn FnMut(&Kernel, &mut Vec<String>) -> Result<()>;

fn survey(asked: &Asked<'_>, needs: Needs<'_>) -> Result<Vec<Entry>> {
    let list = ops();
    let mut found: BTreeMap<(&'static str, String), Entry> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (listed, cases) in &list {
        for case in cases {
            for step in nodes(case)? {
                let own = step.op.name().split('.').next().unwrap_or_default();
                // A gradient may run nodes of another op. A node whose name begins with no op's name is a helper of this op.
                let op = list.iter().map(|o| o.0).find(|o| *o == own).unwrap_or(listed);
                let name = entry_name(step.op.as_ref());
                let entry = found.entry((op, name.clone())).or_insert_with(|| Entry {
                    op,
                    name,
                    cases: Vec::new(),
                    variants: Vec::new(),
                });
                let mut unseen = |kernel: &Kernel, lines: &mut Vec<String>| match seen.insert(kernel.clone()) {
                    true => needs(kernel, lines),
                    false => Ok(()),
                };
                add(entry, &step, case.name, asked, &mut unseen)?;
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Adds what `step` offers, on the adapter asked about first.
fn add(entry: &mut Entry, step: &Step, case: &'static str, asked: &Asked<'_>, needs_of: Needs<'_>) -> Result<()> {
    if !entry.cases.contains(&case) {
        entry.cases.push(case);
    }
    let (kinds, first) = (kinds(), asked.first(step));
    for (kind, on) in std::iter::once(asked.caps).chain(kinds.iter().map(|k| &k.1)).enumerate() {
        for name in step.op.variants(&step.x, on) {
            let at = entry.variants.iter().position(|v| v.name == name).unwrap_or_else(|| {
                let needs = features(step, name, on);
                let tier = tier(name, &needs);
                let (first_for, kernels) = (Vec::new(), Vec::new());
                entry.variants.push(Variant { name, tier, needs, here: false, first_for, kernels });
                entry.variants.len() - 1
            });
            let v = &mut entry.variants[at];
            v.here |= kind == 0;
            if kind == 0 && first == Some(name) && !v.first_for.contains(&case) {
                v.first_for.push(case);
            }
            for launch in launches(step, name, on)? {
                if !v.kernels.contains(&launch.kernel.name) {
                    v.kernels.push(launch.kernel.name);
                }
                needs_of(&launch.kernel, &mut v.needs)?;
            }
        }
    }
    Ok(())
}

/// The features without which `step` is not offered `variant`, which it is on `caps`.
fn features(step: &Step, variant: &str, caps: &Caps) -> Vec<String> {
    let offered = |caps: &Caps| step.op.variants(&step.x, caps).contains(&variant);
    let mut needs = Vec::new();
    if !offered(&Caps { subgroup: None, ..caps.clone() }) {
        let fixed = |n: &u32| offered(&Caps { subgroup: Some((*n, *n)), ..caps.clone() });
        let sizes: Vec<u32> = [4, 8, 16, 32, 64, 128].into_iter().filter(fixed).collect();
        let sizes = match (offered(&Caps { subgroup: Some((4, 128)), ..caps.clone() }), sizes.len()) {
            (true, _) => String::new(),
            (false, 6) => " of a fixed size".to_string(),
            _ => format!(" of {} lanes", sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ")),
        };
        needs.push(format!("subgroups{sizes}"));
    }
    if !offered(&Caps { f16: false, ..caps.clone() }) {
        needs.push("shader-f16".to_string());
    }
    if !caps.cooperative.is_empty() && !offered(&Caps { cooperative: Vec::new(), ..caps.clone() }) {
        let side = variant.rsplit('x').next().unwrap_or_default();
        needs.push(format!("{side}x{side}x{side} cooperative matrices and --experimental-cooperative-matrix"));
    }
    if !offered(&Caps { software: !caps.software, ..caps.clone() }) {
        needs.push(if caps.software { "a software adapter" } else { "no software adapter" }.to_string());
    }
    needs
}

fn tier(variant: &str, needs: &[String]) -> Tier {
    let needs = |what: &str| needs.iter().any(|n| n.starts_with(what));
    match variant {
        "naive" => Tier::Naive,
        v if v.starts_with("coop") => Tier::Cooperative,
        _ if needs("shader-f16") || variant == "packed" => Tier::F16,
        _ if needs("subgroups") => Tier::Subgroup,
        v if v.contains("tiled") => Tier::Tiled,
        _ => Tier::Portable,
    }
}

/// Adds the limits of a kernel that are past WebGPU's default ones.
fn limits(kernel: &Kernel, tree: &Tree, needs: &mut Vec<String>) -> Result<()> {
    let (r, portable) = (kernel.reflect(tree)?, Caps::portable());
    let used = [
        (r.buffers.len() as u32, portable.storage_buffers, "storage buffers"),
        (r.workgroup.iter().product(), portable.invocations, "invocations a workgroup"),
        (r.workgroup_bytes, portable.workgroup_bytes, "bytes of workgroup memory"),
    ];
    for (need, has, what) in used {
        let need_line = format!("{need} {what}");
        if need > has && !needs.contains(&need_line) {
            needs.push(need_line);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tune::TunedOp;
    use crate::tape::Type;

    fn asked<'a>(caps: &'a Caps, table: &'a Table) -> Asked<'a> {
        static COMMITTED: Tree = Tree::committed();
        Asked { caps, tree: &COMMITTED, table }
    }

    /// A case's gradient launches products, too, and they are as large.
    #[test]
    fn a_case_speaks_for_its_own_node() {
        let caps = [Caps::portable()];
        for case in ["whole tiles", "whole tiles, a transposed", "whole tiles, b transposed, a long sum"] {
            let wanted = |entry: &str, _: &str, of: &str| entry == "matmul.forward" && of == case;
            let found = largest(&caps, wanted).unwrap();
            assert!(found.len() > 2, "{case}");
            for one in found {
                let types: Vec<Type> = one.case.inputs.iter().map(|i| i.0).collect();
                assert_eq!((one.case.name, one.step.x), (case, types), "{}", one.variant);
            }
        }
    }

    #[test]
    fn a_table_chooses_what_is_first() {
        let caps = Caps::portable();
        let wanted = Wanted { entry: "matmul.forward", variant: None, case: None };
        let found = find(&wanted, &asked(&caps, &Table::default())).unwrap();
        assert_ne!(found.variant, "naive");
        let mut table = Table::new("a", "1");
        let variants = found.step.op.variants(&found.step.x, &caps);
        let key = crate::kernels::tune::key(found.step.op.as_ref(), &found.step.x, &variants);
        table.entries.insert(key, TunedOp { variant: "naive".into(), ..TunedOp::default() });
        assert_eq!(find(&wanted, &asked(&caps, &table)).unwrap().variant, "naive");
        let entries = entries_without_limits(&asked(&caps, &table)).unwrap();
        let forward = entries.iter().find(|e| e.name == "matmul.forward").unwrap();
        let naive = forward.variants.iter().find(|v| v.name == "naive").unwrap();
        assert!(naive.first_for.contains(&found.case.name) && naive.first_for.len() < forward.cases.len());
    }

    #[test]
    fn every_entry_has_variants_and_every_case_a_first_one() {
        for (_, caps) in kinds() {
            for e in entries_without_limits(&asked(&caps, &Table::default())).unwrap() {
                let first: usize = e.variants.iter().map(|v| v.first_for.len()).sum();
                assert!(first >= e.cases.len(), "{}: {:?}", e.name, e.variants);
                assert!(e.variants.iter().all(|v| !v.kernels.is_empty()), "{}: {:?}", e.name, e.variants);
            }
        }
    }

    #[test]
    fn what_a_variant_needs_is_found() {
        let entries = entries(&asked(&Caps::portable(), &Table::default())).unwrap();
        let forward = entries.iter().find(|e| e.name == "conv2d.forward").unwrap();
        let variant = |name| forward.variants.iter().find(|v| v.name == name).unwrap();
        assert_eq!((variant("naive").tier, variant("naive").needs.len()), (Tier::Naive, 0));
        assert_eq!((variant("tiled_64").tier, variant("tiled_64").here), (Tier::Tiled, true));
        let broadcast = variant("broadcast");
        assert_eq!((broadcast.tier, broadcast.here, broadcast.first_for.len()), (Tier::Subgroup, false, 0));
        assert_eq!(broadcast.needs, ["subgroups of 8 or 16 lanes"]);
        assert!(broadcast.kernels.contains(&"conv2d.pack_weight"));
    }

    #[test]
    fn kernels_are_found_by_name_and_mistakes_are_named() {
        let (caps, table) = (Caps::portable(), Table::default());
        let find = |entry, variant, case| find(&Wanted { entry, variant, case }, &asked(&caps, &table));
        let found = find("relu.grad", None, None).unwrap();
        let list = found.kernels().unwrap();
        assert!(list[0].name == "relu.grad" && list[0].variant == found.variant);
        let elsewhere = find("matmul.forward", Some("broadcast"), None).unwrap();
        assert!(elsewhere.variant == "broadcast" && elsewhere.caps != caps);
        for (wanted, says) in [
            (("conv2d.forwards", None, None), "conv2d.grad_weight"),
            (("matmul.forward", Some("fast"), None), "naive"),
            (("matmul.forward", None, Some("x")), "one row"),
        ] {
            let said = find(wanted.0, wanted.1, wanted.2).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }
}
