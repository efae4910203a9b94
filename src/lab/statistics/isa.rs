//! Reads the assembly of AMD's GPUs as Mesa prints it: instructions by kind, and what one round of each innermost loop
//! issues. Mesa prints what LLVM disassembles, and for a family that this LLVM does not know its own compiler's program, in
//! which results stand before the instruction (`v1: %5:v[3] = v_add_f32 …`). Other assemblies are not read, so that nothing
//! is counted wrongly.

use serde::{Deserialize, Serialize};

/// How instructions at a quarter of the rate begin.
const QUARTER_RATE: [&str; 10] =
    ["v_rcp", "v_rsq", "v_sqrt", "v_exp", "v_log", "v_sin", "v_cos", "v_mul_lo", "v_mul_hi", "v_mad_u"];

/// How multiply-adds of f32 begin, with or without a rounding in between, one of their factors a constant or not.
const MULTIPLY_ADDS: [&str; 14] = [
    "v_fma_f32",
    "v_fmac_f32",
    "v_fmaak_f32",
    "v_fmamk_f32",
    "v_mad_f32",
    "v_mac_f32",
    "v_madak_f32",
    "v_madmk_f32",
    "v_fma_mix",
    "v_mad_mix",
    "v_pk_fma",
    "v_dot2",
    "v_dual_fmac",
    "v_dual_fma",
];

/// The vector cycles of a product of matrices, as Mesa's own estimate of latency has them.
const MATRIX_CYCLES: u32 = 32;

/// Instructions by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Multiply-adds of f32.
    pub fma: u32,
    /// Products of matrices that a subgroup holds together (`v_wmma`), each of which counts as 32 multiply-adds below.
    #[serde(default)]
    pub matrix: u32,
    /// Other vector arithmetic at full rate.
    pub vector: u32,
    /// Vector arithmetic at a quarter of the rate: reciprocals, roots, exponentials, sines, 32-bit integer products.
    pub quarter_rate: u32,
    /// Reads and writes of workgroup memory.
    pub workgroup: u32,
    /// Reads and writes of buffers.
    pub memory: u32,
    /// Reads and writes of registers that were spilled.
    pub scratch: u32,
    /// Scalar arithmetic, scalar loads and the rest.
    pub scalar: u32,
    /// Conditional branches.
    pub branches: u32,
    /// Waits for memory of either kind.
    pub waits: u32,
    /// Round trips to buffers: first waits for what was loaded since the last such wait. Loads that are on their way together
    /// cost one.
    pub round_trips: u32,
    /// Barriers of a workgroup.
    pub barriers: u32,
}

impl Counts {
    /// The cycles of multiply-adds, those of matrices included.
    pub fn fma_cycles(&self) -> u32 {
        self.fma + MATRIX_CYCLES * self.matrix
    }

    /// The share of multiply-adds in the cycles of vector arithmetic, 0 to 1; none without vector arithmetic.
    pub fn fma_share(&self) -> Option<f64> {
        let cycles = self.fma_cycles() + self.vector + 4 * self.quarter_rate;
        (cycles > 0).then(|| f64::from(self.fma_cycles()) / f64::from(cycles))
    }

    /// Reads and writes of workgroup memory and buffers for each cycle of multiply-adds; none without multiply-adds.
    pub fn loads_per_fma(&self) -> Option<f64> {
        let cycles = self.fma_cycles();
        (cycles > 0).then(|| f64::from(self.workgroup + self.memory) / f64::from(cycles))
    }

    fn count(&mut self, op: &str) {
        let begins = |names: &[&str]| names.iter().any(|n| op.starts_with(n));
        let kind = match op {
            _ if begins(&MULTIPLY_ADDS) => &mut self.fma,
            _ if begins(&["v_wmma", "v_swmma"]) => &mut self.matrix,
            _ if begins(&["ds_"]) => &mut self.workgroup,
            _ if begins(&["buffer_", "global_", "flat_"]) => &mut self.memory,
            _ if begins(&["scratch_"]) => &mut self.scratch,
            _ if is_wait(op) => &mut self.waits,
            // Since gfx12 a barrier is two instructions, to say that one is there and to wait for the others.
            "s_barrier_wait" => &mut self.scalar,
            _ if begins(&["s_barrier"]) => &mut self.barriers,
            _ if begins(&["s_cbranch"]) => &mut self.branches,
            // Products of 24 bits run at full rate.
            _ if op.contains("_u24") || op.contains("_i24") => &mut self.vector,
            _ if begins(&QUARTER_RATE) => &mut self.quarter_rate,
            _ if begins(&["v_"]) => &mut self.vector,
            _ => &mut self.scalar,
        };
        *kind += 1;
    }

    /// Counts `ops`. Of a loop the round trips are those of a round after the first: what one has loaded the next may await.
    fn of<'a>(ops: impl Iterator<Item = &'a (&'a str, &'a str)> + Clone) -> Counts {
        let (mut counts, mut loaded) = (Counts::default(), false);
        let mut round_trips = || {
            let mut trips = 0;
            for (op, operands) in ops.clone() {
                let awaited = loaded && is_wait(op) && (op.contains("loadcnt") || operands.contains("vmcnt"));
                trips += u32::from(awaited);
                let loads = ["buffer_load", "global_load", "flat_load"].iter().any(|n| op.starts_with(n));
                loaded = loads || (loaded && !awaited);
            }
            trips
        };
        round_trips();
        counts.round_trips = round_trips();
        ops.for_each(|(op, _)| counts.count(op));
        counts
    }
}

/// Whether an instruction waits for memory. Since gfx12 each kind of memory has one of its own (`s_wait_loadcnt`,
/// `s_wait_dscnt`, …); `s_waitcnt_depctr` waits for arithmetic.
fn is_wait(op: &str) -> bool {
    (op.starts_with("s_waitcnt") && op != "s_waitcnt_depctr") || (op.starts_with("s_wait_") && op.contains("cnt"))
}

/// A loop that holds no other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Loop {
    /// The block that it begins with, as the assembly names it: `BB3`.
    pub block: String,
    /// What one round issues, both sides of every branch included.
    pub counts: Counts,
}

/// An assembly in numbers.
pub struct Assembly {
    /// All of it.
    pub counts: Counts,
    /// Its innermost loops, in the order of the text.
    pub loops: Vec<Loop>,
}

struct Block<'a> {
    name: &'a str,
    ops: Vec<(&'a str, &'a str)>,
}

/// Reads an assembly in blocks `BB0:`, `BB1:`, … (`BB0` in a program of Mesa's compiler); none where it has no such blocks.
pub fn read(assembly: &str) -> Option<Assembly> {
    let blocks = blocks(assembly);
    let place = |name: &str| blocks.iter().position(|b| b.name == name);
    // A jump back to an earlier block is a loop from there to here.
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let jumps = block.ops.iter().filter(|(op, _)| op.starts_with("s_cbranch") || op.starts_with("s_branch"));
        for (_, operands) in jumps {
            let words = operands.split([' ', ',']).map(|word| word.trim_start_matches("block:"));
            let target = words.into_iter().find(|word| word.starts_with("BB")).and_then(place);
            let Some(start) = target.filter(|start| *start <= at) else { continue };
            match spans.iter_mut().find(|s| s.0 == start) {
                Some(span) => span.1 = at,
                None => spans.push((start, at)),
            }
        }
    }
    spans.sort_unstable();
    let count = |from: usize, to: usize| Counts::of(blocks[from..=to].iter().flat_map(|b| &b.ops));
    let innermost = |&&(start, end): &&(usize, usize)| !spans.iter().any(|s| s.0 > start && s.0 <= end);
    let loops = spans
        .iter()
        .filter(innermost)
        .map(|&(start, end)| Loop { block: blocks[start].name.to_string(), counts: count(start, end) });
    let loops = loops.collect();
    let last = blocks.len().checked_sub(1)?;
    Some(Assembly { counts: count(0, last), loops })
}

fn blocks(assembly: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in assembly.lines() {
        let is_block = |name: &&str| name.strip_prefix("BB").is_some_and(|n| n.parse::<u32>().is_ok());
        if let Some(name) = line.split(':').next().filter(is_block) {
            blocks.push(Block { name, ops: Vec::new() });
        } else if let (Some(block), true) = (blocks.last_mut(), line.starts_with([' ', '\t'])) {
            let text = line.rsplit_once(" = ").map_or(line, |(_results, text)| text).trim();
            let (op, operands) = text.split_once(' ').unwrap_or((text, ""));
            if op.starts_with(['v', 's', 'd', 'b', 't', 'g', 'f']) && op.contains('_') {
                block.ops.push((op, operands));
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "BB0:\n\ts_mov_b32 s0, 0 ; be800080\nBB1:\n\tv_fmac_f32_e32 v1, v2, v3 ; 56020503\n\
        \tv_fma_f32 v1, v2, v3, v1 ; d613\n\tv_mul_lo_u32 v4, v5, v6 ; d72c\n\tv_add_f32_e32 v1, v1, v2 ; 0602\n\
        \tds_load_b128 v[0:3], v9 ; dbfc\n\ts_waitcnt lgkmcnt(0) ; bf89\nBB2:\n\tbuffer_load_b32 v1, v2, s[0:3], 0 ; e050\n\
        \ts_cbranch_scc1 BB2 ; bfa2\nBB3:\n\ts_cbranch_scc0 BB1 ; bfa1\nBB4:\n\ts_endpgm ; bfb0\n";

    #[test]
    fn kinds_are_counted_and_loops_found_from_their_jumps() {
        let read = read(TEXT).unwrap();
        let all = Counts { fma: 2, vector: 1, quarter_rate: 1, workgroup: 1, memory: 1, waits: 1, ..Counts::default() };
        assert_eq!(read.counts, Counts { scalar: 2, branches: 2, ..all });
        assert_eq!(read.loops.len(), 1, "the outer loop holds another");
        assert_eq!(
            (read.loops[0].block.as_str(), read.loops[0].counts.memory, read.loops[0].counts.branches),
            ("BB2", 1, 1)
        );
        assert_eq!(read.counts.fma_share(), Some(2.0 / 7.0));
        assert_eq!(read.counts.loads_per_fma(), Some(1.0));
        assert_eq!((read.counts.round_trips, read.loops[0].counts.round_trips), (0, 0), "nothing waits for the load");
        assert!(Counts::default().fma_share().is_none() && Counts::default().loads_per_fma().is_none());
    }

    #[test]
    fn loads_that_are_on_their_way_together_are_one_round_trip() {
        let of = |text: &str| {
            read(&format!("BB0:\n{text}\ts_cbranch_scc1 BB0 ; bfa2\n")).unwrap().loops[0].counts.round_trips
        };
        let (load, some, all) = ("\tbuffer_load_b32 v1, v2\n", "\ts_waitcnt vmcnt(1)\n", "\ts_waitcnt vmcnt(0)\n");
        assert_eq!(of(&[load, load, some, all].concat()), 1);
        assert_eq!(of(&[load, all, load, all].concat()), 2);
        assert_eq!(of(&[all, load, "\ts_waitcnt lgkmcnt(0)\n"].concat()), 1, "the next round waits for it");
    }

    #[test]
    fn every_form_of_a_multiply_add_is_one() {
        let of =
            |name: &str| read(&format!("BB0:\n\t{name} v1, v2, v3 ; 0\n\ts_cbranch_scc1 BB0 ; bfa2\n")).unwrap().counts;
        for name in ["v_fmaak_f32", "v_fmamk_f32", "v_madak_f32", "v_madmk_f32", "v_mac_f32_e32", "v_fma_mix_f32"] {
            assert_eq!((of(name).fma, of(name).vector), (1, 0), "{name}");
        }
        assert_eq!((of("v_mul_f32_e32").fma, of("v_mul_f32_e32").vector), (0, 1));
    }

    /// gfx1201 as Mesa 25.0.7 prints it beside LLVM 15, which does not know it.
    #[test]
    fn a_program_of_mesa_s_compiler_is_read_as_its_disassembly_is() {
        let text = "\nShader disassembly is not supported in the current configuration, falling back to print_program.\n\
            \nAfter lowering to hw instructions:\nACO shader stage: SW (CS), HW (COMPUTE_SHADER)\nBB0\n\
            /* logical preds: / linear preds: / kind: uniform, top-level, */\n\ts_wait_kmcnt imm:0\n\
            \t s2: %16:s[6-7] = s_buffer_load_dwordx2 %14:s[8-11], 0\n\
            \t s1: %17:s[12],  s1: %626:scc = s_lshr_b32 %624:s[6], 5\nBB1\n\
            /* logical preds: BB0, BB1, / linear preds: BB0, BB1, / kind: uniform, loop-header, */\n\
            \ts_waitcnt_depctr sa_sdst(0)\n\t v1: %9:v[40] = buffer_load_dword %8:s[0-3], %7:v[9], 0 offen storage:buffer\n\
            \ts_wait_loadcnt imm:0\n\t v1: (precise)%585:v[92] = v_fmac_f32 %1845:v[97], %1854:v[106], %316:v[92]\n\
            \t v4: %525:v[0-3] = v_wmma_f32_16x16x16_f16 (latekill)%524:v[24-31], (latekill)%522:v[48-55], %523:v[0-3]\n\
            \tds_write_b32 %1:v[0], %2:v[1] storage:shared\n\ts_wait_dscnt imm:0\n\ts_barrier_signal -1\n\
            \ts_barrier_wait imm:65535\n\ts_cbranch_scc1 block:BB1\nBB2\n/* kind: */\n\ts_endpgm\n";
        let read = read(text).unwrap();
        let walk = Counts {
            fma: 1,
            matrix: 1,
            workgroup: 1,
            memory: 1,
            scalar: 2, // the wait for arithmetic, and that of a barrier, which is counted where it is signalled
            branches: 1,
            waits: 2,
            round_trips: 1,
            barriers: 1,
            ..Counts::default()
        };
        assert_eq!(read.loops, [Loop { block: "BB1".into(), counts: walk }]);
        assert_eq!(read.counts, Counts { scalar: 5, waits: 3, ..walk });
        assert_eq!(walk.fma_share(), Some(1.0));
        assert_eq!(walk.loads_per_fma(), Some(2.0 / 33.0), "a product of matrices takes 32 cycles");
    }

    #[test]
    fn another_assembly_is_not_read() {
        assert!(super::read("mov.u32 r1, %tid.x;\nL1:\nbra L1;\n").is_none());
    }
}
