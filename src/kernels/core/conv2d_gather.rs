//! The sizes of a convolution, and its three products over operands that the pieces of shaders/layers/conv2d/ gather: what conv2d
//! and its gradients launch on GPUs. A product with few outputs has its k cut into slices; one of matrices that lie in
//! memory already is strided.rs's.

use crate::base::DType;
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::conv2d_winograd::Winograd;
use crate::kernels::epilogue::Ending;
use crate::kernels::gemm;
use crate::kernels::strided::Strided;
use crate::tape::{Cost, Emit, Slot, Type};
use crate::{params, piece};

/// Every size of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub k: usize,
    pub r: usize,
    pub s: usize,
    pub p: usize,
    pub q: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
    pub groups: usize,
}

params! {
    struct Params {
        m: u32, n: u32, k: u32, k_split: u32,
        c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
    }
}

/// What a direction's kernels have of their own: how a product finds its operands, and the variant that is none.
pub(crate) struct Family {
    gather: &'static [Piece],
    direct: &'static [Piece],
}

pub(crate) const FORWARD: Family =
    Family { gather: &[piece!("layers/conv2d/forward.wgsl")], direct: &[piece!("layers/conv2d/direct_forward.wgsl")] };
pub(crate) const GRAD_INPUT: Family = Family {
    gather: &[piece!("layers/conv2d/grad_input.wgsl")],
    direct: &[piece!("layers/conv2d/direct_grad_input.wgsl")],
};
pub(crate) const GRAD_WEIGHT: Family = Family {
    gather: &[piece!("layers/conv2d/grad_weight.wgsl")],
    direct: &[piece!("common/sum64.wgsl"), piece!("layers/conv2d/direct_grad_weight.wgsl")],
};

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// How numbers lie in memory.
const SINGLE: &[Piece] = &[piece!("core/gemm/operands_f32.wgsl")];
const HALF: &[Piece] = &[piece!("common/enable_f16.wgsl"), piece!("core/gemm/operands_f16.wgsl")];
const PACKED: &[Piece] = &[piece!("common/half.wgsl"), piece!("core/gemm/operands_packed.wgsl")];
/// The walks.
const NAIVE: &[Piece] = &[piece!("core/gemm/naive.wgsl")];
const TILED: &[Piece] = &[piece!("core/gemm/stage.wgsl"), piece!("core/gemm/tiled.wgsl")];

impl Family {
    /// The pieces of a product of such operands.
    fn product(&self, variant: &str, operands: DType) -> Vec<Piece> {
        let numbers = match (variant, operands) {
            ("tiled_f16", _) => HALF,
            (_, DType::F16) => PACKED,
            _ => SINGLE,
        };
        let walk = if variant == "naive" { NAIVE } else { TILED };
        [numbers, INDEX, self.gather, walk].concat()
    }
}

impl Sizes {
    /// The shader's parameters for an m × n product over k in slices of `k_split`.
    fn params(&self, (m, n, k): (usize, usize, usize), k_split: usize) -> Params {
        let v = |x: usize| x as u32;
        Params {
            m: v(m),
            n: v(n),
            k: v(k),
            k_split: v(k_split),
            c: v(self.c / self.groups),
            h: v(self.h),
            w: v(self.w),
            p: v(self.p),
            q: v(self.q),
            padding: v(self.padding),
            dilation: v(self.dilation),
            groups: v(self.groups),
        }
    }

    /// The numbers that stand in the text of a kernel.
    fn constants(&self, kernel: Kernel) -> Kernel {
        kernel.with("R", self.r as u32).with("S", self.s as u32).with("STRIDE", self.stride as u32)
    }

    /// (M, N, K) of a group's product.
    pub fn forward(&self) -> (usize, usize, usize) {
        (self.k / self.groups, self.n * self.p * self.q, self.c / self.groups * self.r * self.s)
    }

    pub fn grad_input(&self) -> (usize, usize, usize) {
        (self.c / self.groups, self.n * self.h * self.w, self.k / self.groups * self.r * self.s)
    }

    pub fn grad_weight(&self) -> (usize, usize, usize) {
        (self.k / self.groups, self.c / self.groups * self.r * self.s, self.n * self.p * self.q)
    }

    /// Variants of an m × n product per group. With few channels in a group a tile of a product would be mostly empty
    /// and `direct` comes first. The packed operands of `broadcast` know one group and neighbouring taps. Winograd's come
    /// behind what is sure to be fast; a race decides.
    pub fn variants(
        &self,
        (m, n, _): (usize, usize, usize),
        operands: DType,
        (product, winograd): (Option<Strided>, Option<Winograd>),
        caps: &Caps,
    ) -> Vec<&'static str> {
        if operands == DType::F16 {
            return gemm::half_variants(caps);
        }
        let mut v = gemm::variants(m, n, caps);
        if self.groups > 1 || self.dilation > 1 {
            v.retain(|name| *name != "broadcast");
        }
        let plain = v.len() - 1;
        v.splice(plain..plain, winograd.map_or(Vec::new(), |w| w.variants(caps)));
        let narrow = self.groups > 1 && (caps.software || self.c.min(self.k) / self.groups < 8);
        v.insert(if narrow { 0 } else { v.len() - 1 }, "direct");
        product.map_or_else(|| v.clone(), |p| p.with_aligned(v.clone()))
    }

    /// Into how many slices a variant cuts the k of an m × n × k product a group.
    pub fn slices(&self, variant: &str, (m, n, k): (usize, usize, usize)) -> usize {
        gemm::side(variant, m, n).map_or(1, |side| gemm::slices(side, m, self.groups * n, k))
    }

    /// Room for the slices.
    pub fn slices_workspace(&self, variant: &str, mnk: (usize, usize, usize)) -> Vec<Type> {
        let slices = self.slices(variant, mnk);
        if slices > 1 { vec![Type::f32([slices, self.groups * mnk.0, mnk.1])] } else { Vec::new() }
    }

    /// The forward pass as a product of matrices that lie in memory already, the weight with each image, where it is one
    /// and its planes fill tiles: 1×1, stride 1, no border.
    pub fn product(&self) -> Option<Strided> {
        let (plane, Sizes { n: z, k: m, c: k, .. }) = (self.h * self.w, *self);
        let filled = 4 * plane >= 3 * plane.next_multiple_of(64);
        let is = (self.r, self.s, self.stride, self.padding, self.groups) == (1, 1, 1, 0, 1);
        (is && filled && plane.is_multiple_of(4)).then_some(Strided {
            z,
            m,
            n: plane,
            k,
            a: [0, k, 1],
            b: [k * plane, plane, 1],
        })
    }

    /// The gradient to the input likewise.
    pub fn grad_product(&self) -> Option<Strided> {
        let turned = Sizes { k: self.c, c: self.k, ..*self };
        turned.product().map(|p| Strided { a: [0, 1, self.c], ..p })
    }

    /// All three directions do the same arithmetic.
    pub fn cost(&self, types: &[Type]) -> Cost {
        let (m, n, k) = self.forward();
        Cost { flops: 2 * (self.groups * m * n * k) as u64, bytes: types.iter().map(Type::bytes).sum() }
    }
}

/// A product over operands that the family's pieces gather.
pub(crate) struct Gathered<'a> {
    pub sizes: &'a Sizes,
    pub family: &'a Family,
    /// Names of the product and of the sum of its slices.
    pub names: [&'static str; 2],
    /// Of a group.
    pub mnk: (usize, usize, usize),
    /// Workgroups of the direct variant.
    pub direct: usize,
    /// Elements of an output's plane.
    pub plane: usize,
}

impl Gathered<'_> {
    /// Emits a naive, tiled or direct variant; `ending` is of a forward pass, whose rows are its output channels.
    pub fn emit(&self, e: &mut Emit<'_>, buffers: [Slot; 3], ending: &Ending) {
        let (sizes, mnk, name) = (self.sizes, self.mnk, self.names[0]);
        let ((m, n, k), slices) = (mnk, sizes.slices(e.variant, mnk));
        let z = (sizes.groups * slices) as u32;
        let product = self.family.product(e.variant, e.x[0].dtype);
        let (kernel, grid) = match e.variant {
            "naive" => {
                let [x, y, _] = groups_1d((m * n).div_ceil(64));
                (Kernel::new(name, "naive", &product), [x, y, z])
            }
            "direct" => (Kernel::new(name, "direct", INDEX).followed_by(self.family.direct), groups_1d(self.direct)),
            tiled => {
                let (kernel, [x, y]) = gemm::tiled(name, tiled, &product, (m, n), false);
                (kernel, [x, y, z])
            }
        };
        let [a, b, c] = buffers;
        let (made, first) = if slices > 1 { (Slot::Work(0), &Ending::NONE) } else { (c, ending) };
        let (kernel, buffers) = first.of(sizes.constants(kernel), &[a, b, made], false);
        e.launch(kernel, &buffers, &sizes.params(mnk, k.div_ceil(slices)), grid);
        if slices > 1 {
            let (elements, ending) = (sizes.groups * m * n, ending.repeated(sizes.k));
            gemm::end_slices(e, self.names[1], [made, c], (elements, self.plane), slices, &ending);
        }
    }
}
