//! Random cases of the ops that are matrix products.

use std::any::Any;
use wgslab::base::DType;
use wgslab::base::rng::Rng;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::epilogue::{Epilogue, Fused, Product, Shift};
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::unary::Unary;
use wgslab::kernels::{Case, Fill};
use wgslab::tape::Type;

/// One product in four is of halves.
fn dtype(rng: &mut Rng) -> DType {
    if rng.below(4) == 0 { DType::F16 } else { DType::F32 }
}

/// Half of the products of halves have a result of halves.
fn result(rng: &mut Rng, operands: DType) -> DType {
    if operands == DType::F16 && rng.below(2) == 0 { DType::F16 } else { DType::F32 }
}

/// Products of up to 16 × 16 × 40, plain or in batches, with all transposes. One in thirty is a plain product of f32 in
/// whole tiles of 128 × 128 × 16.
pub fn matmul(rng: &mut Rng) -> Case {
    let tiles = rng.below(30) == 0;
    let [m, n, k] = match tiles {
        true => [128, 128, 16].map(|tile| tile * (1 + rng.below(2))),
        false => [16, 16, 40].map(|most| 1 + rng.below(most)),
    };
    let op = MatMul::new(rng.below(2) == 0, rng.below(2) == 0);
    let (a, b) = (if op.trans_a { [k, m] } else { [m, k] }, if op.trans_b { [n, k] } else { [k, n] });
    let (z, dtype) = if tiles { (0, DType::F32) } else { (rng.below(4), dtype(rng)) }; // z = 0: no batch
    let op = MatMul { result: result(rng, dtype), ..op };
    let ty = |[rows, columns]: [usize; 2], z: usize| match z {
        0 => Type { shape: [rows, columns].into(), dtype },
        _ => Type { shape: [z, rows, columns].into(), dtype },
    };
    Case::new("random", op, vec![(ty(a, z), Fill::Normal), (ty(b, z), Fill::Normal)])
}

/// Convolutions of every stride, padding, dilation and grouping over small images. Windows and strides are part of a
/// kernel's text, so they come from a short list.
pub fn conv2d(rng: &mut Rng) -> Case {
    let (r, s, stride) = [(1, 1, 1), (1, 1, 2), (3, 3, 1), (3, 3, 2), (2, 3, 1)][rng.below(5)];
    let (dilation, padding) = (1 + rng.below(4) / 3, rng.below(3));
    let (reach_h, reach_w) = (dilation * (r - 1) + 1, dilation * (s - 1) + 1);
    let least = |reach: usize| reach.saturating_sub(2 * padding).max(1);
    let (h, w) = (least(reach_h) + rng.below(6), least(reach_w) + rng.below(6));
    let groups = if rng.below(3) == 0 { 1 + rng.below(3) } else { 1 };
    let [n, c, k] = [2, 5, 6].map(|most| 1 + rng.below(most));
    let dtype = dtype(rng);
    let x = Type { shape: [n, c * groups, h, w].into(), dtype };
    let weight = Type { shape: [k * groups, c, r, s].into(), dtype };
    let [stride, padding, dilation, groups] = [stride, padding, dilation, groups].map(|v| v as u32);
    let op = Conv2d { stride, padding, dilation, groups, result: result(rng, dtype) };
    Case::new("random", op, vec![(x, Fill::Normal), (weight, Fill::Normal)])
}

/// A drawn product with a batch norm, a residual and a relu, or with a bias. A batch of matrices, to which no recorded
/// op adds a shift, gets a residual and a relu. There are few endings, because the driver compiles a kernel for each.
pub fn epilogue(rng: &mut Rng) -> Case {
    let activation = Some(Unary::Relu);
    let whole = Epilogue { shift: Shift::BatchNorm { eps: 1e-5 }, residual: true, activation };
    let bias = Epilogue { shift: Shift::Bias, residual: false, activation: None };
    let ending = if rng.below(2) == 0 { whole } else { bias };
    if rng.below(2) == 0 {
        let case = matmul(rng);
        let op = MatMul { result: DType::F32, ..product_of(&case) };
        ended(case, op, ending)
    } else {
        let case = conv2d(rng);
        let op = Conv2d { result: DType::F32, ..product_of(&case) };
        ended(case, op, ending)
    }
}

/// The product of a case.
fn product_of<P: Product>(case: &Case) -> P {
    let op: &dyn Any = case.op.as_ref();
    op.downcast_ref::<P>().expect("a product of this type").clone()
}

/// The case with an ending and this product, in f32. Named cases and halves.rs test products of halves with endings.
fn ended<P: Product>(case: Case, product: P, epilogue: Epilogue<Unary>) -> Case {
    let mut inputs = case.inputs;
    for (ty, _) in &mut inputs {
        ty.dtype = DType::F32;
    }
    let y = product.infer(&[inputs[0].0, inputs[1].0]).expect("a drawn case is possible")[0];
    let batch = Epilogue { shift: Shift::None, residual: true, activation: Some(Unary::Relu) };
    let epilogue = if y.shape.rank() == 3 { batch } else { epilogue };
    let channels = Type::f32([y.shape.dim(1)]);
    let positive = Fill::Uniform(0.5, 1.5);
    match epilogue.shift {
        Shift::None => {}
        Shift::Bias => inputs.push((channels, Fill::Normal)),
        Shift::BatchNorm { .. } => {
            inputs.extend([positive.clone(), Fill::Normal, Fill::Normal, positive].map(|fill| (channels, fill)));
        }
    }
    inputs.extend(epilogue.residual.then_some((y, Fill::Normal)));
    Case::new("random", Fused { product, epilogue }, inputs)
}
