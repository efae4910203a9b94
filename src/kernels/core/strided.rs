//! Products of batches of matrices that lie at strides, for GPUs: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n], c as it is
//! written. What matmul, 1×1 convolutions (a is the weight for every z) and Winograd's products launch. Operands are staged
//! in whole vec4 where they can be, one by one else; `tiled_128_vec4` has no guards and needs whole tiles. The core, and
//! what share of the roof is expected of it: gemm.rs. Shaders: shaders/layers/matmul/, shaders/core/gemm/.

use crate::base::DType;
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::epilogue::Ending;
use crate::kernels::gemm::{self, Staging};
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    struct Params {
        m: u32, n: u32, k: u32, k_split: u32,
        a_m: u32, a_k: u32, b_k: u32, b_n: u32,
        a_z: u32, b_z: u32, batches: u32,
    }
}

const NAIVE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("core/gemm/operands_f32.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/each.wgsl"),
    piece!("core/gemm/naive.wgsl"),
];
const TILED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("core/gemm/operands_f32.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/each.wgsl"),
    piece!("core/gemm/stage.wgsl"),
    piece!("core/gemm/tiled.wgsl"),
];
const FOURS: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("layers/matmul/fours_f32.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/stage_fours.wgsl"),
    piece!("core/gemm/tiled.wgsl"),
];
const ALIGNED: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("layers/matmul/fours_f32.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/put_fours.wgsl"),
    piece!("layers/matmul/blocks.wgsl"),
    piece!("core/gemm/aligned.wgsl"),
];
/// The variant that needs whole tiles.
const VEC4: &str = "tiled_128_vec4";

/// Sizes and strides of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strided {
    pub z: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Elements of a from one z, m and k to the next.
    pub a: [usize; 3],
    /// Elements of b from one z, k and n to the next.
    pub b: [usize; 3],
}

impl Strided {
    /// Whether both operands can be read in whole vec4 along memory.
    pub fn fours(&self) -> bool {
        let ([a_z, a_m, a_k], [b_z, b_k, b_n]) = (self.a, self.b);
        // Length along memory and the stride across.
        let a = if a_k == 1 { [self.k, a_m, a_z] } else { [self.m, a_k, a_z] };
        let b = if b_k == 1 { [self.k, b_n, b_z] } else { [self.n, b_k, b_z] };
        a.into_iter().chain(b).all(|v| v.is_multiple_of(4))
    }

    /// Whole tiles of 128 × 128 × 16.
    fn is_aligned(&self) -> bool {
        let whole = [(self.m, 128), (self.n, 128), (self.k, 16)].into_iter().all(|(size, of)| size.is_multiple_of(of));
        whole && self.fours()
    }

    /// Puts the variant without guards before the one with them, where tiles are whole.
    pub fn with_aligned(&self, mut variants: Vec<&'static str>) -> Vec<&'static str> {
        if let Some(guarded) = variants.iter().position(|v| *v == "tiled_128").filter(|_| self.is_aligned()) {
            variants.insert(guarded, VEC4);
        }
        variants
    }

    /// Into how many slices k is cut, and their length: whole vec4, or whole tiles where the kernel has no guards.
    pub fn slices(&self, variant: &str) -> (usize, usize) {
        let side = gemm::side(variant, self.m, self.n);
        let wanted = side.map_or(1, |side| gemm::slices(side, self.m, self.z * self.n, self.k));
        let length = self.k.div_ceil(wanted).next_multiple_of(if variant == VEC4 { 16 } else { 4 });
        (self.k.div_ceil(length), length)
    }

    /// Room for the slices.
    pub fn workspace(&self, variant: &str) -> Vec<Type> {
        let slices = self.slices(variant).0;
        if slices > 1 { vec![Type::f32([slices, self.z, self.m, self.n])] } else { Vec::new() }
    }

    /// The elements of what the product launches make where the result is of `dtype`: slices are f32.
    pub fn made(&self, variant: &str, dtype: DType) -> DType {
        if self.slices(variant).0 > 1 { DType::F32 } else { dtype }
    }

    /// The kernel of a variant for f32 operands, and its grid over the outputs.
    pub fn kernel(&self, name: &'static str, variant: &'static str, caps: &Caps) -> (Kernel, [u32; 2]) {
        let (m, n) = (self.m, self.n);
        let (kernel, grid) = match (variant, self.fours()) {
            ("naive", _) => {
                let [x, y, _] = groups_1d((m * n).div_ceil(64));
                (Kernel::new(name, "naive", NAIVE), [x, y])
            }
            (VEC4, _) => return self.in_fours(name, VEC4, ALIGNED, caps),
            (tiled, true) => self.in_fours(name, tiled, FOURS, caps),
            (tiled, false) => gemm::tiled(name, tiled, TILED, (m, n), (Staging::Each, DType::F32), caps),
        };
        (gemm::resulting(kernel, DType::F32), grid)
    }

    /// A kernel that reads whole vec4. Its text says which operand lies along k: a branch would come between the loads.
    pub fn in_fours(
        &self,
        name: &'static str,
        variant: &'static str,
        pieces: &[Piece],
        caps: &Caps,
    ) -> (Kernel, [u32; 2]) {
        let (kernel, grid) = gemm::tiled(name, variant, pieces, (self.m, self.n), (Staging::Fours, DType::F32), caps);
        let [a, b] = [self.a[2], self.b[1]].map(|stride| u32::from(stride == 1));
        (kernel.with("ATURNS", a).with("BTURNS", b), grid)
    }

    /// Launches `kernel` over the operands and c, in slices where `variant` cuts k, which end where they are added up.
    pub fn launch(
        &self,
        e: &mut Emit<'_>,
        (kernel, [x, y]): (Kernel, [u32; 2]),
        sum: &'static str,
        [a, b, c]: [Slot; 3],
        ending: &Ending,
    ) {
        let (slices, k_split) = self.slices(kernel.variant);
        let Strided { z, m, n, .. } = *self;
        let (made, first) = if slices > 1 { (Slot::Work(0), &Ending::NONE) } else { (c, ending) };
        let whole = kernel.variant == VEC4;
        let (kernel, buffers) = first.of(kernel, &[a, b, made], whole);
        e.launch(kernel, &buffers, &self.params(k_split), [x, y, (z * slices) as u32]);
        if slices > 1 {
            gemm::end_slices(e, sum, [made, c], (z * m * n, n), slices, ending);
        }
    }

    /// Launches `kernel` with k in one piece and nothing at its end.
    pub fn launch_whole(&self, e: &mut Emit<'_>, (kernel, [x, y]): (Kernel, [u32; 2]), (a, b, c): (Slot, Slot, Slot)) {
        let (kernel, buffers) = Ending::NONE.of(kernel, &[a, b, c], false);
        e.launch(kernel, &buffers, &self.params(self.k.next_multiple_of(4)), [x, y, self.z as u32]);
    }

    fn params(&self, k_split: usize) -> Params {
        let v = |x: usize| x as u32;
        let ([a_z, a_m, a_k], [b_z, b_k, b_n]) = (self.a.map(v), self.b.map(v));
        let [m, n, k, k_split, batches] = [self.m, self.n, self.k, k_split, self.z].map(v);
        Params { m, n, k, k_split, a_m, a_k, b_k, b_n, a_z, b_z, batches }
    }
}
