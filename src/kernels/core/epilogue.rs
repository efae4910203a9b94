//! epilogue: y = f(s(c) + residual) of each element of a product c, on its way from registers to memory: s adds a bias or
//! is a batch norm with given statistics, f is an activation; each may be missing. [`Fused`] is a product that ends so.
//! No tape is recorded with one: kernels/fuse.rs puts it in the place of its parts when a whole tape is scheduled, so it
//! needs no gradient. No op is named here: which ops are products and which are activations, they say themselves
//! ([`Product`], [`Activation`]).
//!
//! A batch norm keeps its four numbers a channel. The usual fold into the weights (w·weight/√(var + eps) and
//! bias − mean·weight/√(var + eps)) would read the weights and write a copy of them in every step, because statistics
//! live on the device; it would also lose digits where a mean is large. Reading four numbers a channel costs nothing
//! beside a product. Shaders: shaders/core/epilogue/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece};
use crate::kernels::held;
use crate::piece;
use crate::tape::{Cost, Emit, Op, Slot, Type};

/// What is done to a channel as a whole.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Shift {
    /// Nothing.
    None,
    /// A bias is added, f32 [channels].
    Bias,
    /// Batch norm with given statistics: weight, bias, mean and variance, each f32 [channels].
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
}

/// What is done to each element of a product.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Epilogue<A> {
    /// First this.
    pub shift: Shift,
    /// Then a tensor of the product's shape is added.
    pub residual: bool,
    /// Then this function is taken.
    pub activation: Option<A>,
}

/// A product with its epilogue. Inputs: the product's two, those of the shift, the residual.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Fused<P, A> {
    /// The product.
    pub product: P,
    /// What follows it.
    pub epilogue: Epilogue<A>,
}

/// An op of two inputs whose kernels can end in an epilogue.
pub trait Product: Op + Clone + serde::Serialize {
    /// The name of its fused form.
    const FUSED: &'static str;
    /// Which dimension of the output, from its last, is the channels: a matrix product's columns, a convolution's rows.
    const CHANNELS: Axis;
    /// Whether the kernels of a variant can end in an epilogue: whether they reach each element on its way to memory.
    fn can_end(&self, _variant: &str) -> bool {
        true
    }
    /// [`Op::emit`] with each element stored through `ending`.
    fn emit_ending(&self, e: &mut Emit<'_>, ending: &Ending) -> Result<()>;
}

/// What is f32 is not told, so that tables and addresses stay those of before there was a choice.
pub(crate) fn is_f32(dtype: &DType) -> bool {
    *dtype == DType::F32
}

/// An error unless a product of elements `operands` can have the elements `result`.
pub(crate) fn expect_result(op: &'static str, operands: DType, result: DType) -> Result<()> {
    match (operands, result) {
        (_, DType::F32) | (DType::F16, DType::F16) => Ok(()),
        _ => {
            let (operands, result) = (operands.name(), result.name());
            Err(Error::shape(
                op,
                format!("a product of {operands} has a result of F32, not {result}; cast what it takes"),
            ))
        }
    }
}

/// A function of each element that products may end in.
pub trait Activation: Copy + PartialEq + std::fmt::Debug + serde::Serialize + Send + Sync + 'static {
    /// The pieces that define its `apply`; none where no product ends in it.
    fn pieces(self) -> Option<&'static [Piece]>;
    /// Flops of an element.
    fn flops(self) -> u64;
}

/// Where channels lie in a product's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Axis {
    /// Dimension 1, rows of the product: y [N, K, P, Q].
    Rows,
    /// The last dimension: y [M, N].
    Columns,
}

/// How the kernels of one product end: pieces and bindings behind the product's own.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    fused: Option<Parts>,
    /// Where the kernel counts rows on over a batch: how many there are before they begin again.
    rows: Option<u32>,
}

/// What a kernel needs to know of an epilogue.
#[derive(Clone, Copy, Debug)]
struct Parts {
    shift: Shift,
    residual: bool,
    /// What is added lies in f16, as what is made.
    halves: bool,
    /// The pieces that define `apply`.
    activation: &'static [Piece],
    channels: Axis,
}

const NONE: &[Piece] = &[piece!("core/epilogue/none.wgsl")];
const BY_ROW: &[Piece] = &[piece!("core/epilogue/by_row.wgsl")];
const BY_REPEATED_ROW: &[Piece] = &[piece!("core/epilogue/by_repeated_row.wgsl")];
const BY_COLUMN: &[Piece] = &[piece!("core/epilogue/by_column.wgsl")];
const UNSHIFTED: &[Piece] = &[piece!("core/epilogue/unshifted.wgsl")];
const BIAS: &[Piece] = &[piece!("core/epilogue/bias.wgsl")];
const BATCH_NORM: &[Piece] = &[piece!("core/epilogue/batch_norm.wgsl")];
const FINISH: &[Piece] = &[piece!("core/epilogue/finish.wgsl")];
const RESIDUAL: &[Piece] = &[piece!("core/epilogue/residual.wgsl")];
const RESIDUAL_VEC4: &[Piece] = &[piece!("core/epilogue/residual_vec4.wgsl")];
const RESIDUAL_HALF: &[Piece] = &[piece!("common/half.wgsl"), piece!("core/epilogue/residual_half.wgsl")];
const IDENTITY: &[Piece] = &[piece!("core/epilogue/identity.wgsl")];

impl<A> Epilogue<A> {
    /// The product as it is.
    pub const NOTHING: Self = Epilogue { shift: Shift::None, residual: false, activation: None };
}

impl Shift {
    /// Names of its inputs.
    pub(crate) fn inputs(self) -> &'static [&'static str] {
        match self {
            Shift::None => &[],
            Shift::Bias => &["bias"],
            Shift::BatchNorm { .. } => &["weight", "bias", "running_mean", "running_var"],
        }
    }
}

impl Ending {
    /// Nothing follows the product.
    pub const NONE: Ending = Ending { fused: None, rows: None };

    /// The same for a kernel whose products lie one below the other, each of `rows` rows.
    pub(crate) fn repeated(self, rows: usize) -> Ending {
        Ending { rows: Some(rows as u32), ..self }
    }

    /// The kernel that ends so, over `buffers` and those of the epilogue; `whole` where it stores whole vec4.
    pub(crate) fn of(&self, kernel: Kernel, buffers: &[Slot], whole: bool) -> (Kernel, Vec<Slot>) {
        let mut buffers = buffers.to_vec();
        let Some(fused) = self.fused else { return (kernel.followed_by(NONE), buffers) };
        let shift_at = buffers.len() as u32 + 1;
        let inputs = fused.shift.inputs().len() + usize::from(fused.residual);
        buffers.extend((2..2 + inputs).map(Slot::In));
        let (by, width) = match (fused.channels, self.rows) {
            (Axis::Columns, _) => (BY_COLUMN, 4),
            (Axis::Rows, None) => (BY_ROW, 1),
            (Axis::Rows, Some(_)) => (BY_REPEATED_ROW, 1),
        };
        let kernel = kernel.with("ROWS", self.rows.unwrap_or(1));
        let kernel = match fused.shift {
            Shift::None => kernel.followed_by(UNSHIFTED),
            Shift::Bias => kernel.followed_by(by).followed_by(BIAS),
            Shift::BatchNorm { eps } => kernel.followed_by(by).followed_by(BATCH_NORM).with("EPS", eps.to_bits()),
        };
        let finish = match (fused.residual, fused.halves, whole) {
            (false, ..) => FINISH,
            (true, true, _) => RESIDUAL_HALF,
            (true, false, false) => RESIDUAL,
            (true, false, true) => RESIDUAL_VEC4,
        };
        let kernel = held::with(kernel, finish);
        let kernel = kernel.followed_by(fused.activation).with("SHIFT", shift_at).with("WIDTH", width);
        (kernel.with("RESIDUAL", buffers.len() as u32), buffers)
    }
}

impl<P: Product, A: Activation> Op for Fused<P, A> {
    fn name(&self) -> &'static str {
        P::FUSED
    }

    fn takes_f16(&self) -> bool {
        self.product.takes_f16()
    }

    fn may_saturate(&self) -> bool {
        self.epilogue.activation.is_some()
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let (op, Epilogue { shift, residual, activation }) = (P::FUSED, self.epilogue);
        let wanted = 2 + shift.inputs().len() + usize::from(residual);
        if x.len() != wanted {
            return Err(Error::shape(op, format!("it has {} inputs and {:?} takes {wanted}", x.len(), self.epilogue)));
        }
        let y = self.product.infer(&x[..2])?;
        let shape = y[0].shape;
        let channels = shape.dim(if P::CHANNELS == Axis::Rows { 1 } else { shape.rank() - 1 });
        for (name, ty) in shift.inputs().iter().zip(&x[2..]) {
            ty.expect_dtype(op, name, DType::F32)?;
            if ty.shape.vector(op, name)? != channels {
                let need = "it must have one element for each channel of y";
                return Err(Error::shapes(op, (name, ty.shape), ("y", shape), need));
            }
        }
        if residual && x[wanted - 1] != y[0] {
            return Err(Error::shape(op, format!("the residual is {} and must be {}", x[wanted - 1], y[0])));
        }
        if let Some(f) = activation.filter(|f| f.pieces().is_none()) {
            return Err(Error::shape(op, format!("{f:?} is no activation that a product can end in; record it apart")));
        }
        Ok(y)
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        let mut variants = self.product.variants(&x[..2], caps);
        variants.retain(|v| self.product.can_end(v));
        variants
    }

    fn workspace(&self, x: &[Type], y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        self.product.workspace(&x[..2], y, variant, caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let Epilogue { shift, residual, activation } = self.epilogue;
        let activation = activation.and_then(A::pieces).unwrap_or(IDENTITY);
        let halves = e.y[0].dtype == DType::F16;
        let parts = Parts { shift, residual, halves, activation, channels: P::CHANNELS };
        self.product.emit_ending(e, &Ending { fused: Some(parts), rows: None })
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let product = self.product.cost(&x[..2], y);
        let Epilogue { shift, residual, activation } = self.epilogue;
        let shifting = match shift {
            Shift::None => 0,
            Shift::Bias => 1,
            Shift::BatchNorm { .. } => 3,
        };
        let each = shifting + u64::from(residual) + activation.map_or(0, A::flops);
        let bytes = x[2..].iter().map(Type::bytes).sum::<u64>();
        Cost { flops: product.flops + each * y[0].shape.numel() as u64, bytes: product.bytes + bytes }
    }
}
