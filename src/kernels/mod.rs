//! kernels: one file per op, in one order: formula, data, params, shaders, public method, shapes, dispatch, gradient,
//! cost, cases. The same name stands in `shaders/<op>/` and `kernels-tests/reference/<op>.rs`. An op file reaches
//! other ops through `Tape` methods, or through a core they share, nothing else.

pub mod adam;
pub mod adaptive_avg_pool2d;
pub mod adaptive_max_pool2d;
pub mod add_bias;
pub mod attention;
pub mod avg_pool2d;
pub mod barlow_twins;
pub mod batch_norm;
pub mod bce_with_logits;
pub mod binary;
pub mod broadcast;
pub mod case;
pub mod cast;
pub mod center;
pub mod clip_grad_norm;
pub mod color_jitter;
pub mod concat;
mod contrast;
pub mod conv2d;
mod conv2d_gather;
mod conv2d_pack;
mod conv2d_winograd;
pub mod conv_transpose2d;
pub mod correct;
pub mod crop_resize;
pub mod cross_entropy;
pub mod cutmix;
pub mod cutout;
pub mod draw;
pub mod drop_path;
pub mod dropout;
pub mod elr;
pub mod ema;
pub mod enqueue;
pub mod epilogue;
pub mod fill;
pub mod found_inf;
pub mod fuse;
pub mod gather;
pub mod gaussian_blur;
pub mod gce;
pub(crate) mod gemm;
pub mod group_norm;
pub mod hinge;
pub mod increment;
pub mod info_nce;
pub mod jigsaw;
pub mod kl_div;
pub mod kl_gaussian;
pub mod l2_normalize;
pub mod lars;
pub mod layer_norm;
pub mod linear;
pub mod listing;
pub mod loss_scale;
pub mod magnify;
pub mod matmul;
mod matmul_f16;
pub mod max_pool2d;
pub mod merge_statistics;
pub mod mixup;
pub mod mse;
pub mod nce_rce;
pub mod negative_cosine;
pub mod normalize;
pub mod nt_xent;
pub(crate) mod order;
pub mod permute;
pub(crate) mod pool;
pub mod random;
pub mod rank;
pub mod reduce;
pub mod resize;
pub mod ring;
pub mod rotate;
pub mod row_loss;
pub mod scale;
pub mod scatter_add;
pub mod sce;
pub mod select;
pub mod sgd;
pub mod slice;
pub mod softmax;
pub mod solarize;
pub mod spectral_norm;
mod strided;
pub(crate) mod tiles;
pub mod top_k;
pub mod tune;
pub mod unary;
pub mod vicreg;
mod walk;

pub use case::{Case, Fill, Recorded};

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece, groups_1d};
use crate::tape::backward::Arithmetic;
use crate::tape::{Slot, Tape, Type, Var};

/// A list of an op's name and its named cases: tests, gradients and benches read it.
pub fn ops() -> Vec<(&'static str, Vec<Case>)> {
    let mut ops = vec![
        ("adam", adam::cases()),
        ("adaptive_avg_pool2d", adaptive_avg_pool2d::cases()),
        ("adaptive_max_pool2d", adaptive_max_pool2d::cases()),
        ("add_bias", add_bias::cases()),
        ("attention", attention::cases()),
        ("avg_pool2d", avg_pool2d::cases()),
        ("barlow_twins", barlow_twins::cases()),
        ("batch_norm", batch_norm::cases()),
        ("bce_with_logits", bce_with_logits::cases()),
        ("broadcast", broadcast::cases()),
        ("cast", cast::cases()),
        ("center", center::cases()),
        ("clip_grad_norm", clip_grad_norm::cases()),
        ("color_jitter", color_jitter::cases()),
        ("concat", concat::cases()),
        ("conv2d", conv2d::cases()),
        ("conv_transpose2d", conv_transpose2d::cases()),
        ("correct", correct::cases()),
        ("crop_resize", crop_resize::cases()),
        ("cross_entropy", cross_entropy::cases()),
        ("cutmix", cutmix::cases()),
        ("cutout", cutout::cases()),
        ("drop_path", drop_path::cases()),
        ("dropout", dropout::cases()),
        ("elr", elr::cases()),
        ("ema", ema::cases()),
        ("enqueue", enqueue::cases()),
        ("epilogue", epilogue::cases()),
        ("fill", fill::cases()),
        ("found_inf", found_inf::cases()),
        ("gather", gather::cases()),
        ("gaussian_blur", gaussian_blur::cases()),
        ("gce", gce::cases()),
        ("group_norm", group_norm::cases()),
        ("hinge", hinge::cases()),
        ("increment", increment::cases()),
        ("info_nce", info_nce::cases()),
        ("jigsaw", jigsaw::cases()),
        ("kl_div", kl_div::cases()),
        ("kl_gaussian", kl_gaussian::cases()),
        ("l2_normalize", l2_normalize::cases()),
        ("lars", lars::cases()),
        ("layer_norm", layer_norm::cases()),
        ("loss_scale", loss_scale::cases()),
        ("magnify", magnify::cases()),
        ("matmul", matmul::cases()),
        ("max_pool2d", max_pool2d::cases()),
        ("merge_statistics", merge_statistics::cases()),
        ("mixup", mixup::cases()),
        ("mse", mse::cases()),
        ("nce_rce", nce_rce::cases()),
        ("negative_cosine", negative_cosine::cases()),
        ("normalize", normalize::cases()),
        ("nt_xent", nt_xent::cases()),
        ("permute", permute::cases()),
        ("random", random::cases()),
        ("rank", rank::cases()),
        ("reduce", reduce::cases()),
        ("resize", resize::cases()),
        ("ring", ring::cases()),
        ("rotate", rotate::cases()),
        ("scale", scale::cases()),
        ("scatter_add", scatter_add::cases()),
        ("sce", sce::cases()),
        ("select", select::cases()),
        ("sgd", sgd::cases()),
        ("slice", slice::cases()),
        ("softmax", softmax::cases()),
        ("solarize", solarize::cases()),
        ("spectral_norm", spectral_norm::cases()),
        ("top_k", top_k::cases()),
        ("vicreg", vicreg::cases()),
    ];
    ops.extend(binary::families());
    ops.extend(unary::families());
    ops.sort_by_key(|op| op.0);
    ops
}

/// What a backward pass needs of the ops.
struct Ops;

impl Arithmetic for Ops {
    fn ones(t: &mut Tape, like: Var) -> Result<Var> {
        let (shape, dtype) = (t.shape(like), t.ty(like).dtype);
        let ones = t.fill(shape, 1.0)?;
        t.cast(ones, dtype)
    }

    fn sum(t: &mut Tape, a: Var, b: Var) -> Result<Var> {
        t.add(a, b)
    }
}

impl Tape {
    /// Appends the gradient of Σ ⟨output, cotangent⟩ with respect to each of `wrt`; a cotangent of `None` means ones.
    /// `None` comes back where nothing depends on that value.
    pub fn backward(&mut self, outputs: &[Var], cotangents: &[Option<Var>], wrt: &[Var]) -> Result<Vec<Option<Var>>> {
        self.backward_with::<Ops>(outputs, cotangents, wrt)
    }

    /// The gradient of one scalar loss.
    pub fn gradient(&mut self, loss: Var, wrt: &[Var]) -> Result<Vec<Option<Var>>> {
        self.backward(&[loss], &[None], wrt)
    }
}

/// vec4 count and grid of an elementwise kernel of 256 vec4 a workgroup over `elements` elements.
pub(crate) fn vec4_grid(elements: usize) -> (u32, [u32; 3]) {
    let vectors = elements.div_ceil(4);
    (vectors as u32, groups_1d(vectors.div_ceil(256)))
}

/// `x` with an axis of another size.
pub(crate) fn resized(x: Type, axis: usize, size: usize) -> Type {
    let mut dims: Vec<usize> = x.shape.dims().iter().map(|&d| d as usize).collect();
    dims[axis] = size;
    Type { shape: Shape::new(&dims), dtype: x.dtype }
}

/// Elements from `axis` on: how much of `x` lies in one piece in memory.
pub(crate) fn from_axis(x: Type, axis: u32) -> u32 {
    x.shape.dims()[axis as usize..].iter().product()
}

/// N and K of logits, after checking them against labels and weights.
pub(crate) fn classification(op: &'static str, x: &[Type]) -> Result<(usize, usize)> {
    x[0].expect_dtype(op, "logits", DType::F32)?;
    x[1].expect_dtype(op, "labels", DType::U32)?;
    x[2].expect_dtype(op, "weights", DType::F32)?;
    let [n, k] = x[0].shape.matrix(op, "logits")?;
    for (ty, name) in [(x[1], "labels"), (x[2], "weights")] {
        if ty.shape.vector(op, name)? != n {
            let need = "they must have one entry for each row";
            return Err(Error::shapes(op, (name, ty.shape), ("logits", x[0].shape), need));
        }
    }
    Ok((n, k))
}

/// An error unless all are f32 of one type.
pub(crate) fn same_types(op: &'static str, x: &[(&str, Type)]) -> Result<()> {
    let (first, ty) = x[0];
    for &(name, other) in x {
        other.expect_dtype(op, name, DType::F32)?;
        if other.shape != ty.shape {
            return Err(Error::shapes(op, (first, ty.shape), (name, other.shape), "they must be equal"));
        }
    }
    Ok(())
}

/// `kernel` over `buffers`, or where the op has more than `plain` inputs, the last of them a guard, the kernel of the
/// pieces `under_guard` with the guard bound last.
pub(crate) fn guarded(
    kernel: Kernel,
    under_guard: &[Piece],
    mut buffers: Vec<Slot>,
    inputs: usize,
    plain: usize,
) -> (Kernel, Vec<Slot>) {
    if inputs == plain {
        return (kernel, buffers);
    }
    buffers.push(Slot::In(plain));
    let kernel = Kernel { pieces: under_guard.to_vec(), ..kernel }.with("GUARD", buffers.len() as u32);
    (kernel, buffers)
}
