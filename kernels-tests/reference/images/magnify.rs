//! magnify: the centre H/m × W/m pixels of each plane through torch's antialiased bilinear weights, in f64.

use crate::reference::crop_resize::weights;
use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::magnify::Magnify;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<Magnify>(op);
    let ([n, c, h, w], [oh, ow]) = ([0, 1, 2, 3].map(|i| x[0].dim(i)), op.out.map(|v| v as usize));
    let (mut pairs, mut most) = (Vec::new(), 1);
    for m in &op.magnifications {
        let seen = |n: usize| ((n as f64 / f64::from(*m)).round() as usize).clamp(1, n);
        let (high, wide) = (seen(h), seen(w));
        let (top, left) = ((h - high) / 2, (w - wide) / 2);
        for at in 0..n * c * oh * ow {
            let (plane, i, j) = (at / (oh * ow), at / ow % oh, at % ow);
            let ((y0, down), (x0, across)) = (weights(i, high, oh), weights(j, wide, ow));
            most = most.max(down.len() * across.len());
            let (mut value, mut brightest) = (0.0, 0.0f64);
            for (dy, wy) in down.iter().enumerate() {
                for (dx, wx) in across.iter().enumerate() {
                    let v = x[0].f[(plane * h + top + y0 + dy) * w + left + x0 + dx];
                    value += wy * wx * v;
                    brightest = brightest.max(v.abs());
                }
            }
            // The precision of a position is that of f32 at the side of the crop. A weight is as precise as its
            // position.
            pairs.push((value, brightest * (1.0 + (high + wide) as f64 / 2.0)));
        }
    }
    Answer::new(vec![Expected::sums(pairs, most).ulps(2.5)])
}
