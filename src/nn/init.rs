//! Parameters: named while a model is recorded, filled once before the first step. A parameter's values depend on the
//! seed and its name alone, so a model's other parts, or the order they are recorded in, do not change it.

use super::micro::Micro;
use crate::base::hash::Hasher;
use crate::base::rng::Rng;
use crate::base::{Error, Result, Shape};
use crate::device::Gpu;
use crate::tape::demand::{Misfit, padded, size};
use crate::tape::{State, Tape, Type, Var};

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with σ = √(2 / fan_out), fan_out = K·R·S: He et al. 2015 (arXiv 1502.01852), torchvision's for ResNet.
    KaimingNormalFanOut,
    /// Uniform in ±1/√fan_in: PyTorch's default for linear layers, weight and bias.
    UniformFanIn(usize),
    /// Of a matrix [K, D]: uniform in ±√(6 / (K + D)) (Glorot & Bengio 2010, eq. 16).
    XavierUniform,
    /// Normal with this σ.
    Normal(f32),
    /// Rows of length 1 in directions drawn evenly.
    UnitRows,
    /// Of positions [1, T, D], 4 a divisor of D, of a class token and patches in a grid of so many columns: zeros for the token;
    /// the sines, then the cosines, of column / 10000^(4i/D) for i from 0 to D/4 − 1, then of the row (He et al. 2021, arXiv
    /// 2111.06377, the authors' code).
    SineCosine {
        /// Patches side by side.
        columns: usize,
    },
    /// All ones.
    Ones,
    /// All zeros.
    Zeros,
}

/// A named tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name in the state, for instance `backbone.layer1.0.conv1.weight`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// How it begins.
    pub init: Init,
    /// Whether a gradient moves it; running statistics are not trained.
    pub trained: bool,
    /// Whose it is; "" where there is one player.
    pub player: &'static str,
    /// The parameter whose initial value it copies, where it has none of its own.
    pub copy_of: Option<String>,
}

/// The stream of the generator that parameters are drawn from.
const STREAM: u32 = 0x696e_6974; // "init"

/// The parameters of a recording.
///
/// ```
/// use wgslab::nn::{Init, Params};
/// use wgslab::tape::{State, Tape};
///
/// # let Some(gpu) = wgslab::lab::check::gpu_or_skip()? else { return Ok(()) };
/// let (mut t, mut params, mut state) = (Tape::new(), Params::new(), State::new());
/// params.weight(&mut t, "head.weight", [10, 64], Init::UniformFanIn(64))?;
/// params.statistic(&mut t, "head.seen", [10], Init::Zeros)?; // no gradient moves it
/// assert_eq!(params.trained(), ["head.weight"]);
/// params.fill(&gpu, &mut state, 1)?; // the seed; the same one gives the same bits
/// assert!(state.read_f32(&gpu, "head.weight")?.iter().all(|w| w.abs() <= 0.125)); // 1/√64
/// # Ok::<(), wgslab::base::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Params {
    list: Vec<Param>,
    playing: Playing,
    /// The pass of a step in micro-batches that is recorded; none of a step that is recorded whole.
    pub micro: Option<Micro>,
}

/// Whose parameters are being named, and whose first values they copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Playing {
    player: &'static str,
    copy_of: Option<&'static str>,
}

impl Params {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a trained parameter and reads it. A name that is known is what it was when it was named first, a statistic for
    /// instance.
    pub fn weight(&mut self, t: &mut Tape, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Var> {
        self.named(t, name, shape.into(), init, true)
    }

    /// Names a statistic that steps move by assignment, and reads it.
    pub fn statistic(&mut self, t: &mut Tape, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Var> {
        self.named(t, name, shape.into(), init, false)
    }

    fn named(&mut self, t: &mut Tape, name: &str, shape: Shape, init: Init, trained: bool) -> Result<Var> {
        let ty = Type::f32(shape);
        let Playing { player, copy_of } = self.playing;
        if let Some(known) = self.list.iter().find(|p| p.name == name) {
            if known.player != player {
                let whose =
                    |p: &str| if p.is_empty() { "the player without a name".to_string() } else { p.to_string() };
                return Err(Error::Failed(format!(
                    "parameter {name} belongs to {} and is named by {} too; name it with Recorder::named, which puts the \
                     player before it",
                    whose(known.player),
                    whose(player)
                )));
            }
            return t.state(name, ty);
        }
        let copy_of = copy_of.map(|from| self.original(name, player, from, ty)).transpose()?;
        self.list.push(Param { name: name.to_string(), ty, init, trained, player, copy_of });
        t.state(name, ty)
    }

    /// The name of the parameter of the player `from` that `name` of `player` begins as a copy of.
    fn original(&self, name: &str, player: &str, from: &str, ty: Type) -> Result<String> {
        let bare = name.strip_prefix(player).and_then(|n| n.strip_prefix('.')).unwrap_or(name);
        let original = if from.is_empty() { bare.to_string() } else { format!("{from}.{bare}") };
        match self.list.iter().find(|p| p.name == original) {
            Some(p) if p.ty == ty => Ok(original),
            Some(p) => Err(Error::Failed(format!("{name} {ty} cannot begin as a copy of {original} {}", p.ty))),
            None => Err(Error::Failed(format!(
                "{name} begins as a copy of {original}, which is not recorded; record the original player first"
            ))),
        }
    }

    /// From here on parameters are named by `player`, with first values copied from those of `copy_of` if given. Returns
    /// what held before, for [`Params::resume`].
    pub fn play(&mut self, player: &'static str, copy_of: Option<&'static str>) -> Playing {
        std::mem::replace(&mut self.playing, Playing { player, copy_of })
    }

    /// Ends a [`Params::play`].
    pub fn resume(&mut self, before: Playing) {
        self.playing = before;
    }

    /// `name` with the current player before it: `teacher.backbone.`.
    pub fn named_by_player(&self, name: &str) -> String {
        match self.playing.player {
            "" => name.to_string(),
            player => format!("{player}.{name}"),
        }
    }

    /// Names of the trained ones of these players, in order.
    pub fn trained_by(&self, players: &[&str]) -> Vec<String> {
        let theirs = self.list.iter().filter(|p| p.trained && players.contains(&p.player));
        theirs.map(|p| p.name.clone()).collect()
    }

    /// All of them, in the order they were named.
    pub fn list(&self) -> &[Param] {
        &self.list
    }

    /// Names of the trained ones, in order.
    pub fn trained(&self) -> Vec<String> {
        self.list.iter().filter(|p| p.trained).map(|p| p.name.clone()).collect()
    }

    /// Why they cannot be trained on the device, each with a gradient and `moments` more tensors of its size, and which
    /// of them is the largest; none where nothing speaks against it yet. Known from types alone, before any is filled.
    pub fn misfit(&self, gpu: &Gpu, moments: u64) -> Option<(&Param, Misfit)> {
        let largest = self.list.iter().max_by_key(|p| p.ty.bytes())?;
        let (bytes, limit) = (padded(largest.ty.bytes()), gpu.caps().binding_bytes);
        if bytes > limit {
            let (name, bytes, limit) = (&largest.name, size(bytes), size(limit));
            let what =
                format!("{name} {} takes {bytes}, and the adapter binds at most {limit} in one buffer", largest.ty);
            return Some((largest, Misfit::Limit(what)));
        }
        let copies = |p: &Param| if p.trained { 2 + moments } else { 1 };
        let need = self.list.iter().map(|p| copies(p) * padded(p.ty.bytes())).sum::<u64>();
        let budget = gpu.options().memory_budget_bytes.filter(|&budget| need > budget)?;
        let (need, budget, bytes) = (size(need), size(budget), size(bytes));
        Some((
            largest,
            Misfit::Budget(format!(
                "the weights with their gradients and the optimizer's moments take {need}, {} alone {bytes}, and the \
                 budget is {budget} (--memory-budget sets it)",
                largest.name
            )),
        ))
    }

    /// Fills those that `state` lacks.
    pub fn fill(&self, gpu: &Gpu, state: &mut State, seed: u64) -> Result<()> {
        for p in &self.list {
            match state.ty(&p.name) {
                None => {
                    // What its original holds: weights that were brought are copied, too.
                    if let Some(from) = p.copy_of.as_ref().filter(|from| state.ty(from) == Some(p.ty)) {
                        let bytes = state.read(gpu, from)?;
                        state.insert(gpu, &p.name, p.ty, Some(&bytes))?;
                        continue;
                    }
                    let room = Vec::<f32>::new().try_reserve_exact(p.ty.shape.numel());
                    room.map_err(|_| {
                        Error::Failed(format!("no memory to draw {} {}; use a smaller model", p.name, p.ty))
                    })?;
                    state.insert(gpu, &p.name, p.ty, Some(bytemuck::cast_slice(&values(p, seed))))?;
                }
                Some(ty) if ty != p.ty => {
                    let what = format!("the checkpoint holds {} as {ty} and the model needs {}", p.name, p.ty);
                    return Err(Error::Data(format!("{what}; width, stem or channels differ")));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The first values of a parameter; of a copy, those of its original.
pub fn values(p: &Param, seed: u64) -> Vec<f32> {
    let n = p.ty.shape.numel();
    let address = Hasher::new().part(p.copy_of.as_ref().unwrap_or(&p.name)).hex();
    let counter = u64::from_str_radix(&address[..16], 16).unwrap_or(0); // 16 hex digits always parse
    let mut rng = Rng::new(seed, STREAM, counter);
    match p.init {
        Init::Ones => vec![1.0; n],
        Init::Zeros => vec![0.0; n],
        Init::UniformFanIn(fan_in) => {
            let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
            (0..n).map(|_| bound * (2.0 * rng.uniform() - 1.0)).collect()
        }
        Init::XavierUniform => {
            let sides: u32 = p.ty.shape.dims().iter().sum();
            let bound = (6.0 / sides.max(1) as f32).sqrt();
            (0..n).map(|_| bound * (2.0 * rng.uniform() - 1.0)).collect()
        }
        Init::SineCosine { columns } => sine_cosine(n, p.ty.shape.dims().last().map_or(1, |&d| d as usize), columns),
        Init::Normal(std) => (0..n).map(|_| std * rng.normal()).collect(),
        Init::UnitRows => {
            let row = p.ty.shape.dims().last().map_or(1, |&d| d as usize).max(1);
            let mut all: Vec<f32> = (0..n).map(|_| rng.normal()).collect();
            for row in all.chunks_mut(row) {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter_mut().for_each(|x| *x /= length);
            }
            all
        }
        Init::KaimingNormalFanOut => {
            let fan_out = n / p.ty.shape.dims().get(1).map_or(1, |&d| d as usize).max(1);
            let std = (2.0 / fan_out.max(1) as f32).sqrt();
            (0..n).map(|_| std * rng.normal()).collect()
        }
    }
}

/// The `n` values of [`Init::SineCosine`] for tokens of so many dimensions.
fn sine_cosine(n: usize, width: usize, columns: usize) -> Vec<f32> {
    let (waves, columns) = (width / 4, columns.max(1));
    let mut all = vec![0.0; n];
    for (patch, row) in all.chunks_exact_mut(width.max(1)).skip(1).enumerate() {
        for (half, at) in [patch % columns, patch / columns].into_iter().enumerate() {
            for i in 0..waves {
                let angle = at as f64 / 10_000f64.powf(i as f64 / waves as f64);
                row[2 * half * waves + i] = angle.sin() as f32;
                row[(2 * half + 1) * waves + i] = angle.cos() as f32;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_stated_spread_and_follow_the_name() {
        let ty = Type::f32([64, 32, 3, 3]);
        let p = |name: &str, init| Param { name: name.into(), ty, init, trained: true, player: "", copy_of: None };
        let v = values(&p("a", Init::KaimingNormalFanOut), 1);
        let std = (v.iter().map(|x| x * x).sum::<f32>() / v.len() as f32).sqrt();
        assert!((std / (2.0f32 / (64.0 * 9.0)).sqrt() - 1.0).abs() < 0.03, "{std}");
        assert_ne!(v, values(&p("b", Init::KaimingNormalFanOut), 1));
        assert_ne!(v, values(&p("a", Init::KaimingNormalFanOut), 2));
        assert_eq!(v, values(&p("a", Init::KaimingNormalFanOut), 1));
        let rows = values(&p("a", Init::UnitRows), 1);
        assert!(rows.chunks(3).all(|r| (r.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5));
        assert!(values(&p("a", Init::UniformFanIn(25)), 1).iter().all(|x| x.abs() <= 0.2));
        let matrix = Param { ty: Type::f32([40, 56]), ..p("a", Init::XavierUniform) };
        let v = values(&matrix, 1);
        let largest = v.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!((0.24..=0.25).contains(&largest), "√(6/96) is 0.25: {largest}");
    }
}
