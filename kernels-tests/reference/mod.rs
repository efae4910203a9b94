//! One f64 reference per op file, written from the formula in plain loops, without a look at how the kernel does it.
//!
//! A reference says, for each output, its value and how exact f32 can be: with K products or sums folded into an
//! element, |error| ≤ 2⁻²⁴ · Σ|terms| · (4 · max(1, √K) + 2 · ulps). `ulps` is what Vulkan grants to the inexact
//! built-ins the formula needs (division 2.5, sqrt 4.5, exp 3 + 2|x|, log 3), on top of the rounding of sums.

mod adam;
mod adaptive_avg_pool2d;
mod adaptive_max_pool2d;
mod add_bias;
mod attention;
mod avg_pool2d;
mod barlow_twins;
mod batch_norm;
mod bce_with_logits;
mod binary;
mod broadcast;
mod cast;
mod center;
mod clip_grad_norm;
mod color_jitter;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod correct;
mod crop_resize;
mod cross_entropy;
mod cutmix;
mod cutout;
mod drop_path;
mod dropout;
mod elr;
mod ema;
mod enqueue;
mod epilogue;
mod fill;
mod found_inf;
mod gather;
mod gaussian_blur;
mod gce;
mod group_norm;
mod hinge;
mod increment;
mod info_nce;
mod jigsaw;
mod kl_div;
mod kl_gaussian;
mod l2_normalize;
mod lars;
mod layer_norm;
mod loss_scale;
mod magnify;
mod matmul;
mod max_pool2d;
mod merge_statistics;
mod mixup;
mod mse;
mod nce_rce;
mod negative_cosine;
mod normalize;
mod nt_xent;
mod permute;
mod random;
mod rank;
mod reduce;
mod resize;
mod ring;
mod rotate;
mod row_loss;
mod scale;
mod scatter_add;
mod sce;
mod select;
mod sgd;
mod slice;
mod softmax;
mod solarize;
mod spectral_norm;
mod top_k;
mod unary;
mod vicreg;

use std::any::Any;
use wgslab::base::{DType, Shape};
use wgslab::tape::{Op, Type};

/// Half an ulp of 1 in f32: what one rounding may add.
pub const HALF_ULP: f64 = 1.0 / 16_777_216.0;

/// The least normal f32, in units of [`HALF_ULP`]: a device may take anything smaller for 0.
pub const FLUSHED: f64 = f32::MIN_POSITIVE as f64 / HALF_ULP;

/// An input as a reference reads it: `f` for f32 and f16 elements, `u` for u32.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Shape,
    /// Elements of an f32 or f16 tensor.
    pub f: Vec<f64>,
    /// Elements of a u32 tensor.
    pub u: Vec<u32>,
}

impl Tensor {
    /// A tensor from its words.
    pub fn new(ty: Type, words: &[u32]) -> Self {
        let (mut f, mut u) = (Vec::new(), Vec::new());
        match ty.dtype {
            DType::F16 => {
                let halves = words.iter().flat_map(|w| [w & 0xffff, w >> 16]);
                f = halves.take(ty.shape.numel()).map(cast::value).collect();
            }
            DType::F32 => f = words.iter().map(|w| f32::from_bits(*w) as f64).collect(),
            DType::U32 => u = words.to_vec(),
        }
        Tensor { shape: ty.shape, f, u }
    }

    /// Dimension `i`.
    pub fn dim(&self, i: usize) -> usize {
        self.shape.dim(i)
    }
}

/// What one output must be.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Float elements. The tolerance is that of f32; f16 elements may be off by half an ulp of their own besides.
    Floats {
        /// The values.
        value: Vec<f64>,
        /// Σ|terms| of each; 0 asks for the nearest f32.
        terms: Vec<f64>,
        /// How many terms are folded into an element.
        length: usize,
        /// Ulps of inexact built-ins.
        ulps: f64,
    },
    /// u32 elements, exactly.
    Words(Vec<u32>),
}

impl Expected {
    /// Values that must be given to the last bit.
    pub fn exact(value: Vec<f64>) -> Self {
        let terms = vec![0.0; value.len()];
        Expected::Floats { value, terms, length: 1, ulps: 0.0 }
    }

    /// Values of (value, Σ|terms|) pairs over `length` terms.
    pub fn sums(pairs: Vec<(f64, f64)>, length: usize) -> Self {
        let (value, terms) = pairs.into_iter().unzip();
        Expected::Floats { value, terms, length, ulps: 0.0 }
    }

    /// Values of (value, how many times 2⁻²⁴ it may be off) pairs. A value below the least normal f32 may be given as 0.
    pub fn within(pairs: Vec<(f64, f64)>) -> Self {
        let (value, terms) = pairs.into_iter().map(|(v, error)| (v, (error + FLUSHED) / 4.0)).unzip();
        Expected::Floats { value, terms, length: 1, ulps: 0.0 }
    }

    /// The same with inexact built-ins on the way.
    pub fn ulps(mut self, more: f64) -> Self {
        if let Expected::Floats { ulps, .. } = &mut self {
            *ulps += more;
        }
        self
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Expected::Floats { value, .. } => value.len(),
            Expected::Words(w) => w.len(),
        }
    }
}

/// The outputs of an op, given its inputs.
pub type Outputs = fn(&dyn Op, &[Tensor]) -> Vec<Expected>;

/// What a reference says of a case.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Each output.
    pub outputs: Vec<Expected>,
    /// Variants that sum other terms than the formula's, by the beginning of their names, and what is expected of them.
    pub other_terms: Option<(&'static str, Outputs)>,
    /// Inputs that must have a gradient; every other input must have none.
    pub wrt: Vec<usize>,
    /// Outputs whose cotangents the op takes.
    pub through: Vec<usize>,
    /// Absolute error of a gradient that is always allowed: for formulas whose parts cancel.
    pub gradient_floor: f64,
    /// Where output 0 is a choice among the elements of input 0: which one each of its elements is. The gradient then
    /// follows the choice, which ties have none of otherwise.
    pub picks: Option<Vec<usize>>,
}

impl Answer {
    /// Outputs without a gradient.
    pub fn new(outputs: Vec<Expected>) -> Self {
        Answer { outputs, other_terms: None, wrt: Vec::new(), through: Vec::new(), gradient_floor: 0.0, picks: None }
    }

    /// What is expected of a variant of `op` over `x`.
    pub fn of(&self, variant: &str, op: &dyn Op, x: &[Tensor]) -> Vec<Expected> {
        match self.other_terms {
            Some((begins, outputs)) if variant.starts_with(begins) => outputs(op, x),
            _ => self.outputs.clone(),
        }
    }

    /// Inputs `wrt` have a gradient, through the outputs `through`.
    pub fn gradient(mut self, wrt: &[usize], through: &[usize]) -> Self {
        (self.wrt, self.through) = (wrt.to_vec(), through.to_vec());
        self
    }

    /// Output 0 is a choice among the elements of input 0.
    pub fn picks(mut self, picks: Vec<usize>) -> Self {
        self.picks = Some(picks);
        self
    }

    /// Allows gradients this much of absolute error.
    pub fn floor(mut self, floor: f64) -> Self {
        self.gradient_floor = floor;
        self
    }
}

/// An op's reference.
pub type Reference = fn(&dyn Op, &[Tensor]) -> Answer;

/// Of each name in the list of ops.
const ALL: &[(&str, Reference)] = &[
    ("adam", adam::reference),
    ("adaptive_avg_pool2d", adaptive_avg_pool2d::reference),
    ("adaptive_max_pool2d", adaptive_max_pool2d::reference),
    ("add_bias", add_bias::reference),
    ("attention", attention::reference),
    ("avg_pool2d", avg_pool2d::reference),
    ("barlow_twins", barlow_twins::reference),
    ("batch_norm", batch_norm::reference),
    ("broadcast", broadcast::reference),
    ("cast", cast::reference),
    ("clip_grad_norm", clip_grad_norm::reference),
    ("bce_with_logits", bce_with_logits::reference),
    ("center", center::reference),
    ("color_jitter", color_jitter::reference),
    ("concat", concat::reference),
    ("conv2d", conv2d::reference),
    ("conv_transpose2d", conv_transpose2d::reference),
    ("correct", correct::reference),
    ("crop_resize", crop_resize::reference),
    ("cross_entropy", cross_entropy::reference),
    ("cutmix", cutmix::reference),
    ("cutout", cutout::reference),
    ("drop_path", drop_path::reference),
    ("dropout", dropout::reference),
    ("elr", elr::reference),
    ("ema", ema::reference),
    ("enqueue", enqueue::reference),
    ("epilogue", epilogue::reference),
    ("fill", fill::reference),
    ("found_inf", found_inf::reference),
    ("gather", gather::reference),
    ("gaussian_blur", gaussian_blur::reference),
    ("group_norm", group_norm::reference),
    ("increment", increment::reference),
    ("jigsaw", jigsaw::reference),
    ("gce", gce::reference),
    ("hinge", hinge::reference),
    ("info_nce", info_nce::reference),
    ("kl_div", kl_div::reference),
    ("kl_gaussian", kl_gaussian::reference),
    ("l2_normalize", l2_normalize::reference),
    ("layer_norm", layer_norm::reference),
    ("matmul", matmul::reference),
    ("max_pool2d", max_pool2d::reference),
    ("merge_statistics", merge_statistics::reference),
    ("mse", mse::reference),
    ("nce_rce", nce_rce::reference),
    ("negative_cosine", negative_cosine::reference),
    ("normalize", normalize::reference),
    ("nt_xent", nt_xent::reference),
    ("lars", lars::reference),
    ("loss_scale", loss_scale::reference),
    ("magnify", magnify::reference),
    ("mixup", mixup::reference),
    ("random", random::reference),
    ("resize", resize::reference),
    ("ring", ring::reference),
    ("scale", scale::reference),
    ("select", select::reference),
    ("sgd", sgd::reference),
    ("slice", slice::reference),
    ("spectral_norm", spectral_norm::reference),
    ("permute", permute::reference),
    ("rank", rank::reference),
    ("reduce", reduce::reference),
    ("rotate", rotate::reference),
    ("scatter_add", scatter_add::reference),
    ("softmax", softmax::reference),
    ("solarize", solarize::reference),
    ("top_k", top_k::reference),
    ("sce", sce::reference),
    ("vicreg", vicreg::reference),
];

/// Of op files that hold several names: which ones.
const FAMILIES: &[(&[&str], Reference)] = &[(binary::NAMES, binary::reference), (unary::NAMES, unary::reference)];

/// Every name with its reference.
fn all() -> impl Iterator<Item = (&'static str, Reference)> {
    let families = FAMILIES.iter().flat_map(|(names, reference)| names.iter().map(|name| (*name, *reference)));
    ALL.iter().copied().chain(families)
}

/// The reference of an op.
pub fn of(name: &str) -> Option<Reference> {
    all().find(|r| r.0 == name).map(|r| r.1)
}

/// Every op file has a reference, and none is left over.
pub fn complete() -> Result<(), String> {
    let ops: Vec<&str> = wgslab::kernels::ops().into_iter().map(|o| o.0).collect();
    let missing: Vec<_> = ops.iter().filter(|o| of(o).is_none()).collect();
    let extra: Vec<_> = all().map(|r| r.0).filter(|r| !ops.contains(r)).collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(format!("ops without a reference: {missing:?}; references without an op: {extra:?}"))
}

/// Whether input `i` is there and is a raised guard.
pub fn raised(x: &[Tensor], i: usize) -> bool {
    x.get(i).is_some_and(|guard| guard.u[0] != 0)
}

/// The op as the struct it is.
pub fn cast<T: Op>(op: &dyn Op) -> &T {
    let any: &dyn Any = op;
    any.downcast_ref::<T>().unwrap_or_else(|| panic!("the reference does not know the op {op:?}"))
}
