//! epilogue, the products of fuse.rs: y = f(s(c) + residual) of each element of a product c. The references of the
//! parts run one after the other, and each passes its errors on to the next.

use crate::reference::{Answer, Expected, HALF_ULP, Tensor, batch_norm, cast, conv2d, matmul, unary};
use std::any::Any;
use wgslab::base::Shape;
use wgslab::kernels::batch_norm::BatchNormEval;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::kernels::epilogue::{Epilogue, Fused, Shift};
use wgslab::kernels::matmul::MatMul;
use wgslab::kernels::unary::Unary;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    if let Some(Fused { product, epilogue }) = any.downcast_ref::<Fused<Conv2d, Unary>>() {
        let of_product = conv2d::reference(product, &x[..2]);
        let mut answer = Answer::new(end(*epilogue, &of_product.outputs, channels_second(x), &x[2..]));
        if !of_product.other_terms.is_empty() {
            answer.other_terms = conv2d::winograd_of(winograd::<2>, winograd::<4>);
        }
        return answer;
    }
    let Fused { product, epilogue } = cast::<Fused<MatMul, Unary>>(op);
    // The columns are the channels. Each row of each matrix of a batch is an image.
    let n = x[1].dim(x[1].shape.rank() - if product.trans_b { 2 } else { 1 });
    let c = matmul::reference(product, &x[..2]).outputs;
    let outer = [c[0].len() / n, n];
    Answer::new(end(*epilogue, &c, outer, &x[2..]))
}

fn winograd<const M: usize>(op: &dyn Op, x: &[Tensor]) -> Vec<Expected> {
    let Fused { product, epilogue } = cast::<Fused<Conv2d, Unary>>(op);
    end(*epilogue, &conv2d::winograd::<M>(product, &x[..2]), channels_second(x), &x[2..])
}

/// Images and channels of a convolution's output.
fn channels_second(x: &[Tensor]) -> [usize; 2] {
    [x[0].dim(0), x[1].dim(0)]
}

/// Values, each with its error in units of 2⁻²⁴.
pub type Values = Vec<(f64, f64)>;

/// Values of an output with their errors.
pub fn values(e: &Expected) -> Values {
    let Expected::Floats { value, terms, length, ulps } = e else { return Vec::new() };
    let scale = 4.0 * (*length as f64).sqrt().max(1.0) + 2.0 * ulps;
    value.iter().zip(terms).map(|(v, t)| (*v, scale * t)).collect()
}

/// Applies the ending to a product of [images, channels, plane] elements.
fn end(epilogue: Epilogue<Unary>, c: &[Expected], [images, channels]: [usize; 2], more: &[Tensor]) -> Vec<Expected> {
    let mut y = values(&c[0]);
    let plane = y.len() / (images * channels);
    let channel = |i: usize| i / plane % channels;
    match epilogue.shift {
        Shift::None => {}
        Shift::Bias => y.iter_mut().enumerate().for_each(|(i, v)| *v = plus(*v, more[0].f[channel(i)])),
        Shift::BatchNorm { eps } => {
            let c = Tensor {
                shape: Shape::new(&[images, channels, 1, plane]),
                f: y.iter().map(|v| v.0).collect(),
                u: Vec::new(),
            };
            let all: Vec<Tensor> = std::iter::once(&c).chain(&more[..4]).cloned().collect();
            let normalised = batch_norm::reference(&BatchNormEval { eps }, &all).outputs;
            let scale = |i: usize| more[0].f[channel(i)] / (more[3].f[channel(i)] + eps as f64).sqrt();
            let through = |(i, (v, error)): (usize, (f64, f64))| (v, error + y[i].1 * scale(i).abs());
            y = values(&normalised[0]).into_iter().enumerate().map(through).collect();
        }
    }
    if epilogue.residual {
        let residual = &more[more.len() - 1].f;
        y.iter_mut().zip(residual).for_each(|(v, r)| *v = plus(*v, *r));
    }
    if let Some(f) = epilogue.activation {
        let z = Tensor { shape: Shape::new(&[y.len()]), f: y.iter().map(|v| v.0).collect(), u: Vec::new() };
        let after = unary::reference(&f, &[z]).outputs;
        y = values(&after[0]).into_iter().zip(&y).map(|((v, own), z)| (v, own + slope(f) * z.1)).collect();
    }
    vec![Expected::within(y)]
}

/// Adds and counts one rounding more.
pub fn plus((v, error): (f64, f64), other: f64) -> (f64, f64) {
    (v + other, error * (1.0 + HALF_ULP) + (v + other).abs())
}

/// The steepest slope of an activation, by which it scales an error.
fn slope(f: Unary) -> f64 {
    match f {
        Unary::Relu | Unary::Tanh => 1.0,
        Unary::Gelu(_) => 1.13,
        Unary::Silu => 1.1,
        Unary::Sigmoid => 0.25,
        f => panic!("no product ends in {f:?}"),
    }
}
