//! fill: one word in every element.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::DType;
use wgslab::kernels::fill::FillWith;
use wgslab::tape::Op;

pub fn reference(op: &dyn Op, _x: &[Tensor]) -> Answer {
    let op = cast::<FillWith>(op);
    let n = op.ty.shape.numel();
    Answer::new(vec![match op.ty.dtype {
        DType::F32 => Expected::exact(vec![f32::from_bits(op.word) as f64; n]),
        DType::F16 => panic!("fill has no f16 form"),
        DType::U32 => Expected::Words(vec![op.word; n]),
    }])
}
