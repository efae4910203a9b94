//! epilogue: y = f(s(c) + residual) of each element of a product c, on its way from registers to memory: s adds a bias or
//! is a batch norm with given statistics, f is an activation; each may be missing. [`Fused`] is a product that ends so.
//! A tape is recorded without: fuse.rs puts a fused product where the parts stand in a row, so none has a gradient.
//!
//! A batch norm stays one of four numbers a channel; the usual fold into the weights (w·weight/√(var + eps) and
//! bias − mean·weight/√(var + eps)) would cost a pass over the weights and their copy in every step, because statistics
//! live on the device, and lose digits where a mean is large; four numbers more are nothing beside a product.
//! Shaders: shaders/core/epilogue/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece};
use crate::kernels::conv2d::Conv2d;
use crate::kernels::matmul::MatMul;
use crate::kernels::unary::{Approximate, Unary};
use crate::kernels::{Case, Fill};
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
pub struct Epilogue {
    /// First this.
    pub shift: Shift,
    /// Then a tensor of the product's shape is added.
    pub residual: bool,
    /// Then this function is taken: relu, gelu, silu, sigmoid or tanh.
    pub activation: Option<Unary>,
}

/// A product with its epilogue. Inputs: the product's two, those of the shift, the residual.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Fused<P> {
    /// The product.
    pub product: P,
    /// What follows it.
    pub epilogue: Epilogue,
}

/// An op of two inputs whose kernels can end in an epilogue.
pub trait Product: Op + Clone + serde::Serialize {
    /// The name of its fused form.
    const FUSED: &'static str;
    /// Which dimension of the output, from its last, is the channels: a matrix product's columns, a convolution's rows.
    const CHANNELS: Axis;
    /// [`Op::emit`] with each element stored through `ending`.
    fn emit_ending(&self, e: &mut Emit<'_>, ending: &Ending) -> Result<()>;
}

/// Whether an epilogue can follow a variant's product: elements of a cooperative matrix cannot be reached on their way to
/// memory.
pub(crate) fn can_follow(variant: &str) -> bool {
    !variant.starts_with("coop")
}

/// Whether an op is a product with an epilogue: its sums meet a function that may saturate.
pub(crate) fn is_fused(op: &dyn Op) -> bool {
    [MatMul::FUSED, Conv2d::FUSED].contains(&op.name())
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
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Ending {
    fused: Option<(Epilogue, Axis)>,
    /// Where the kernel counts rows on over a batch: how many there are before they begin again.
    rows: Option<u32>,
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
const IDENTITY: &[Piece] = &[piece!("core/epilogue/identity.wgsl")];

impl Epilogue {
    /// The product as it is.
    pub const NOTHING: Epilogue = Epilogue { shift: Shift::None, residual: false, activation: None };
}

impl Shift {
    /// Names of its inputs.
    fn inputs(self) -> &'static [&'static str] {
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
        let Some((epilogue, channels)) = self.fused else { return (kernel.followed_by(NONE), buffers) };
        let shift_at = buffers.len() as u32 + 1;
        let inputs = epilogue.shift.inputs().len() + usize::from(epilogue.residual);
        buffers.extend((2..2 + inputs).map(Slot::In));
        let (by, width) = match (channels, self.rows) {
            (Axis::Columns, _) => (BY_COLUMN, 4),
            (Axis::Rows, None) => (BY_ROW, 1),
            (Axis::Rows, Some(_)) => (BY_REPEATED_ROW, 1),
        };
        let kernel = kernel.with("ROWS", self.rows.unwrap_or(1));
        let kernel = match epilogue.shift {
            Shift::None => kernel.followed_by(UNSHIFTED),
            Shift::Bias => kernel.followed_by(by).followed_by(BIAS),
            Shift::BatchNorm { eps } => kernel.followed_by(by).followed_by(BATCH_NORM).with("EPS", eps.to_bits()),
        };
        let kernel = kernel.followed_by(match (epilogue.residual, whole) {
            (false, _) => FINISH,
            (true, false) => RESIDUAL,
            (true, true) => RESIDUAL_VEC4,
        });
        let activation = epilogue.activation.and_then(Unary::pieces).unwrap_or(IDENTITY);
        let kernel = kernel.followed_by(activation).with("SHIFT", shift_at).with("WIDTH", width);
        (kernel.with("RESIDUAL", buffers.len() as u32), buffers)
    }
}

impl<P: Product> Op for Fused<P> {
    fn name(&self) -> &'static str {
        P::FUSED
    }

    fn takes_f16(&self) -> bool {
        self.product.takes_f16()
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
        variants.retain(|v| can_follow(v));
        variants
    }

    fn workspace(&self, x: &[Type], y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        self.product.workspace(&x[..2], y, variant, caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.product.emit_ending(e, &Ending { fused: Some((self.epilogue, P::CHANNELS)), rows: None })
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let product = self.product.cost(&x[..2], y);
        let Epilogue { shift, residual, activation } = self.epilogue;
        let shifting = match shift {
            Shift::None => 0,
            Shift::Bias => 1,
            Shift::BatchNorm { .. } => 3,
        };
        let each = shifting + u64::from(residual) + activation.map_or(0, Unary::flops);
        let bytes = x[2..].iter().map(Type::bytes).sum::<u64>();
        Cost { flops: product.flops + each * y[0].shape.numel() as u64, bytes: product.bytes + bytes }
    }
}

/// Named cases: each kind of ending over each store of the kernels.
pub fn cases() -> Vec<Case> {
    let relu = Some(Unary::Relu);
    let bias = |activation| Epilogue { shift: Shift::Bias, residual: false, activation };
    let norm = |residual, activation| Epilogue { shift: Shift::BatchNorm { eps: 1e-5 }, residual, activation };
    let bare = |residual, activation| Epilogue { shift: Shift::None, residual, activation };
    let whole = Epilogue { shift: Shift::Bias, residual: true, activation: relu };
    let (exact, tanh) = (Unary::Gelu(Approximate::None), Unary::Gelu(Approximate::Tanh));
    let plain = Conv2d::new;
    vec![
        matmul("matmul, one, bias", (1, 1, 1), false, bias(None)),
        matmul("matmul, bias, relu", (13, 31, 17), true, bias(relu)),
        matmul("matmul, bias, gelu, a tile and one", (65, 66, 33), true, bias(Some(exact))),
        matmul("matmul, bias, gelu by tanh, whole vec4", (9, 36, 20), false, bias(Some(tanh))),
        matmul("matmul, bias, silu, a long sum", (5, 7, 1100), true, bias(Some(Unary::Silu))),
        matmul("matmul, residual, a long sum", (4, 6, 1100), false, bare(true, None)),
        matmul("matmul, whole tiles, bias, residual, relu", (128, 128, 32), true, whole),
        matmul("matmul, tanh", (7, 10, 12), false, bare(false, Some(Unary::Tanh))),
        matmul("matmul, batch norm, residual, sigmoid", (19, 13, 8), true, norm(true, Some(Unary::Sigmoid))),
        conv2d("3x3, batch norm", [2, 5, 7, 11], [13, 5, 3, 3], plain(1, 1), norm(false, None)),
        conv2d("3x3, batch norm, relu", [2, 9, 7, 8], [66, 9, 3, 3], plain(1, 1), norm(false, relu)),
        conv2d("3x3, batch norm, residual, relu", [3, 5, 6, 5], [70, 5, 3, 3], plain(1, 1), norm(true, relu)),
        conv2d("3x3 stride 2, whole planes, all", [2, 6, 7, 8], [10, 6, 3, 3], plain(2, 1), norm(true, relu)),
        conv2d("1x1, all", [3, 12, 6, 6], [20, 12, 1, 1], plain(1, 0), norm(true, relu)),
        conv2d("1x1, a product an image, all", [2, 12, 8, 8], [20, 12, 1, 1], plain(1, 0), norm(true, relu)),
        conv2d("1x1, whole tiles, residual", [1, 16, 8, 16], [128, 16, 1, 1], plain(1, 0), bare(true, relu)),
        conv2d("3x3 of few outputs, all, a long sum", [2, 130, 5, 5], [3, 130, 3, 3], plain(1, 1), norm(true, relu)),
        conv2d("1x1 stride 2, batch norm", [2, 12, 7, 6], [20, 12, 1, 1], plain(2, 0), norm(false, None)),
        conv2d("7x7 stride 2, batch norm, relu", [2, 3, 17, 15], [16, 3, 7, 7], plain(2, 3), norm(false, relu)),
        conv2d("bias, gelu", [2, 3, 8, 8], [5, 3, 4, 4], plain(4, 0), bias(Some(exact))),
        conv2d("groups, all", [2, 6, 7, 5], [9, 2, 3, 3], Conv2d { groups: 3, ..plain(1, 1) }, norm(true, relu)),
        conv2d(
            "depthwise, batch norm, silu",
            [2, 7, 9, 6],
            [7, 1, 3, 3],
            Conv2d { groups: 7, ..plain(1, 1) },
            norm(false, Some(Unary::Silu)),
        ),
        of_batch("matmul, a batch, residual, relu, a long sum", 3, (4, 6, 1100), bare(true, relu)),
        of_halves(matmul("matmul, f16, bias, gelu", (13, 31, 17), true, bias(Some(exact)))),
        of_halves(matmul("matmul, f16, whole vec4, residual, relu", (12, 8, 20), false, bare(true, relu))),
        of_halves(matmul("matmul, f16, bias, silu, a long sum", (6, 8, 1108), true, bias(Some(Unary::Silu)))),
        of_halves(conv2d("f16, 3x3, all", [2, 3, 6, 5], [7, 3, 3, 3], plain(1, 1), norm(true, relu))),
        of_halves(conv2d("f16, 3x3 stride 2, bias, gelu", [2, 3, 7, 8], [5, 3, 3, 3], plain(2, 1), bias(Some(exact)))),
    ]
}

/// The case with operands of f16; what follows the product stays f32.
fn of_halves(mut case: Case) -> Case {
    case.inputs[..2].iter_mut().for_each(|(ty, _)| ty.dtype = DType::F16);
    case
}

/// A product of `z` pairs of matrices.
fn of_batch(name: &'static str, z: usize, (m, n, k): (usize, usize, usize), epilogue: Epilogue) -> Case {
    let x = [Type::f32([z, m, k]), Type::f32([z, k, n])];
    let product = MatMul { trans_a: false, trans_b: false };
    case(name, Fused { product, epilogue }, x, (n, Type::f32([z, m, n])))
}

fn matmul(name: &'static str, (m, n, k): (usize, usize, usize), trans_b: bool, epilogue: Epilogue) -> Case {
    let x = [Type::f32([m, k]), Type::f32(if trans_b { [n, k] } else { [k, n] })];
    case(name, Fused { product: MatMul { trans_a: false, trans_b }, epilogue }, x, (n, Type::f32([m, n])))
}

fn conv2d(name: &'static str, x: [usize; 4], w: [usize; 4], product: Conv2d, epilogue: Epilogue) -> Case {
    let (stride, padding) = (product.stride as usize, product.padding as usize);
    let out = |i: usize| (x[i] + 2 * padding - w[i]) / stride + 1;
    let y = Type::f32([x[0], w[0], out(2), out(3)]);
    case(name, Fused { product, epilogue }, [Type::f32(x), Type::f32(w)], (w[0], y))
}

fn case<P: Product>(name: &'static str, op: Fused<P>, x: [Type; 2], (channels, y): (usize, Type)) -> Case {
    let mut inputs = x.map(|ty| (ty, Fill::Normal)).to_vec();
    let scale = |n: &&str| ["weight", "running_var"].contains(n);
    let fill = |n| if scale(&n) { Fill::Uniform(0.5, 1.5) } else { Fill::Normal };
    inputs.extend(op.epilogue.shift.inputs().iter().map(|n| (Type::f32([channels]), fill(*n))));
    inputs.extend(op.epilogue.residual.then_some((y, Fill::Normal)));
    Case::new(name, op, inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let op = |shift, residual, activation| Fused {
            product: MatMul { trans_a: false, trans_b: false },
            epilogue: Epilogue { shift, residual, activation },
        };
        let (a, b) = (Type::f32([3, 4]), Type::f32([4, 5]));
        let wrong = |op: Fused<MatMul>, x: &[Type]| op.infer(x).unwrap_err().to_string();
        assert!(wrong(op(Shift::Bias, false, None), &[a, b]).contains("takes 3"));
        assert!(wrong(op(Shift::Bias, false, None), &[a, b, Type::f32([3])]).contains("each channel"));
        assert!(wrong(op(Shift::None, true, None), &[a, b, a]).contains("must be F32 [3, 5]"));
        assert!(wrong(op(Shift::None, false, Some(Unary::Exp)), &[a, b]).contains("Exp"));
        assert_eq!(op(Shift::Bias, false, None).infer(&[a, b, Type::f32([5])]).unwrap(), [Type::f32([3, 5])]);
    }
}
