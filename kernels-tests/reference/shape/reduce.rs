//! reduce: a loop over all elements. Each goes to the output at its coordinates without the reduced ones.

use crate::reference::slice::{coordinates, element};
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::reduce::{Reduce, Reduction};
use wgslab::tape::Op;

/// For each output the elements that it reduces, in row-major order.
fn terms(op: &Reduce, x: &Tensor) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = (0..x.shape.rank()).filter(|&a| !op.axes.contains(&(a as u32))).collect();
    let dims: Vec<u32> = kept.iter().map(|&a| x.shape.dims()[a]).collect();
    let mut terms = vec![Vec::new(); dims.iter().product::<u32>() as usize];
    for i in 0..x.f.len() {
        let c = coordinates(i, x.shape.dims());
        let c: Vec<usize> = kept.iter().map(|&a| c[a]).collect();
        terms[element(&c, &dims)].push(i);
    }
    terms
}

/// The place of the first of the largest elements.
fn most(x: &Tensor, terms: &[usize]) -> usize {
    (1..terms.len()).fold(0, |best, j| if x.f[terms[j]] > x.f[terms[best]] { j } else { best })
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Reduce>(op);
    let (x, terms) = (&x[0], terms(op, &x[0]));
    let n = terms[0].len();
    let sum = |t: &Vec<usize>| t.iter().map(|&i| x.f[i]).sum::<f64>();
    let size = |t: &Vec<usize>| t.iter().map(|&i| x.f[i].abs()).sum::<f64>();
    let over = |d: f64| terms.iter().map(|t| (sum(t) / d, size(t) / d)).collect::<Vec<_>>();
    let means = || Expected::sums(over(n as f64), n).ulps(1.0);
    let places: Vec<usize> = terms.iter().map(|t| most(x, t)).collect();
    let index = || Expected::Words(places.iter().map(|&j| j as u32).collect());
    match op.kind {
        Reduction::Sum => Answer::new(vec![Expected::sums(over(1.0), n)]).gradient(&[0], &[0]),
        Reduction::Mean => Answer::new(vec![means()]).gradient(&[0], &[0]),
        Reduction::Var { correction } => {
            let var = terms.iter().map(|t| {
                let mean = sum(t) / n as f64;
                t.iter().map(|&i| (x.f[i] - mean).powi(2)).sum::<f64>() / (n as u32 - correction) as f64
            });
            let var = Expected::sums(var.map(|v| (v, v)).collect(), n).ulps(3.0);
            Answer::new(vec![var, means()]).gradient(&[0], &[0])
        }
        Reduction::Max => {
            let picks: Vec<usize> = terms.iter().zip(&places).map(|(t, &j)| t[j]).collect();
            let y = Expected::exact(picks.iter().map(|&i| x.f[i]).collect());
            Answer::new(vec![y, index()]).gradient(&[0], &[0]).picks(picks)
        }
        Reduction::Argmax => Answer::new(vec![index()]),
    }
}
