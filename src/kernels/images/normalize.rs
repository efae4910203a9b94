//! normalize: y = (x − mean) / std, channel by channel, of images x [B, C, H, W] with C at most 3.
//! There is no gradient towards images. Shaders: shaders/images/normalize/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = (x − mean) / std.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Normalize {
    /// The mean of each channel; those past C do nothing.
    pub mean: [f32; 3],
    /// The standard deviation of each channel.
    pub std: [f32; 3],
}

params! {
    struct Params {
        vectors: u32, plane: u32, channels: u32,
        mean_0: f32, mean_1: f32, mean_2: f32, std_0: f32, std_1: f32, std_2: f32,
    }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("images/normalize/forward.wgsl")];

impl Tape {
    /// (x − mean) / std per channel.
    pub fn normalize(&mut self, x: Var, mean: [f32; 3], std: [f32; 3]) -> Result<Var> {
        self.apply1(Normalize { mean, std }, &[x])
    }
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("normalize", "x", DType::F32)?;
        let [_, channels, ..] = x[0].shape.nchw("normalize", "x")?;
        if channels > 3 {
            return Err(Error::shape("normalize", format!("x is {}; it may have at most 3 channels", x[0].shape)));
        }
        if let Some(s) = self.std[..channels].iter().find(|s| s.is_nan() || **s <= 0.0) {
            return Err(Error::shape("normalize", format!("a std is {s}; it must be above 0")));
        }
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [_, channels, height, width] = e.x[0].shape.nchw("normalize", "x")?;
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let ([mean_0, mean_1, mean_2], [std_0, std_1, std_2]) = (self.mean, self.std);
        let (plane, channels) = ((height * width) as u32, channels as u32);
        let params = Params { vectors, plane, channels, mean_0, mean_1, mean_2, std_0, std_1, std_2 };
        let whole = u32::from(plane % 4 == 0);
        let kernel = Kernel::new("normalize.forward", "portable", FORWARD).with("WHOLE", whole);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 2 * y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: [usize; 4]| {
        let op = Normalize { mean: [0.49, 0.48, 0.44], std: [0.25, 0.24, 0.26] };
        Case::new(name, op, vec![(Type::f32(shape), Fill::Uniform(0.0, 1.0))])
    };
    vec![
        case("one", [1, 1, 1, 1]),
        case("gray", [3, 1, 7, 11]),
        case("colour, odd planes", [5, 3, 7, 13]),
        case("a workgroup and more", [2, 3, 16, 16]),
    ]
}
