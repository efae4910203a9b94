//! Parameters. A model names them while it is recorded, and they are filled once before the first step. The values of a
//! parameter depend only on the seed and on its name, so neither the model's other parts nor the order of recording
//! changes them.

use super::micro::Micro;
use super::precision::Precision;
use crate::base::hash::Hasher;
use crate::base::rng::Rng;
use crate::base::{Error, Result, Shape};
use crate::device::Gpu;
use crate::tape::demand::{Misfit, padded, size};
use crate::tape::{State, Tape, Type, Var};

/// The initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with σ = √(2 / fan_out), fan_out = K·R·S (He et al. 2015, arXiv 1502.01852). torchvision uses it for
    /// ResNets.
    KaimingNormalFanOut,
    /// Uniform in ±1/√fan_in: PyTorch's default for linear layers, weight and bias.
    UniformFanIn(usize),
    /// For a matrix [K, D]: uniform in ±√(6 / (K + D)) (Glorot & Bengio 2010, eq. 16).
    XavierUniform,
    /// Normal with mean 0 and this σ.
    Normal(f32),
    /// Each row has length 1 and a direction that is uniform on the sphere.
    UnitRows,
    /// For position embeddings [1, T, D] of a class token and T − 1 patches in a grid, D a multiple of 4. The class
    /// token gets zeros. A patch gets the sines, then the cosines, of column / 10000^(4i/D) for i from 0 to D/4 − 1,
    /// then the same of its row (He et al. 2021, arXiv 2111.06377, the authors' code).
    SineCosine {
        /// Columns of the grid.
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
    /// Its initial values.
    pub init: Init,
    /// Whether an optimizer moves it. Running statistics are not trained.
    pub trained: bool,
    /// The player that it belongs to; "" if there is one player.
    pub player: &'static str,
    /// The parameter whose initial values it copies; `None` if it has initial values of its own.
    pub copy_of: Option<String>,
}

/// The random stream that initial values are drawn from.
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
    /// Which pass of a step in micro-batches is recorded; `None` for a step that is recorded whole.
    pub micro: Option<Micro>,
    /// The elements of the backbone's activations, as [`super::Recorder::features`] records them.
    pub precision: Precision,
}

/// The player that names parameters, and the player whose initial values they copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Playing {
    player: &'static str,
    copy_of: Option<&'static str>,
}

impl Params {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list for a backbone whose activations are of `precision`.
    pub fn of(precision: Precision) -> Self {
        Params { precision, ..Self::default() }
    }

    /// Names a trained parameter (f32) and reads it. A name that is known already keeps its first meaning: a statistic
    /// stays a statistic. It is an error if another player named it.
    pub fn weight(&mut self, t: &mut Tape, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Var> {
        self.named(t, name, shape.into(), init, true)
    }

    /// Names a statistic (f32) that steps move by assignment, and reads it.
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

    /// The name of the parameter of the player `from` whose initial values the parameter `name` of `player` copies.
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

    /// From here on `player` names parameters. With `copy_of` their initial values are copies of that player's. Returns
    /// the setting before, for [`Params::resume`].
    pub fn play(&mut self, player: &'static str, copy_of: Option<&'static str>) -> Playing {
        std::mem::replace(&mut self.playing, Playing { player, copy_of })
    }

    /// Ends a [`Params::play`]: sets what it returned.
    pub fn resume(&mut self, before: Playing) {
        self.playing = before;
    }

    /// `name` with the current player's name before it: `teacher.backbone.`.
    pub fn named_by_player(&self, name: &str) -> String {
        match self.playing.player {
            "" => name.to_string(),
            player => format!("{player}.{name}"),
        }
    }

    /// Names of the trained parameters of these players, in the order they were named.
    pub fn trained_by(&self, players: &[&str]) -> Vec<String> {
        let theirs = self.list.iter().filter(|p| p.trained && players.contains(&p.player));
        theirs.map(|p| p.name.clone()).collect()
    }

    /// All parameters, in the order they were named.
    pub fn list(&self) -> &[Param] {
        &self.list
    }

    /// Names of all trained parameters, in the order they were named.
    pub fn trained(&self) -> Vec<String> {
        self.list.iter().filter(|p| p.trained).map(|p| p.name.clone()).collect()
    }

    /// Why the parameters cannot be trained on the device, and which of them is the largest. Each trained parameter
    /// needs a gradient and `moments` more tensors of its size. `None` if nothing speaks against it yet. Only types are
    /// needed, so this is known before any parameter is filled.
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

    /// Fills the parameters that `state` lacks. It is an error if `state` has one with another type, or if the memory
    /// does not suffice.
    pub fn fill(&self, gpu: &Gpu, state: &mut State, seed: u64) -> Result<()> {
        for p in &self.list {
            match state.ty(&p.name) {
                None => {
                    // It copies what its original holds now, which may be weights that people brought.
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

/// The initial values of a parameter, in row-major order. A copy gets the initial values of its original.
pub fn values(p: &Param, seed: u64) -> Vec<f32> {
    let n = p.ty.shape.numel();
    let address = Hasher::new().part(p.copy_of.as_ref().unwrap_or(&p.name)).hex();
    let counter = u64::from_str_radix(&address[..16], 16).unwrap_or(0); // 16 hex digits always parse
    let rng = Rng::new(seed, STREAM, counter);
    match p.init {
        Init::Ones => vec![1.0; n],
        Init::Zeros => vec![0.0; n],
        Init::UniformFanIn(fan_in) => {
            let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
            rng.uniforms(n).into_iter().map(|u| bound * (2.0 * u - 1.0)).collect()
        }
        Init::XavierUniform => {
            let sides: u32 = p.ty.shape.dims().iter().sum();
            let bound = (6.0 / sides.max(1) as f32).sqrt();
            rng.uniforms(n).into_iter().map(|u| bound * (2.0 * u - 1.0)).collect()
        }
        Init::SineCosine { columns } => sine_cosine(n, p.ty.shape.dims().last().map_or(1, |&d| d as usize), columns),
        Init::Normal(std) => rng.normals(n).into_iter().map(|v| std * v).collect(),
        Init::UnitRows => {
            let row = p.ty.shape.dims().last().map_or(1, |&d| d as usize).max(1);
            let mut all = rng.normals(n);
            for row in all.chunks_mut(row) {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter_mut().for_each(|x| *x /= length);
            }
            all
        }
        Init::KaimingNormalFanOut => {
            let fan_out = n / p.ty.shape.dims().get(1).map_or(1, |&d| d as usize).max(1);
            let std = (2.0 / fan_out.max(1) as f32).sqrt();
            rng.normals(n).into_iter().map(|v| std * v).collect()
        }
    }
}

/// The `n` values of [`Init::SineCosine`] for tokens of length `width`.
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
