//! merge_statistics: mean = Σ n_s·mean_s/n and variance = Σ n_s·(variance_s + (mean_s − mean)²)/n of parts of n_s
//! elements, n = Σ n_s (Chan et al. 1979, eq. 2.1). dmean_s = n_s/n·(dmean + 2·dvariance·(mean_s − mean)),
//! dvariance_s = n_s/n·dvariance. Shaders: shaders/layers/merge_statistics/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// means [S, C], biased variances [S, C], counts [S] -> (mean [C], biased variance [C]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MergeStatistics;

/// (dmeans, dvariances) from (means, counts, mean, dmean, dvariance).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct MergeStatisticsGrad;

params! {
    struct Params { parts: u32, channels: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/merge_statistics/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/merge_statistics/grad.wgsl")];

impl Tape {
    /// The mean and the biased variance [C] of all elements of S parts, from those of each part f32 [S, C] and how many
    /// elements (or the sum of their weights) each has, f32 [S]. The counts have no gradient; parts that together count
    /// nothing have mean 0 and variance 0. With it sub-batches have running statistics, and parts of a batch on several
    /// devices the statistics of all: see [`crate::kernels::batch_norm`].
    pub fn merge_statistics(&mut self, means: Var, variances: Var, counts: Var) -> Result<[Var; 2]> {
        let out = self.apply(MergeStatistics, &[means, variances, counts])?;
        Ok([out[0], out[1]])
    }
}

impl Op for MergeStatistics {
    fn name(&self) -> &'static str {
        "merge_statistics"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("merge_statistics", "means", DType::F32)?;
        let [parts, channels] = x[0].shape.matrix("merge_statistics", "means")?;
        if x[1] != x[0] {
            let need = "they must be equal and F32";
            return Err(Error::shapes("merge_statistics", ("means", x[0].shape), ("variances", x[1].shape), need));
        }
        if x[2] != Type::f32([parts]) {
            let need = "they must be F32 and have one element for each part";
            return Err(Error::shapes("merge_statistics", ("means", x[0].shape), ("counts", x[2].shape), need));
        }
        Ok(vec![Type::f32([channels]), Type::f32([channels])])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [parts, channels] = e.x[0].shape.matrix("merge_statistics", "means")?;
        let params = Params { parts: parts as u32, channels: channels as u32 };
        let kernel = Kernel::new("merge_statistics.forward", "portable", FORWARD);
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0), Slot::Out(1)];
        e.launch(kernel, &buffers, &params, groups_1d(channels.div_ceil(64)));
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let mut inputs = vec![x[0], x[2], y[0]];
        for (dy, y) in dy.iter().zip(y) {
            let shape = t.shape(*y);
            inputs.push(dy.map_or_else(|| t.fill(shape, 0.0), Ok)?);
        }
        let g = t.apply(MergeStatisticsGrad, &inputs)?;
        Ok(vec![Some(g[0]), Some(g[1]), None])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 7 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for MergeStatisticsGrad {
    fn name(&self) -> &'static str {
        "merge_statistics.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [parts, channels] = e.x[0].shape.matrix("merge_statistics", "means")?;
        let params = Params { parts: parts as u32, channels: channels as u32 };
        let buffers: Vec<Slot> = (0..5).map(Slot::In).chain([0, 1].map(Slot::Out)).collect();
        let kernel = Kernel::new("merge_statistics.grad", "portable", GRAD);
        e.launch(kernel, &buffers, &params, groups_1d((parts * channels).div_ceil(64)));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 6 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, parts: usize, channels: usize, counts: Vec<f32>| {
        let each = Type::f32([parts, channels]);
        let counts = (Type::f32([parts]), Fill::Values(counts));
        Case::new(name, MergeStatistics, vec![(each, Fill::Normal), (each, Fill::Uniform(0.5, 1.5)), counts])
    };
    vec![
        case("one part", 1, 1, vec![3.0]),
        case("unequal parts", 3, 7, vec![5.0, 1.0, 300.0]),
        case("a part that counts nothing", 5, 65, vec![2.0, 0.0, 7.0]),
        case("nothing counts", 2, 5, vec![0.0]),
    ]
}
