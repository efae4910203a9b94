//! The walk that batch_norm and group_norm share: how x is split into chunks, and the launches over them. It is the
//! host's side of shaders/layers/batch_norm/params.wgsl, whole.wgsl and split.wgsl.

use crate::base::DType;
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::held::{self, Cells};
use crate::kernels::lanes::{self, SUBGROUPS};
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// Cells of one element, and of four.
const CELL_F32: &[Piece] = &[piece!("layers/batch_norm/cell_f32.wgsl")];
const CELL_VEC4: &[Piece] = &[piece!("layers/batch_norm/cell_vec4.wgsl")];
const PARAMS: &[Piece] = &[piece!("layers/batch_norm/params.wgsl")];
/// Channels that are walked whole, and split into sub-batches.
const WHOLE: &[Piece] = &[piece!("layers/batch_norm/whole.wgsl")];
const SPLIT: &[Piece] = &[piece!("layers/batch_norm/split.wgsl")];

/// The walks that find mean and variance of a chunk, what they keep where a channel is several chunks or one, and what merges
/// the parts.
const STATISTICS_LANE: &[Piece] =
    &[piece!("layers/batch_norm/moments.wgsl"), piece!("layers/batch_norm/statistics_lane.wgsl")];
const STATISTICS_GROUP: &[Piece] = &[
    piece!("layers/batch_norm/span.wgsl"),
    piece!("layers/batch_norm/moments.wgsl"),
    piece!("layers/batch_norm/statistics_group.wgsl"),
];
/// What merges the moments of a workgroup's invocations.
const MOMENTS_TREE: &[Piece] = &[piece!("common/lane.wgsl"), piece!("layers/batch_norm/moments_tree.wgsl")];
const MOMENTS_SUBGROUPS: &[Piece] =
    &[piece!("common/lane_subgroups.wgsl"), piece!("layers/batch_norm/moments_subgroups.wgsl")];
const KEEP_PART: &[Piece] = &[piece!("layers/batch_norm/keep_part.wgsl")];
const KEEP_WHOLE: &[Piece] = &[piece!("layers/batch_norm/keep_whole.wgsl")];
const FINISH: &[Piece] = &[piece!("layers/batch_norm/moments.wgsl"), piece!("layers/batch_norm/finish.wgsl")];

/// An invocation walks a whole chunk of a channel: few invocations with long serial walks.
pub(crate) const LANE: &str = "lane_per_chunk";
/// The invocations of a workgroup walk a chunk of a channel side by side. Kernels that write every element run one
/// invocation for a few cells.
pub(crate) const GROUP: &str = "workgroup_per_chunk";

params! {
    pub(crate) struct Params {
        channels: u32, chunks: u32, per: u32, length: u32,
        total: u32, step: u32, walk_stride: u32, channel_stride: u32,
        walks: u32, real: u32, share: u32, split_stride: u32,
        eps: f32, width: u32, depth: u32, depths: u32,
    }
}

/// x as the walk sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Its elements, and those of all tensors of its shape.
    pub dtype: DType,
    /// Images.
    pub images: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Elements of a channel of an image.
    pub plane: usize,
    /// Sub-batches of as many images each; a channel of one is a channel of its own.
    pub splits: usize,
    /// Each image has a weight of its own.
    pub weighted: bool,
}

/// The split of one layout for one variant. Lengths and strides count cells of one element or of four.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    params: Params,
    dtype: DType,
    of_four: bool,
    split: bool,
}

/// The fewest elements of a chunk that one invocation walks. With fewer, the time to write and merge partial results
/// would show.
const LANE_CHUNK: usize = 128;
/// As much for a workgroup: 16 elements an invocation.
const GROUP_CHUNK: usize = 4096;
/// How many cells, a width apart, an invocation writes where each invocation has cells of one channel.
const DEEP: usize = 4;
/// Images are taken together as one width up to about as many cells, so that few lanes of the last workgroup are idle.
const WIDTH: usize = 2048;

impl Walk {
    /// Splits a layout.
    pub fn new(x: Layout, variant: &str, eps: f32) -> Self {
        let images = x.images / x.splits;
        let chunk = if variant == LANE { LANE_CHUNK } else { GROUP_CHUNK };
        let of_four = x.plane.is_multiple_of(4);
        let cells = if of_four { x.plane / 4 } else { x.plane };
        // Where no two elements of a channel are neighbours a walk is a run of images, unless each has its own weight.
        let run = if x.plane == 1 && !x.weighted { images.min(chunk) } else { 1 };
        let walks = images.div_ceil(run);
        let per = if run > 1 { 1 } else { chunk.div_ceil(x.plane.max(1)).min(images) };
        let count = |v: usize| v as u32;
        let row = x.channels * cells;
        let together = (WIDTH / row.max(1)).clamp(1, images.div_ceil(DEEP).max(1));
        let depth = images.div_ceil(together * DEEP);
        let params = Params {
            channels: count(x.channels * x.splits),
            chunks: count(walks.div_ceil(per)),
            per: count(per),
            length: count(run * cells),
            total: count(images * cells),
            step: count(if x.plane == 1 { x.channels } else { 1 }),
            walk_stride: count(run * x.channels * cells),
            channel_stride: count(cells),
            walks: count(walks),
            real: count(x.channels),
            share: 1,
            split_stride: count(images * x.channels * cells),
            eps,
            width: count(together * row),
            depth: count(depth),
            depths: count(depth * x.splits),
        };
        Walk { params, dtype: x.dtype, of_four, split: x.splits > 1 }
    }

    /// The same where `share` channels in a row have their statistics in common.
    pub fn sharing(mut self, share: usize) -> Self {
        (self.params.share, self.split) = (share as u32, true);
        self
    }

    /// No two elements of a channel are neighbours.
    pub fn is_scattered(&self) -> bool {
        self.params.step > 1
    }

    /// What statistics keep of each chunk while they are found: nothing where a channel is one chunk.
    pub fn statistics_work(&self) -> Vec<Type> {
        if self.params.chunks > 1 { vec![self.partials()] } else { Vec::new() }
    }

    /// Two numbers of each (chunk, channel).
    pub fn partials(&self) -> Type {
        Type::f32([self.params.chunks as usize, self.params.channels as usize, 2])
    }
}

/// `buffers` and, behind them, the weights of the samples where there are some.
pub(crate) fn with_weights(buffers: &[Slot], weights: Option<Slot>) -> Vec<Slot> {
    buffers.iter().copied().chain(weights).collect()
}

/// Launches kernels over one walk.
pub(crate) struct Launcher<'a, 'b> {
    e: &'a mut Emit<'b>,
    walk: Walk,
    /// The binding that `$OTHER` stands for in the kernels that are launched next.
    pub other: usize,
    /// The binding of what the kernels that are launched next make, a cell at a time, if they do.
    pub made: Option<u32>,
}

impl<'a, 'b> Launcher<'a, 'b> {
    /// Over `walk`, whose variant is that of `e`.
    pub fn new(e: &'a mut Emit<'b>, walk: Walk) -> Self {
        Launcher { walk, e, other: 0, made: None }
    }

    /// What a kernel begins with; `variant` is its own.
    fn begin(&self, name: &'static str, variant: &'static str) -> Kernel {
        let cells = if self.walk.of_four { Cells::Fours } else { Cells::Each };
        Kernel::new(name, variant, INDEX)
            .followed_by(if self.walk.of_four { CELL_VEC4 } else { CELL_F32 })
            .followed_by(held::read(cells, self.walk.dtype))
            .followed_by(PARAMS)
            .followed_by(if self.walk.split { SPLIT } else { WHOLE })
    }

    /// The same of a kernel that adds nothing over the lanes of a workgroup.
    fn apart(&self, name: &'static str, own: &[Piece]) -> Kernel {
        self.begin(name, lanes::or_twin(self.e.variant, GROUP)).followed_by(own)
    }

    /// Launches a kernel. Sample weights, where it has them, are its last buffer.
    fn launch(&mut self, kernel: Kernel, buffers: &[Slot], grid: [u32; 3]) {
        let cells = if self.walk.of_four { Cells::Fours } else { Cells::Each };
        let kernel = kernel.with("LAST", buffers.len() as u32).with("OTHER", self.other as u32);
        let kernel = match self.made {
            Some(at) => held::made(kernel, cells, self.walk.dtype, at),
            None => kernel,
        };
        self.e.launch(kernel, buffers, &self.walk.params, grid);
    }

    /// A kernel of an invocation for each of `count` channels or groups of them.
    pub fn each(&mut self, name: &'static str, own: &[Piece], buffers: &[Slot], count: usize) {
        self.launch(self.apart(name, own), buffers, groups_1d(count.div_ceil(64)));
    }

    /// A kernel of an invocation a channel, of each sub-batch.
    pub fn channels(&mut self, name: &'static str, own: &[Piece], buffers: &[Slot]) {
        self.each(name, own, buffers, self.walk.params.channels as usize);
    }

    /// Chunks of all channels.
    fn pairs(&self) -> usize {
        self.walk.params.chunks as usize * self.walk.params.channels as usize
    }

    /// A kernel that reduces each chunk, by an invocation or by a workgroup; `adding` gives that of a workgroup what puts its
    /// lanes together.
    fn chunks(
        &mut self,
        name: &'static str,
        [lane, group]: [&[Piece]; 2],
        adding: impl Fn(Kernel) -> Kernel,
        buffers: &[Slot],
    ) {
        let kernel = self.begin(name, self.e.variant);
        match self.e.variant {
            LANE => self.launch(kernel.followed_by(lane), buffers, groups_1d(self.pairs().div_ceil(64))),
            _ => {
                let kernel = adding(kernel.followed_by(group)).with("LENGTH", self.walk.params.length.max(1));
                self.launch(kernel, buffers, groups_1d(self.pairs()));
            }
        }
    }

    /// A kernel that sums each chunk, by an invocation or by a workgroup.
    pub fn sums(&mut self, name: &'static str, own: [&[Piece]; 2], buffers: &[Slot]) {
        self.chunks(name, own, lanes::sum256, buffers);
    }

    /// Mean and variance of every channel of x: one launch where a channel is one chunk, else two, the parts between them in
    /// [`Walk::statistics_work`]. `counting` are the pieces that say how much a sample counts.
    pub fn statistics(
        &mut self,
        [statistics, finish]: [&'static str; 2],
        counting: &[Piece],
        x: Slot,
        weights: Option<Slot>,
        [mean, variance]: [Slot; 2],
    ) {
        let (whole, partial) = (self.walk.params.chunks <= 1, Slot::Work(0));
        let keep = if whole { KEEP_WHOLE } else { KEEP_PART };
        let merged = if self.e.variant == SUBGROUPS { MOMENTS_SUBGROUPS } else { MOMENTS_TREE };
        let own = [[counting, STATISTICS_LANE, keep].concat(), [counting, STATISTICS_GROUP].concat()];
        let adding = |kernel: Kernel| kernel.followed_by(merged).followed_by(keep);
        let made = if whole { vec![x, mean, variance] } else { vec![x, partial] };
        self.chunks(statistics, [&own[0], &own[1]], adding, &with_weights(&made, weights));
        if whole {
            return;
        }
        let merging = [counting, FINISH].concat();
        self.channels(finish, &merging, &with_weights(&[x, partial, mean, variance], weights));
    }

    /// A kernel that writes every element at the binding `made`, an invocation a chunk or a few cells of one channel.
    pub fn elements(&mut self, name: &'static str, [lane, each]: [&[Piece]; 2], buffers: &[Slot], made: u32) {
        let p = self.walk.params;
        self.made = Some(made);
        if self.e.variant == LANE {
            return self.launch(self.apart(name, lane), buffers, groups_1d(self.pairs().div_ceil(64)));
        }
        let [y, z, _] = groups_1d(p.depths as usize);
        self.launch(self.apart(name, each), buffers, [p.width.div_ceil(256), y, z]);
    }
}
