//! How batch_norm splits x into chunks and launches over them: the host's side of shaders/batch_norm/params.wgsl.

use super::LANE;
use crate::base::Shape;
use crate::device::{Kernel, Piece, groups_1d};
use crate::params;
use crate::tape::{Emit, Slot, Type};

/// A kernel's pieces with cells of one element, and of four.
pub(super) type ByCell = [&'static [Piece]; 2];

params! {
    struct Params {
        channels: u32, chunks: u32, per: u32, length: u32,
        total: u32, step: u32, walk_stride: u32, channel_stride: u32,
        eps: f32,
    }
}

/// The split of one shape for one variant. Lengths and strides count cells of one element or of four.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    channels: usize,
    chunks: usize,
    /// Walks of a chunk.
    per: usize,
    /// Cells of a walk.
    length: usize,
    /// Cells of a channel.
    total: usize,
    /// From a cell of a walk to the next.
    step: usize,
    walk_stride: usize,
    channel_stride: usize,
    of_four: bool,
}

/// The fewest elements of a chunk that one invocation walks: below, writing and merging partial results would show.
const LANE_CHUNK: usize = 128;
/// As much for a workgroup: 16 elements an invocation.
const GROUP_CHUNK: usize = 4096;

impl Walk {
    /// Splits x [N, C, H, W] or [N, C].
    pub fn new(x: Shape, variant: &str) -> Self {
        let (images, channels) = (x.dim(0), x.dim(1));
        let plane = x.numel() / (images * channels).max(1);
        let chunk = if variant == LANE { LANE_CHUNK } else { GROUP_CHUNK };
        let of_four = plane.is_multiple_of(4);
        let cells = if of_four { plane / 4 } else { plane };
        let total = images * cells;
        if plane == 1 {
            let length = images.min(chunk);
            let (chunks, walk_stride) = (images.div_ceil(length), length * channels);
            let (step, channel_stride) = (channels, 1);
            return Walk { channels, chunks, per: 1, length, total, step, walk_stride, channel_stride, of_four };
        }
        let per = chunk.div_ceil(plane.max(1)).min(images);
        let (chunks, walk_stride) = (images.div_ceil(per), channels * cells);
        let (step, channel_stride) = (1, cells);
        Walk { channels, chunks, per, length: cells, total, step, walk_stride, channel_stride, of_four }
    }

    /// No two elements of a channel are neighbours.
    pub fn is_scattered(&self) -> bool {
        self.step > 1
    }

    /// Two numbers of each (chunk, channel).
    pub fn partials(&self) -> Type {
        Type::f32([self.chunks, self.channels, 2])
    }

    fn params(&self, eps: f32) -> Params {
        Params {
            channels: self.channels as u32,
            chunks: self.chunks as u32,
            per: self.per as u32,
            length: self.length as u32,
            total: self.total as u32,
            step: self.step as u32,
            walk_stride: self.walk_stride as u32,
            channel_stride: self.channel_stride as u32,
            eps,
        }
    }
}

/// Launches kernels over one split of input 0.
pub(super) struct Launcher<'a, 'b> {
    e: &'a mut Emit<'b>,
    walk: Walk,
    params: Params,
}

impl<'a, 'b> Launcher<'a, 'b> {
    pub fn new(e: &'a mut Emit<'b>, eps: f32) -> Self {
        let walk = Walk::new(e.x[0].shape, e.variant);
        Launcher { params: walk.params(eps), walk, e }
    }

    fn launch(&mut self, name: &'static str, pieces: ByCell, buffers: &[Slot], groups: usize) {
        let kernel = Kernel::new(name, self.e.variant, pieces[usize::from(self.walk.of_four)]);
        self.e.launch(kernel, buffers, &self.params, groups_1d(groups));
    }

    /// A kernel of an invocation a channel.
    pub fn channels(&mut self, name: &'static str, pieces: ByCell, buffers: &[Slot]) {
        self.launch(name, pieces, buffers, self.walk.channels.div_ceil(64));
    }

    /// A kernel that reduces each chunk, by an invocation or by a workgroup.
    pub fn chunks(&mut self, name: &'static str, [lane, group]: [ByCell; 2], buffers: &[Slot]) {
        let pairs = self.walk.chunks * self.walk.channels;
        match self.e.variant {
            LANE => self.launch(name, lane, buffers, pairs.div_ceil(64)),
            _ => self.launch(name, group, buffers, pairs),
        }
    }

    /// A kernel that writes every element, an invocation a chunk or a cell.
    pub fn elements(&mut self, name: &'static str, [lane, each]: [ByCell; 2], buffers: &[Slot]) {
        let (pairs, cells) = (self.walk.chunks * self.walk.channels, self.walk.total * self.walk.channels);
        match self.e.variant {
            LANE => self.launch(name, lane, buffers, pairs.div_ceil(64)),
            _ => self.launch(name, each, buffers, cells.div_ceil(256)),
        }
    }
}
