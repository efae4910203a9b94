//! A convolution's products over operands that the pieces of shaders/layers/conv2d/ gather where they lie: what conv2d and
//! its gradients launch on GPUs. A product with few outputs has its k cut into slices.

use crate::base::DType;
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::conv2d_pass::{Direction, Pass, Sizes};
use crate::kernels::conv2d_taps::{self as taps, Taps};
use crate::kernels::epilogue::Ending;
use crate::kernels::gemm::{self, Staging};
use crate::kernels::lanes;
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    struct Params {
        m: u32, n: u32, k: u32, k_split: u32,
        c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
    }
}

/// What a direction's kernels have of their own: how a product finds its operands and fills its tiles, and the variant
/// that is no product.
struct Family {
    gather: &'static [Piece],
    /// What it has besides where a step has one tap.
    taps: &'static [Piece],
    staging: Staging,
    direct: &'static [Piece],
}

const FORWARD: Family = Family {
    gather: &[piece!("layers/conv2d/forward.wgsl")],
    taps: &[piece!("layers/conv2d/forward_taps.wgsl")],
    staging: Staging::Each,
    direct: &[piece!("layers/conv2d/direct_forward.wgsl")],
};
const GRAD_INPUT: Family = Family {
    gather: &[piece!("layers/conv2d/grad_input.wgsl")],
    taps: &[piece!("layers/conv2d/grad_input_taps.wgsl")],
    staging: Staging::Each,
    direct: &[piece!("layers/conv2d/direct_grad_input.wgsl")],
};
const GRAD_WEIGHT: Family = Family {
    gather: &[piece!("layers/conv2d/grad_weight.wgsl")],
    taps: &[],
    staging: Staging::AlongK,
    direct: &[piece!("layers/conv2d/direct_grad_weight.wgsl")],
};

/// Where the gradient to the input puts a number.
const DX_F32: &[Piece] = &[piece!("layers/conv2d/dx_f32.wgsl")];
const DX_F16: &[Piece] = &[piece!("layers/conv2d/dx_f16.wgsl")];

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// How numbers lie in memory.
const SINGLE: &[Piece] = &[piece!("core/gemm/operands_f32.wgsl")];
const FOURS: &[Piece] = &[piece!("core/gemm/operands_fours.wgsl")];
const HALF: &[Piece] = &[piece!("common/enable_f16.wgsl"), piece!("core/gemm/operands_f16.wgsl")];
const PACKED: &[Piece] = &[piece!("common/half.wgsl"), piece!("core/gemm/operands_packed.wgsl")];
/// The walks.
const NAIVE: &[Piece] = &[piece!("core/gemm/naive.wgsl")];
const TILED: &[Piece] = &[piece!("core/gemm/stage.wgsl"), piece!("core/gemm/tiled.wgsl")];
const TILED_TAPS: &[Piece] = &[piece!("core/gemm/stage_taps.wgsl"), piece!("core/gemm/tiled.wgsl")];
const TILED_ALONG_K: &[Piece] = &[piece!("core/gemm/stage_along_k.wgsl"), piece!("core/gemm/tiled.wgsl")];

impl Family {
    /// The pieces of a product of such operands.
    fn product(&self, variant: &str, operands: DType) -> Vec<Piece> {
        if variant == taps::VARIANT {
            return [FOURS, INDEX, self.gather, self.taps, TILED_TAPS].concat();
        }
        let numbers = match (variant, operands) {
            ("tiled_f16", _) => HALF,
            (_, DType::F16) => PACKED,
            _ => SINGLE,
        };
        let walk = match (variant, self.staging) {
            ("naive", _) => NAIVE,
            (_, Staging::AlongK) => TILED_ALONG_K,
            _ => TILED,
        };
        [numbers, INDEX, self.gather, walk].concat()
    }
}

/// A pass as a product over operands that the pieces of its direction gather.
pub(crate) struct Gathered<'a> {
    pass: &'a Pass,
    family: &'static Family,
    /// Of one of the products: of a group, and of a phase of the gradient to the input (its shader says what that is).
    mnk: (usize, usize, usize),
    products: usize,
    /// Workgroups of the direct variant.
    direct: usize,
    /// Elements of the result, and of a plane of it.
    elements: usize,
    plane: usize,
}

/// How the phases of a stride lie over taps: every which tap a phase meets, the greatest common divisor of stride and
/// dilation, and the inverse of what that leaves of the dilation modulo the first.
fn phases(stride: usize, dilation: usize) -> [usize; 3] {
    let divides = |g: &usize| stride.is_multiple_of(*g) && dilation.is_multiple_of(*g);
    let shared = (1..=stride).rev().find(divides).unwrap_or(1);
    let step = stride / shared;
    let inverse = (0..step).find(|i| i * (dilation / shared) % step == 1 % step).unwrap_or(0);
    [step, shared, inverse]
}

impl<'a> Gathered<'a> {
    pub fn new(pass: &'a Pass) -> Self {
        let Sizes { n, c, h, w, k, r, s, p, q, stride, dilation, groups, .. } = pass.sizes;
        // An invocation of the direct variants owns four neighbours of a row, or is one of 64 that add up an output.
        let of_rows = |rows: usize, width: usize| (rows * width.div_ceil(4)).div_ceil(64);
        let (m, columns, _) = pass.mnk();
        let elements = groups * m * columns;
        let (family, direct, plane) = match pass.direction {
            Direction::Forward => (&FORWARD, of_rows(n * k * p, q), p * q),
            Direction::GradInput => (&GRAD_INPUT, of_rows(n * c * h, w), h * w),
            Direction::GradWeight => (&GRAD_WEIGHT, elements, columns),
        };
        let (mnk, products) = match pass.direction {
            Direction::GradInput => {
                let [step, ..] = phases(stride, dilation);
                let columns = n * h.div_ceil(stride) * w.div_ceil(stride);
                ((m, columns, k / groups * r.div_ceil(step) * s.div_ceil(step)), groups * stride * stride)
            }
            Direction::Forward | Direction::GradWeight => (pass.mnk(), groups),
        };
        Gathered { pass, family, mnk, products, direct, elements, plane }
    }

    /// Into how many slices a variant cuts the k of a product, and how long they are.
    fn slices(&self, variant: &str) -> (usize, usize) {
        let (m, n, k) = self.mnk;
        let slices = gemm::side(variant, m, n).map_or(1, |side| gemm::slices(side, m, self.products * n, k));
        let k_split = k.div_ceil(slices);
        if variant != taps::VARIANT {
            return (slices, k_split);
        }
        let k_split = Taps::slice(k_split);
        (k.div_ceil(k_split), k_split)
    }

    /// The weight packed for a variant.
    fn taps(&self, variant: &str) -> Option<Taps> {
        Taps::of(self.pass).filter(|_| variant == taps::VARIANT)
    }

    /// Room for the slices, and for a packed weight.
    pub fn workspace(&self, variant: &str) -> Vec<Type> {
        let (slices, _) = self.slices(variant);
        let partial = (slices > 1).then(|| Type::f32([slices, self.elements]));
        partial.into_iter().chain(self.taps(variant).map(|taps| taps.packed())).collect()
    }

    /// Emits the naive or a tiled variant; `ending` is of a forward pass, whose rows are its output channels.
    pub fn emit(&self, e: &mut Emit<'_>, ending: &Ending) {
        let ([name, sum], [a, b, c]) = (self.pass.direction.names(), self.pass.direction.slots());
        let ((m, n, _), (slices, k_split)) = (self.mnk, self.slices(e.variant));
        let a = match self.taps(e.variant) {
            Some(taps) => {
                let packed = Slot::Work(usize::from(slices > 1));
                taps.pack(e, a, packed);
                packed
            }
            None => a,
        };
        let pieces = self.family.product(e.variant, self.pass.operands);
        let (slot, first) = if slices > 1 { (Slot::Work(0), &Ending::NONE) } else { (c, ending) };
        let made = gemm::made_of(e, slot);
        let (kernel, [x, y]) = if e.variant == "naive" {
            let [x, y, _] = groups_1d((m * n).div_ceil(64));
            (Kernel::new(name, "naive", &pieces), [x, y])
        } else {
            gemm::tiled(name, e.variant, &pieces, (m, n), (self.family.staging, made), e.caps)
        };
        let kernel = match self.pass.direction {
            Direction::GradInput => {
                let [step, shared, inverse] = phases(self.pass.sizes.stride, self.pass.sizes.dilation);
                kernel.with("STEP", step as u32).with("SHARED", shared as u32).with("INVERSE", inverse as u32)
            }
            Direction::Forward | Direction::GradWeight => kernel,
        };
        let kernel = match (self.pass.direction, made) {
            (Direction::GradInput, DType::F16) => gemm::resulting(kernel, DType::F16).followed_by(DX_F16),
            (Direction::GradInput, dtype) => gemm::by_fours(kernel.followed_by(DX_F32), dtype),
            (_, dtype) => gemm::resulting(kernel, dtype),
        };
        let grid = [x, y, (self.products * slices) as u32];
        self.launch(e, kernel, [a, b, slot], first, self.mnk, (k_split, grid));
        if slices > 1 {
            let ending = ending.repeated(self.pass.sizes.k);
            gemm::end_slices(e, sum, [slot, c], (self.elements, self.plane), slices, &ending);
        }
    }

    /// Emits the direct variant.
    pub fn emit_direct(&self, e: &mut Emit<'_>, ending: &Ending) {
        let [name, _] = self.pass.direction.names();
        let kernel = Kernel::new(name, "direct", INDEX);
        let kernel = if self.pass.direction == Direction::GradWeight { lanes::sum64(kernel) } else { kernel };
        let kernel = kernel.followed_by(self.family.direct);
        let (mnk, grid) = (self.pass.mnk(), groups_1d(self.direct));
        self.launch(e, kernel, self.pass.direction.slots(), ending, mnk, (mnk.2, grid));
    }

    /// Launches `kernel` over k in slices of `k_split`.
    fn launch(
        &self,
        e: &mut Emit<'_>,
        kernel: Kernel,
        buffers: [Slot; 3],
        ending: &Ending,
        (m, n, k): (usize, usize, usize),
        (k_split, grid): (usize, [u32; 3]),
    ) {
        let v = |x: usize| x as u32;
        let Sizes { c, h, w, r, s, p, q, stride, padding, dilation, groups, .. } = self.pass.sizes;
        let [m, n, k, k_split, c] = [m, n, k, k_split, c / groups].map(v);
        let [h, w, p, q, padding, dilation, groups] = [h, w, p, q, padding, dilation, groups].map(v);
        let params = Params { m, n, k, k_split, c, h, w, p, q, padding, dilation, groups };
        // Windows and strides stand in the text of a kernel.
        let kernel = kernel.with("R", v(r)).with("S", v(s)).with("STRIDE", v(stride));
        let (kernel, buffers) = ending.of(kernel, &buffers, false);
        e.launch(kernel, &buffers, &params, grid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As shaders/layers/conv2d/grad_input.wgsl works out the taps of a phase.
    #[test]
    fn a_phase_meets_the_taps_that_divide() {
        for (stride, dilation) in (1..=8).flat_map(|stride| (1..=8).map(move |dilation| (stride, dilation))) {
            let [step, shared, inverse] = phases(stride, dilation);
            for (phase, tap) in (0..stride).flat_map(|phase| (0..20).map(move |tap| (phase, tap))) {
                let meets = phase % shared == 0 && tap % step == phase / shared * inverse % step;
                let divides = (phase + stride * tap * dilation - tap * dilation) % stride == 0;
                assert_eq!(meets, divides, "stride {stride}, dilation {dilation}, phase {phase}, tap {tap}");
            }
        }
    }
}
