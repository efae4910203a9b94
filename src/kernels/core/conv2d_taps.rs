//! The tiled variant of a convolution whose steps through k have one tap of the window each, and the weight packed for it.
//!
//! Elsewhere k counts (channel, r, s), so that each number of a tile has a tap of its own, found by divisions, and a border to
//! compare with. Here it counts (block of channels, r, s, channel of the block), a block being a step of the walk: the tap is the
//! same for a workgroup, and the border is met once for a column. It needs whole blocks of channels, and costs a launch, which packs
//! the weight.

use crate::base::DType;
use crate::kernels::conv2d_pass::{Direction, Pass, Sizes};
use crate::kernels::gemm;
use crate::tape::{Emit, Slot, Type};

/// Its name.
pub(crate) const VARIANT: &str = gemm::TAPS;

/// The channels of a step.
const BLOCK: usize = gemm::STEP as usize;

/// A weight in panels of four rows: [rows / 4, blocks, taps, channels of a block] vec4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    /// Output channels forward, input channels of the gradient to the input, and how far apart they lie in the weight.
    rows: usize,
    of_row: usize,
    /// The channels that are summed over, and how far apart they lie.
    channels: usize,
    of_channel: usize,
    /// Taps of the window.
    window: usize,
}

impl Taps {
    /// The weight of a pass, where steps of one tap are offered: a window of several taps, one group, and whole blocks.
    pub fn of(pass: &Pass) -> Option<Taps> {
        let Sizes { c, k, r, s, groups, .. } = pass.sizes;
        let window = r * s;
        let [of_k, of_c] = [(k, c * window), (c, window)];
        let [(rows, of_row), (channels, of_channel)] = match pass.direction {
            Direction::Forward => [of_k, of_c],
            Direction::GradInput => [of_c, of_k],
            Direction::GradWeight => return None,
        };
        let fits = window > 1 && groups == 1 && channels.is_multiple_of(BLOCK) && pass.operands == DType::F32;
        fits.then_some(Taps { rows, of_row, channels, of_channel, window })
    }

    /// The packed weight.
    pub fn packed(&self) -> Type {
        Type::f32([self.rows.div_ceil(4), self.channels / BLOCK, self.window, BLOCK, 4])
    }

    /// The length of a slice of k, whole steps, near `k_split`.
    pub fn slice(k_split: usize) -> usize {
        k_split.next_multiple_of(BLOCK)
    }

    /// Launches what packs `weight`.
    pub fn pack(&self, e: &mut Emit<'_>, weight: Slot, packed: Slot) {
        let v = |x: usize| x as u32;
        let (blocks, window) = (v(self.channels / BLOCK), v(self.window));
        let pack = gemm::Pack {
            outer: blocks,
            u: window,
            v: v(BLOCK),
            inner4: 1,
            u_len: window,
            v_len: v(BLOCK),
            e_len: v(self.rows),
            x_o: v(BLOCK * self.of_channel),
            x_u: 1,
            x_v: v(self.of_channel),
            x_e: v(self.of_row),
            ..Default::default()
        };
        gemm::pack(e, "conv2d.pack_weight", weight, packed, pack);
    }
}
