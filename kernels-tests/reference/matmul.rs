//! matmul: c[m, n] = Σ_k a[m, k]·b[k, n], either operand given transposed.

use super::{Answer, Expected, Tensor, cast};
use wgslab::kernels::matmul::MatMul;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let MatMul { trans_a, trans_b } = *cast::<MatMul>(op);
    let (m, k) = if trans_a { (x[0].dim(1), x[0].dim(0)) } else { (x[0].dim(0), x[0].dim(1)) };
    let n = x[1].dim(if trans_b { 0 } else { 1 });
    let a = |i: usize, p: usize| x[0].f[if trans_a { p * m + i } else { i * k + p }];
    let b = |p: usize, j: usize| x[1].f[if trans_b { j * k + p } else { p * n + j }];
    let mut c = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let (mut sum, mut terms) = (0.0, 0.0);
            for p in 0..k {
                let t = a(i, p) * b(p, j);
                sum += t;
                terms += t.abs();
            }
            c.push((sum, terms));
        }
    }
    Answer::new(vec![Expected::sums(c, k)]).gradient(&[0, 1], &[0])
}
