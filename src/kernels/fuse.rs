//! The table of fusions: matmul or conv2d, then add_bias or batch_norm_eval, then an addition of the same shape, then an
//! activation become one product with an epilogue (core/epilogue.rs), whichever of the last three there are. It is passed
//! to the schedule, which names no op ([`Options::fuse`]); what a training step still needs of the parts, a
//! pre-activation whose gradient reads it, keeps them apart, and so does a variant that cannot end in more (a product of
//! cooperative matrices).
//!
//! In training, batch_norm, then an addition of the same shape or none, then relu become batch_norm_relu. Backward, the sum
//! of two gradients, relu's gradient and batch_norm's become one as well, wherever they follow each other.
//!
//! Beside the lists of ops this is the one file that names ops of several families, so it stands above them: the core
//! knows no op, and the catalog takes all of them alike.

use crate::base::DType;
use crate::device::Caps;
use crate::kernels::add_bias::AddBias;
use crate::kernels::batch_norm::{BatchNorm, BatchNormEval, BatchNormGrad};
use crate::kernels::batch_norm_relu::{BatchNormRelu, BatchNormReluGrad, Mask};
use crate::kernels::binary::Binary;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::epilogue::{Activation, Epilogue, Fused, Product, Shift};
use crate::kernels::matmul::MatMul;
use crate::kernels::unary::{Approximate, Unary, UnaryGrad};
use crate::kernels::{Case, Fill};
use crate::tape::rewrite::{Chain, Fusion};
use crate::tape::{Op, Options, Type, Var};
use std::sync::Arc;

/// The options of a schedule that fuses: the first variant of each op, buffers shared.
pub fn options(caps: &Caps) -> Options<'_> {
    Options { fuse: Some(fuse), ..Options::new(caps) }
}

/// What computes `y` at once, where a chain of ops that become one does.
pub fn fuse(chain: &Chain<'_>, y: Var) -> Option<Fusion> {
    product_of(chain, y).or_else(|| norm_of(chain, y)).or_else(|| norm_grad_of(chain, y))
}

/// A batch norm in training, a sum or none, and relu.
fn norm_of(chain: &Chain<'_>, z: Var) -> Option<Fusion> {
    let (_, y) = chain.part::<Unary>(z).filter(|(f, _)| **f == Unary::Relu)?;
    let operands = match chain.part::<Binary>(y[0]) {
        Some((Binary::Add, x)) => vec![(x[0], Some(x[1])), (x[1], Some(x[0]))],
        _ => vec![(y[0], None)],
    };
    operands.into_iter().find_map(|(y, residual)| {
        let (norm, x, outputs) = chain.maker::<BatchNorm>(y)?;
        if y != outputs[0] || !chain.is_read_once(y) {
            return None;
        }
        let op = BatchNormRelu { eps: norm.eps, splits: norm.splits, residual: residual.is_some() };
        let inputs = x[..3].iter().copied().chain(residual).chain(x[3..].iter().copied()).collect();
        Some(Fusion { op: Arc::new(op), inputs, outputs: vec![z, outputs[1], outputs[2]], begins: y })
    })
}

/// The gradient of a batch norm whose dy comes through relu, from one reader or from two.
fn norm_grad_of(chain: &Chain<'_>, dx: Var) -> Option<Fusion> {
    let (norm, x, outputs) = chain.maker::<BatchNormGrad>(dx)?;
    // What flows through the statistics alone, beside the weights of the samples, is another pass.
    if x.len() > 5 + usize::from(norm.weighted) {
        return None;
    }
    let passed = x[4];
    let (_, of, _) = chain.maker::<UnaryGrad>(passed).filter(|(f, ..)| f.0 == Unary::Relu)?;
    let (z, dz) = (of[0], of[1]);
    let mut dz = match chain.part::<Binary>(dz) {
        // Both terms would lie there while what the norm reads is computed again.
        Some((Binary::Add, terms)) if !chain.computes_again() => terms.to_vec(),
        _ => vec![dz],
    };
    let bias = bias_behind(chain, z, &x[..4]).filter(|_| chain.is_read_once(passed) && !chain.is_read_once(z));
    let mask = if bias.is_some() { Mask::Recomputed } else { Mask::Kept };
    if bias.is_none() {
        // Another reader would have to wait, and hold memory longer.
        if !chain.is_read_here_first(passed) {
            return None;
        }
        // Their sum is rounded where it lies, so it is what all must read: it is made before.
        if dz.len() == 2 && chain.ty(dx).dtype == DType::F16 {
            dz = vec![of[1]];
        }
        // What is passed on takes the place of a gradient that nobody else reads.
        let own = dz.iter().position(|&v| chain.is_computed(v) && chain.is_read_once(v))?;
        dz.swap(0, own);
    }
    let &BatchNormGrad { eps, splits, weighted } = norm;
    let op = BatchNormReluGrad { eps, splits, weighted, mask, two: dz.len() == 2 };
    let known = x[..4].iter().copied().chain(dz).chain([bias.unwrap_or(z)]);
    let inputs = known.chain(x[5..].iter().copied()).collect();
    let outputs = outputs.iter().copied().chain(bias.is_none().then_some(passed)).collect();
    Some(Fusion { op: Arc::new(op), inputs, outputs, begins: dx })
}

/// The bias of the batch norm of `x` (x, weight, mean and variance), if relu of its output alone is `z`.
fn bias_behind(chain: &Chain<'_>, z: Var, x: &[Var]) -> Option<Var> {
    let (_, y, _) = chain.maker::<Unary>(z).filter(|(f, ..)| **f == Unary::Relu)?;
    let (_, of, outputs) = chain.maker::<BatchNorm>(y[0])?;
    let same = outputs[0] == y[0] && of[..2] == x[..2] && outputs[1..] == x[2..];
    same.then_some(of[2])
}

/// The fused product that computes `y`, where such a chain of ops does.
fn product_of(chain: &Chain<'_>, y: Var) -> Option<Fusion> {
    let end = y;
    let (activation, y) = match chain.part::<Unary>(y) {
        Some((f, x)) if f.pieces().is_some() => (Some(*f), x[0]),
        _ => (None, y),
    };
    if let Some((Binary::Add, x)) = chain.part::<Binary>(y) {
        let either = [(x[0], x[1]), (x[1], x[0])];
        return either.into_iter().find_map(|(of, other)| shifted(chain, (of, end), Some(other), activation));
    }
    shifted(chain, (y, end), None, activation)
}

/// A product, biased, normalised or bare, and what comes after it.
fn shifted(
    chain: &Chain<'_>,
    (y, end): (Var, Var),
    residual: Option<Var>,
    activation: Option<Unary>,
) -> Option<Fusion> {
    let (shift, y, of_shift) = match (chain.part::<AddBias>(y), chain.part::<BatchNormEval>(y)) {
        (Some((_, x)), _) => (Shift::Bias, x[0], &x[1..]),
        (_, Some((norm, x))) => (Shift::BatchNorm { eps: norm.eps }, x[0], &x[1..]),
        _ => (Shift::None, y, &[][..]),
    };
    let epilogue = Epilogue { shift, residual: residual.is_some(), activation };
    if epilogue == Epilogue::NOTHING {
        return None;
    }
    let (op, x) = product::<MatMul>(chain, y, epilogue).or_else(|| product::<Conv2d>(chain, y, epilogue))?;
    let inputs = x.iter().chain(of_shift).copied().chain(residual).collect();
    Some(Fusion { op, inputs, outputs: vec![end], begins: y })
}

/// The product, unless the variant that the schedule runs is one that nothing can follow in registers: who chose it wants
/// it more than the pass that a fusion saves.
fn product<'a, P: Product>(chain: &Chain<'a>, y: Var, epilogue: Epilogue<Unary>) -> Option<(Arc<dyn Op>, &'a [Var])> {
    let (product, x) = chain.part::<P>(y)?;
    let can_end = product.can_end(chain.variant(product, x));
    can_end.then(|| (Arc::new(Fused { product: product.clone(), epilogue }) as Arc<dyn Op>, x))
}

/// Named cases of products with an epilogue: each kind of ending over each store of the kernels.
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
        conv2d("3x3, whole blocks, batch norm, relu", [2, 16, 7, 8], [66, 16, 3, 3], plain(1, 1), norm(false, relu)),
        conv2d("3x3, whole blocks, all, a long sum", [2, 128, 5, 5], [6, 128, 3, 3], plain(1, 1), norm(true, relu)),
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
        matmul("matmul, f16, bias, gelu", (13, 31, 17), true, bias(Some(exact))).halved(&[0, 1]),
        matmul("matmul, f16, whole vec4, residual, relu", (12, 8, 20), false, bare(true, relu)).halved(&[0, 1]),
        matmul("matmul, f16, bias, silu, a long sum", (6, 8, 1108), true, bias(Some(Unary::Silu))).halved(&[0, 1]),
        rounded("matmul, f16 to f16, bias, residual", (13, 31, 17), true, Epilogue { activation: None, ..whole })
            .halved(&[0, 1, 3]),
        rounded("matmul, f16 to f16, whole vec4, bias, gelu", (12, 8, 20), true, bias(Some(exact))).halved(&[0, 1]),
        rounded("matmul, f16 to f16, bias, residual, a long sum", (6, 8, 1108), true, whole).halved(&[0, 1, 3]),
        conv2d("f16, 3x3, all", [2, 3, 6, 5], [7, 3, 3, 3], plain(1, 1), norm(true, relu)).halved(&[0, 1]),
        conv2d("f16 to f16, 3x3, all", [2, 3, 6, 5], [7, 3, 3, 3], plain(1, 1).rounded(), norm(true, relu))
            .halved(&[0, 1, 6]),
        conv2d(
            "f16 to f16, odd planes, batch norm, relu",
            [2, 3, 7, 5],
            [7, 3, 3, 3],
            plain(1, 1).rounded(),
            norm(false, relu),
        )
        .halved(&[0, 1]),
        conv2d("f16 to f16, all, a long sum", [2, 130, 5, 5], [3, 130, 3, 3], plain(1, 1).rounded(), norm(true, relu))
            .halved(&[0, 1, 6]),
        conv2d("f16, 3x3 stride 2, bias, gelu", [2, 3, 7, 8], [5, 3, 3, 3], plain(2, 1), bias(Some(exact)))
            .halved(&[0, 1]),
    ]
}

/// A product of `z` pairs of matrices.
fn of_batch(name: &'static str, z: usize, (m, n, k): (usize, usize, usize), epilogue: Epilogue<Unary>) -> Case {
    let x = [Type::f32([z, m, k]), Type::f32([z, k, n])];
    let product = MatMul::new(false, false);
    case(name, Fused { product, epilogue }, x, (n, Type::f32([z, m, n])))
}

fn matmul(name: &'static str, (m, n, k): (usize, usize, usize), trans_b: bool, epilogue: Epilogue<Unary>) -> Case {
    let x = [Type::f32([m, k]), Type::f32(if trans_b { [n, k] } else { [k, n] })];
    case(name, Fused { product: MatMul::new(false, trans_b), epilogue }, x, (n, Type::f32([m, n])))
}

/// As `matmul`, with a result in f16: its operands, and a residual, are to be halved.
fn rounded(name: &'static str, (m, n, k): (usize, usize, usize), trans_b: bool, epilogue: Epilogue<Unary>) -> Case {
    let product = MatMul::new(false, trans_b).rounded();
    let x = [Type::f32([m, k]), Type::f32(if trans_b { [n, k] } else { [k, n] })];
    case(name, Fused { product, epilogue }, x, (n, Type::f32([m, n])))
}

fn conv2d(name: &'static str, x: [usize; 4], w: [usize; 4], product: Conv2d, epilogue: Epilogue<Unary>) -> Case {
    let (stride, padding) = (product.stride as usize, product.padding as usize);
    let out = |i: usize| (x[i] + 2 * padding - w[i]) / stride + 1;
    let y = Type::f32([x[0], w[0], out(2), out(3)]);
    case(name, Fused { product, epilogue }, [Type::f32(x), Type::f32(w)], (w[0], y))
}

fn case<P: Product>(name: &'static str, op: Fused<P, Unary>, x: [Type; 2], (channels, y): (usize, Type)) -> Case {
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
            product: MatMul::new(false, false),
            epilogue: Epilogue { shift, residual, activation },
        };
        let (a, b) = (Type::f32([3, 4]), Type::f32([4, 5]));
        let wrong = |op: Fused<MatMul, Unary>, x: &[Type]| op.infer(x).unwrap_err().to_string();
        assert!(wrong(op(Shift::Bias, false, None), &[a, b]).contains("takes 3"));
        assert!(wrong(op(Shift::Bias, false, None), &[a, b, Type::f32([3])]).contains("each channel"));
        assert!(wrong(op(Shift::None, true, None), &[a, b, a]).contains("must be F32 [3, 5]"));
        assert!(wrong(op(Shift::None, false, Some(Unary::Exp)), &[a, b]).contains("Exp"));
        assert_eq!(op(Shift::Bias, false, None).infer(&[a, b, Type::f32([5])]).unwrap(), [Type::f32([3, 5])]);
    }
}
