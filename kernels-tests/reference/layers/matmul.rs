//! matmul: c[z, m, n] = Σ_k a[z, m, k]·b[z, k, n]. Either operand may be given transposed. A plain matrix is a batch of
//! one.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::matmul::MatMul;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let MatMul { trans_a, trans_b, .. } = *cast::<MatMul>(op);
    let last = |t: &Tensor, back: usize| t.dim(t.shape.rank() - back);
    let (m, k) = if trans_a { (last(&x[0], 1), last(&x[0], 2)) } else { (last(&x[0], 2), last(&x[0], 1)) };
    let n = last(&x[1], if trans_b { 2 } else { 1 });
    let batch = x[0].f.len() / (m * k);
    let a = |z: usize, i: usize, p: usize| x[0].f[z * m * k + if trans_a { p * m + i } else { i * k + p }];
    let b = |z: usize, p: usize, j: usize| x[1].f[z * k * n + if trans_b { j * k + p } else { p * n + j }];
    let mut c = Vec::with_capacity(batch * m * n);
    for at in 0..batch * m * n {
        let (z, i, j) = (at / (m * n), at / n % m, at % n);
        let (mut sum, mut terms) = (0.0, 0.0);
        for p in 0..k {
            let t = a(z, i, p) * b(z, p, j);
            sum += t;
            terms += t.abs();
        }
        c.push((sum, terms));
    }
    Answer::new(vec![Expected::sums(c, k)]).gradient(&[0, 1], &[0])
}
