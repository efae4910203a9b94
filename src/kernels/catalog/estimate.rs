//! How long a variant of a product or a convolution should take, before anything runs: a model of flops and bytes.
//!
//! It reads what the op would launch, so that packing, slices, transforms and the workgroups that stand over an edge are
//! those that really run. From text, constants, parameters and grid of a launch it counts its arithmetic, the bytes of
//! its buffers, and what its invocations load from there and from workgroup memory. The launch takes the longest of the
//! four at the adapter's rates, longer where its workgroups fill the adapter badly, and what a launch costs. Latency, index
//! arithmetic, barriers and the arithmetic that depends on how the kernel is compiled are not in it, and it does not know
//! cooperative matrices. So it expects `tiled_taps`, which saves index arithmetic, behind `tiled_64`, and a race begins with the
//! latter. It puts candidates in an order, and a race decides. docs/kernels.md says how far it is from measured times.

use crate::device::Caps;
use crate::tape::{Emit, Launch, Op, Slot, Type};
use std::collections::BTreeMap;

/// What an adapter can do in a second: the roofs that the model divides by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Arithmetic in f32, GFLOP/s.
    pub gflop_per_s: f64,
    /// Moving what no cache holds, GB/s.
    pub memory_gb_per_s: f64,
    /// Loading what a cache holds, GB/s, counted by invocation.
    pub cache_gb_per_s: f64,
    /// Loading from workgroup memory, GB/s, counted by invocation.
    pub workgroup_gb_per_s: f64,
    /// A launch that waits for the one before it, µs.
    pub launch_us: f64,
    /// Invocations that fill the adapter.
    pub invocations: f64,
}

impl Rates {
    /// Of a kind of adapter, where nothing was measured. A GPU is one of the middle of its time, whose lanes share what
    /// they load from workgroup memory (gemm.rs), and which 512 workgroups of 64 fill. A software adapter is Mesa's on two
    /// cores with vectors of 8, near what `wgslab bench --roofline` gave there: a load is a loop over lanes, so caches are
    /// no faster than memory.
    pub fn usual(caps: &Caps) -> Rates {
        match caps.software {
            false => Rates {
                gflop_per_s: 10_000.0,
                memory_gb_per_s: 400.0,
                cache_gb_per_s: 2_000.0,
                workgroup_gb_per_s: 15_000.0,
                launch_us: 5.0,
                invocations: 32_768.0,
            },
            true => Rates {
                gflop_per_s: 40.0,
                memory_gb_per_s: 2.5,
                cache_gb_per_s: 2.5,
                workgroup_gb_per_s: 1.7,
                launch_us: 35.0,
                invocations: 16.0,
            },
        }
    }
}

/// What a launch does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations, those of rows and columns over an edge included.
    pub flops: f64,
    /// Bytes of what it reads and writes, each counted once.
    pub bytes: f64,
    /// Bytes that invocations load from buffers, again and again, and store there.
    pub loaded: f64,
    /// Bytes that invocations load from workgroup memory.
    pub shared: f64,
    /// Workgroups with work.
    pub groups: f64,
    /// Invocations of a workgroup.
    pub threads: f64,
}

impl Work {
    /// Its time on an adapter of these rates, ms.
    pub fn ms(&self, rates: &Rates) -> f64 {
        let at = |count: f64, giga: f64| count / giga * 1e-6;
        let arithmetic = at(self.flops, rates.gflop_per_s);
        let moved = at(self.bytes, rates.memory_gb_per_s);
        let loaded = at(self.loaded, rates.cache_gb_per_s).max(at(self.shared, rates.workgroup_gb_per_s));
        // As many workgroups as fill the adapter begin together; the last of such rounds may leave most of it idle.
        let at_once = (rates.invocations / self.threads.max(1.0)).max(1.0);
        let rounds = (self.groups / at_once).ceil().max(1.0);
        let filled = self.groups.max(1.0) / (rounds * at_once);
        arithmetic.max(moved).max(loaded) / filled.min(1.0) + rates.launch_us * 1e-3
    }
}

/// What each launch of a variant does, in their order. `None` where the model does not know one of its kernels.
pub fn work(op: &dyn Op, x: &[Type], variant: &'static str, caps: &Caps) -> Option<Vec<Work>> {
    let y = op.infer(x).ok()?;
    let workspace = op.workspace(x, &y, variant, caps);
    let mut e = Emit::apart(x, &y, variant, caps);
    op.emit(&mut e).ok()?;
    let bytes = |slot: Slot| match slot.value() {
        Slot::In(i) | Slot::AroundIn(i) => x.get(i),
        Slot::Out(i) | Slot::AroundOut(i) => y.get(i),
        Slot::Work(i) => workspace.get(i),
    };
    e.launches.iter().map(|launch| Counted { launch, ty: &bytes }.work()).collect()
}

/// A variant's time on an adapter of these rates, ms, where the model knows all of its kernels.
pub fn estimate_ms(op: &dyn Op, x: &[Type], variant: &'static str, caps: &Caps, rates: &Rates) -> Option<f64> {
    Some(work(op, x, variant, caps)?.iter().map(|w| w.ms(rates)).sum())
}

/// The variants in the order in which the model expects them, and its times in ms by their names. Where it does not know
/// all of them, their order stays.
pub fn in_order(
    op: &dyn Op,
    x: &[Type],
    variants: &[&'static str],
    caps: &Caps,
    rates: &Rates,
) -> (Vec<&'static str>, BTreeMap<String, f64>) {
    let of = |v: &&'static str| Some((v.to_string(), estimate_ms(op, x, v, caps, rates)?));
    let known: BTreeMap<String, f64> = variants.iter().filter_map(of).collect();
    let mut order = variants.to_vec();
    if known.len() == variants.len() {
        order.sort_by(|a, b| known[*a].total_cmp(&known[*b]));
    }
    (order, known)
}

/// A launch whose work is counted.
struct Counted<'a> {
    launch: &'a Launch,
    ty: &'a dyn Fn(Slot) -> Option<&'a Type>,
}

/// Bytes of an f32.
const F32: f64 = 4.0;

impl Counted<'_> {
    /// A kernel is known by the file of its walk.
    fn work(&self) -> Option<Work> {
        let counts = self.launch.kernel.pieces.iter().find_map(|piece| match piece.path {
            "core/gemm/tiled.wgsl" | "core/gemm/aligned.wgsl" => Some(self.tiled()),
            "core/gemm/naive.wgsl" => Some(self.naive()),
            "core/gemm/columns.wgsl" => Some(self.columns()),
            "core/gemm/across.wgsl" => Some(self.across()),
            "core/gemm/rows.wgsl" => Some(self.rows()),
            "layers/conv2d/direct_forward.wgsl" => Some(self.direct_forward()),
            "layers/conv2d/direct_grad_input.wgsl" => Some(self.direct_grad_input()),
            "layers/conv2d/direct_grad_weight.wgsl" => Some(self.direct_grad_weight()),
            // A pass reads and writes so many bytes an invocation, for so many operations.
            "core/gemm/pack.wgsl" | "core/gemm/pack_quads.wgsl" => Some(self.pack()),
            "core/gemm/sum_slices.wgsl" => Some(self.sum_slices()),
            "layers/conv2d/winograd_weight.wgsl" => Some(self.winograd_weight()),
            "layers/conv2d/winograd_input.wgsl" => Some(self.winograd_input()),
            "layers/conv2d/winograd_output.wgsl" => Some(self.winograd_output()),
            _ => None,
        })??;
        Some(Work { bytes: self.once(counts.bytes)?, ..counts })
    }

    /// A field of its `Params`.
    fn field(&self, name: &str) -> Option<f64> {
        let (_, at) = self.launch.fields.iter().find(|f| f.0 == name)?;
        let bytes = self.launch.params.get(*at..at + 4)?;
        Some(f64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    }

    /// A constant of its text.
    fn constant(&self, name: &str) -> Option<f64> {
        self.launch.kernel.constants.iter().find(|c| c.0 == name).map(|c| f64::from(c.1))
    }

    fn grid(&self) -> [f64; 3] {
        self.launch.grid.map(f64::from)
    }

    /// Bytes of an element of its operands.
    fn element(&self) -> Option<f64> {
        Some((self.ty)(*self.launch.buffers.first()?)?.dtype.bytes() as f64)
    }

    /// Bytes of an element of what it makes: of the op's output, else of a workspace of sums.
    fn made(&self) -> f64 {
        let of = |slot: &Slot| matches!(slot.value(), Slot::Out(_)).then(|| (self.ty)(*slot)).flatten();
        self.launch.buffers.iter().find_map(of).map_or(F32, |ty| ty.dtype.bytes() as f64)
    }

    /// The bytes of its buffers, each once. One that writes only a part of its result says how many bytes.
    fn once(&self, written: f64) -> Option<f64> {
        let mut seen: Vec<Slot> = Vec::new();
        let mut sum = written;
        for slot in self.launch.buffers.iter().map(|slot| slot.value()) {
            if seen.contains(&slot) || written > 0.0 && matches!(slot, Slot::Out(_)) {
                continue;
            }
            seen.push(slot);
            sum += (self.ty)(slot)?.bytes() as f64;
        }
        Some(sum)
    }

    /// The length of the sums. Of a convolution's gradient to its input the mean over the phases of the stride: each tap is
    /// met by one of them along an axis.
    fn depth(&self) -> Option<f64> {
        let k = self.field("k")?;
        let Some(step) = self.constant("STEP") else { return Some(k) };
        let [r, s, stride] = [self.constant("R")?, self.constant("S")?, self.constant("STRIDE")?];
        let most = (r / step).ceil() * (s / step).ceil();
        Some(k / most * r * s / (stride * stride))
    }

    fn tiled(&self) -> Option<Work> {
        let [m, n, k, k_split] = [self.field("m")?, self.field("n")?, self.field("k")?, self.field("k_split")?];
        let [bm, bn, bk] = [self.constant("BM")?, self.constant("BN")?, self.constant("BK")?];
        let [tm, tn, threads] = [self.constant("TM")?, self.constant("TN")?, self.constant("THREADS")?];
        let (slices, depth) = ((k / k_split).ceil(), self.depth()?);
        let products = (self.grid()[2] / slices).floor();
        let [rows, columns] = [(m / bm).ceil(), (n / bn).ceil()];
        // Steps that a slice walks, up to a whole tile.
        let of_slice = |i: u32| (depth - f64::from(i) * k_split).clamp(0.0, k_split);
        let walked: f64 = (0..slices as u32).map(|i| (of_slice(i) / bk).ceil() * bk).sum();
        let tiles = rows * columns * products;
        Some(Work {
            flops: 2.0 * bm * bn * tiles * walked,
            loaded: products * (depth * self.element()? * (m * columns + n * rows) + slices * self.made() * m * n),
            shared: F32 * tiles * walked * threads * (tm + tn),
            groups: tiles * slices,
            threads,
            ..Work::default()
        })
    }

    fn naive(&self) -> Option<Work> {
        let groups = (self.field("m")? * self.field("n")? / 64.0).ceil() * self.grid()[2];
        let (outputs, depth) = (64.0 * groups, self.depth()?);
        let loaded = outputs * (2.0 * depth * self.element()? + self.made());
        Some(Work { flops: 2.0 * outputs * depth, loaded, groups, threads: 64.0, ..Work::default() })
    }

    /// A product in which a subgroup owns $TM rows and four columns a lane, `tiles` in all, over sums of `depth`.
    fn spread(&self, tiles: f64, depth: f64, written: f64) -> Option<Work> {
        let [rows, lanes] = [self.constant("TM")?, self.constant("L")?];
        Some(Work {
            flops: 2.0 * rows * 4.0 * lanes * tiles * depth,
            bytes: written,
            loaded: F32 * tiles * (rows + 4.0 * lanes) * depth + written,
            groups: tiles,
            threads: lanes,
            ..Work::default()
        })
    }

    fn columns(&self) -> Option<Work> {
        let (columns, batches) = (self.field("columns")?, self.grid()[2]);
        let tiles = self.field("m_tiles")? * (columns / (4.0 * self.constant("L")?)).ceil() * batches;
        let depth = 4.0 * self.field("taps_i")? * self.field("taps_j")? * self.field("k4")?;
        self.spread(tiles, depth, F32 * self.field("m")? * columns * batches)
    }

    fn across(&self) -> Option<Work> {
        let (n4, z) = (self.field("n4")?, self.grid()[2]);
        let tiles = self.field("m_tiles")? * (n4 / self.constant("L")?).ceil() * z;
        let depth = 4.0 * (self.field("k")? / 4.0).ceil();
        self.spread(tiles, depth, F32 * self.field("m")? * 4.0 * n4 * z)
    }

    fn rows(&self) -> Option<Work> {
        let (n4, taps) = (self.field("n4")?, self.grid()[2]);
        let tiles = self.field("m_tiles")? * (n4 / self.constant("L")?).ceil() * taps;
        let depth = 4.0 * self.field("images")? * self.field("rows")? * self.field("q4")?;
        let written = F32 * self.field("m")? * self.field("c")? * self.field("r")? * self.field("s")?;
        self.spread(tiles, depth, written)
    }

    /// Four outputs an invocation: five loads for four products.
    fn quads(&self, depth: f64) -> Option<Work> {
        let groups: f64 = self.grid().iter().product();
        let invocations = 64.0 * groups;
        let loaded = F32 * invocations * (5.0 * depth + 4.0);
        Some(Work { flops: 8.0 * invocations * depth, loaded, groups, threads: 64.0, ..Work::default() })
    }

    fn direct_forward(&self) -> Option<Work> {
        self.quads(self.field("c")? * self.constant("R")? * self.constant("S")?)
    }

    /// Rows of taps that the stride does not meet are passed over; along a row all are taken.
    fn direct_grad_input(&self) -> Option<Work> {
        self.quads(self.field("k")? / self.constant("STRIDE")?)
    }

    /// A workgroup adds up an output.
    fn direct_grad_weight(&self) -> Option<Work> {
        let groups: f64 = self.grid().iter().product();
        let depth = 64.0 * (self.field("k")? / 64.0).ceil();
        let loaded = groups * (2.0 * F32 * depth + F32);
        Some(Work { flops: 2.0 * groups * depth, loaded, groups, threads: 64.0, ..Work::default() })
    }

    /// An invocation for each of `rows` × `columns`, which loads and stores so many bytes and does so many operations.
    fn pass(&self, rows: &str, columns: &str, bytes: f64, flops: f64) -> Option<Work> {
        self.over(self.field(rows)? * self.field(columns)?, bytes, flops)
    }

    fn winograd_weight(&self) -> Option<Work> {
        self.transform(["rows", "columns"], [3.0, self.constant("IN")?], [6.0, 13.0])
    }

    fn winograd_input(&self) -> Option<Work> {
        let side = self.constant("IN")?;
        self.transform(["c", "padded"], [side, side], [4.0, 17.0])
    }

    fn winograd_output(&self) -> Option<Work> {
        self.transform(["k", "windows"], [self.constant("IN")?, self.constant("OUT")?], [4.0, 13.0])
    }

    /// An invocation for each of `rows` × `columns` loads a square of one side and stores one of another. It transforms
    /// each row of the first and each column of the second, in so many operations where windows have two outputs along an
    /// axis, and where they have four.
    fn transform(&self, [rows, columns]: [&str; 2], [from, to]: [f64; 2], [two, four]: [f64; 2]) -> Option<Work> {
        let along = if self.constant("OUT")? == 2.0 { two } else { four };
        self.pass(rows, columns, F32 * (from * from + to * to), along * (from + to))
    }

    fn over(&self, elements: f64, bytes: f64, flops: f64) -> Option<Work> {
        let (flops, loaded, groups) = (flops * elements, bytes * elements, (elements / 64.0).ceil());
        Some(Work { flops, loaded, groups, threads: 64.0, ..Work::default() })
    }

    /// A vec4 of the result an invocation, or four.
    fn pack(&self) -> Option<Work> {
        let groups: f64 = self.grid().iter().product();
        Some(Work { groups, ..self.over(self.field("vectors")?, 32.0, 0.0)? })
    }

    fn sum_slices(&self) -> Option<Work> {
        let slices = self.field("slices")?;
        self.over(self.field("elements")?, F32 * (slices + 1.0), slices)
    }
}

#[cfg(test)]
mod tests;
