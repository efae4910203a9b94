//! The table of fusions: matmul or conv2d, then add_bias or batch_norm_eval, then an addition of the same shape, then an
//! activation become one product with an epilogue (epilogue.rs), whichever of the last three there are. It is passed to
//! the schedule, which names no op ([`Options::fuse`]); what a training step still needs of the parts, a pre-activation
//! whose gradient reads it, keeps them apart, and so does a product of cooperative matrices.

use crate::device::Caps;
use crate::kernels::add_bias::AddBias;
use crate::kernels::batch_norm::BatchNormEval;
use crate::kernels::binary::Binary;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::epilogue::{self, Epilogue, Fused, Product, Shift};
use crate::kernels::matmul::MatMul;
use crate::kernels::unary::Unary;
use crate::tape::rewrite::{Chain, Fusion};
use crate::tape::{Op, Options, Type, Var};
use std::sync::Arc;

/// The options of a schedule that fuses: the first variant of each op, buffers shared.
pub fn options(caps: &Caps) -> Options<'_> {
    Options { fuse: Some(fuse), ..Options::new(caps) }
}

/// The fused product that computes `y`, where such a chain of ops does.
pub fn fuse(chain: &Chain<'_>, y: Var) -> Option<Fusion> {
    let (activation, y) = match chain.part::<Unary>(y) {
        Some((f, x)) if f.pieces().is_some() => (Some(*f), x[0]),
        _ => (None, y),
    };
    if let Some((Binary::Add, x)) = chain.part::<Binary>(y) {
        let either = [(x[0], x[1]), (x[1], x[0])];
        return either.into_iter().find_map(|(of, other)| shifted(chain, of, Some(other), activation));
    }
    shifted(chain, y, None, activation)
}

/// A product, biased, normalised or bare, and what comes after it.
fn shifted(chain: &Chain<'_>, y: Var, residual: Option<Var>, activation: Option<Unary>) -> Option<Fusion> {
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
    Some(Fusion { op, inputs, begins: y })
}

/// The product, unless its best variant is one that nothing can follow in registers, one of cooperative matrices: those
/// save more than a pass costs.
fn product<'a, P: Product>(chain: &Chain<'a>, y: Var, epilogue: Epilogue) -> Option<(Arc<dyn Op>, &'a [Var])> {
    let (product, x) = chain.part::<P>(y)?;
    let types: Vec<Type> = x.iter().map(|&v| chain.ty(v)).collect();
    let first = product.variants(&types, chain.caps).first().copied();
    if first.is_some_and(|v| !epilogue::can_follow(v)) {
        return None;
    }
    Some((Arc::new(Fused { product: product.clone(), epilogue }), x))
}
