//! loss_scale, as torch.amp.GradScaler: × ½ and count 0 after a bad step, × 2 and count 0 after `interval` good steps.

use crate::reference::{Answer, Expected, Tensor};
use std::any::Any;
use wgslab::kernels::loss_scale::{LossScale, Now, Step};
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let any: &dyn Any = op;
    let state = x[0].f[0];
    let begun = |op: &LossScale| if state == 0.0 { op.initial as f64 } else { state };
    match (any.downcast_ref::<Now>(), any.downcast_ref::<Step>()) {
        (Some(Now(op)), _) => Answer::new(vec![Expected::exact(vec![begun(op)])]),
        (_, Some(Step(op))) => {
            let good = x[1].f[0] + 1.0;
            let (scale, good) = match (x[2].u[0], good >= op.interval as f64) {
                (0, false) => (begun(op), good),
                (0, true) => ((2.0 * begun(op)).min(2.0f64.powi(100)), 0.0),
                _ => (begun(op) / 2.0, 0.0),
            };
            Answer::new(vec![Expected::exact(vec![scale]), Expected::exact(vec![good])])
        }
        _ => panic!("the reference does not know the op {op:?}"),
    }
}
