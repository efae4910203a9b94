//! Records and compiles the turns of a step for a stage.

use super::batches::Batches;
use super::fit::Sizes;
use super::session::Job;
use crate::base::{Error, Result};
use crate::kernels::ring::COLUMNS;
use crate::nn::init::Param;
use crate::nn::optimizer::{Group, Limits};
use crate::nn::recorder::{Loss, Recorder, Turn};
use crate::nn::{Model, Optimization, Params};
use crate::tape::{Program, State, Tape, Var};

/// The end of the name of a column that holds a guard's flag.
pub(super) const SKIPPED: &str = "skipped";

/// The plans of a turn.
pub(super) struct Plans {
    /// The plans of a step with a whole batch.
    pub whole: Program,
    /// The plans of the smaller last step, if there is one.
    pub rest: Option<Program>,
}

/// The name of the state that holds the metrics of a turn.
pub(super) fn ring_of(turn: &Turn) -> String {
    if turn.name.is_empty() { "metrics".to_string() } else { format!("metrics.{}", turn.name) }
}

/// A recorded turn.
pub(super) struct Recorded {
    pub turn: Turn,
    /// Its recordings in the order in which they run, each with how often it runs. Only in micro-batches there are
    /// several, or more than one run.
    pub tapes: Vec<(Tape, usize)>,
    /// The parameters of this turn and of the turns before it.
    pub params: Params,
    /// The names of the columns of its ring: the loss, its terms, further metrics, the guard's flag.
    pub columns: Vec<String>,
}

/// Checks the turns of a method. Each must have its own name, since ring, step count and moments are named after it,
/// and must be taken at least once. The first turn of a learner must train the network that is kept.
pub(super) fn checked(method: &str, turns: Vec<Turn>, learner: bool) -> Result<Vec<Turn>> {
    let wrong = |what: String| Err(Error::Failed(format!("the method {method} {what}")));
    if turns.is_empty() {
        return wrong("has no turn; a step is at least one".to_string());
    }
    for (i, turn) in turns.iter().enumerate() {
        if turns[..i].iter().any(|t| t.name == turn.name) {
            return wrong(format!("has two turns called {:?}; give each a name of its own", turn.name));
        }
        if turn.repeats == 0 || turn.trains.is_empty() {
            return wrong(format!("has the turn {:?} that is never taken or trains nobody; leave it out", turn.name));
        }
    }
    if learner && (!turns[0].name.is_empty() || !turns[0].trains.contains(&"")) {
        return wrong(
            "must begin with a turn without a name that trains the player \"\", who is evaluated".to_string(),
        );
    }
    Ok(turns)
}

/// The scalars that a stage gives to every step: the learning rate (in a scope `<player>.lr`), the rate of biases and
/// norms, both without warm-up and schedule, the epoch, the row of the ring, and how often the turn was taken before in
/// this step.
pub(super) const COMMON: [&str; 7] =
    ["lr", "bias_lr", "constant_lr", "constant_bias_lr", "epoch", "ring_row", "repeat"];

/// How many of [`COMMON`] are rates.
const RATES: usize = 4;

/// The values of [`COMMON`] in a step whose learning rate is `lr`. `optimization` is already that of the batch.
pub(super) fn common(optimization: &Optimization, lr: f64, [epoch, row, repeat]: [usize; 3]) -> [f32; COMMON.len()] {
    let (constant, factor) = (optimization.optimizer.lr, optimization.optimizer.bias_lr_factor);
    let [lr, bias_lr, constant, constant_bias] = [lr, lr * factor, constant, constant * factor].map(|rate| rate as f32);
    [lr, bias_lr, constant, constant_bias, epoch as f32, row as f32, repeat as f32]
}

/// The values of [`COMMON`] where nothing is updated: all 0 but the epoch.
pub(super) fn epoch_alone(epoch: usize) -> [f32; COMMON.len()] {
    COMMON.map(|name| if name == "epoch" { epoch as f32 } else { 0.0 })
}

/// The value of a scalar that a recording reads: one of [`COMMON`], or one of the method's `own`.
pub(super) fn scalar(name: &str, common: [f32; COMMON.len()], own: &[(&'static str, f32)]) -> Option<f32> {
    let name =
        name.rsplit_once('.').map_or(name, |(_, rate)| if COMMON[..RATES].contains(&rate) { rate } else { name });
    let stage = COMMON.iter().zip(common).find(|(known, _)| **known == name).map(|c| c.1);
    stage.or_else(|| own.iter().find(|n| n.0 == name).map(|n| n.1))
}

/// What a method records in a turn: its loss, and further metrics of the stage, each f32 [1].
pub(super) type Minimized = (Loss, Vec<(&'static str, Var)>);

/// How a turn is updated.
pub(super) struct Update<'a> {
    /// The name of the method, for messages.
    pub name: &'a str,
    pub optimization: &'a Optimization,
    /// The backbone. If `size_key` knows no key for a parameter, the backbone makes it large.
    pub model: &'a Model,
    pub size_key: &'a dyn Fn(&Param) -> Option<String>,
    /// A layer with a way of its own.
    pub group: Option<Group>,
}

impl Update<'_> {
    /// Records `turn`: what `minimize` records, the update of what the turn trains, what `after` records, and the
    /// metrics. A turn with a name has its own scope. Returns the names of the ring's columns.
    pub fn record(
        &self,
        job: &Job<'_>,
        turn: &Turn,
        r: &mut Recorder<'_>,
        minimize: &dyn Fn(&mut Recorder<'_>) -> Result<Minimized>,
        after: &dyn Fn(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<Vec<String>> {
        scoped(turn, r, |r| self.unscoped(job, turn, r, minimize, after))
    }

    /// The parameters that a turn trains, from a recording that names them all. It is an error if the device cannot
    /// hold them.
    pub fn trained(&self, job: &Job<'_>, turn: &Turn, params: &Params) -> Result<Vec<String>> {
        job.expect_bearable(params, self.optimization, self.model, self.size_key)?;
        let trained = params.trained_by(turn.trains);
        if trained.is_empty() {
            let (name, players) = (self.name, turn.trains);
            return Err(Error::Failed(format!("a turn of {name} trains {players:?}, who have no parameters")));
        }
        Ok(trained)
    }

    fn unscoped(
        &self,
        job: &Job<'_>,
        turn: &Turn,
        r: &mut Recorder<'_>,
        minimize: &dyn Fn(&mut Recorder<'_>) -> Result<Minimized>,
        after: &dyn Fn(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<Vec<String>> {
        let (loss, metrics) = minimize(r)?;
        // Each turn would need the layer, and the scalars of its scope.
        if let (Some(group), false) = (self.group, turn.name.is_empty()) {
            let (name, turn) = (self.name, turn.name);
            return Err(Error::Failed(format!("{name} has the turn {turn} and the group {group:?}; have one of them")));
        }
        let trained = self.trained(job, turn, r.params)?;
        let (optimizer, limits) =
            (self.optimization.optimizer()?, Limits { group: self.group, ..self.optimization.limits() });
        let step = match &mut r.params.micro {
            None => optimizer.minimize_within(r.t, loss.total, &trained, limits)?,
            Some(micro) => {
                let gradients = micro.gradients(r.t, &trained)?;
                let limits = Limits { loss_scale: micro.loss_scale(), ..limits };
                optimizer.descend_within(r.t, &trained, gradients, limits)?
            }
        };
        let skipped = step.skipped;
        after(r)?;
        let named = std::iter::once(("loss", loss.total)).chain(loss.terms).chain(metrics).chain([(SKIPPED, skipped)]);
        let (names, values): (Vec<&str>, Vec<Var>) = named.unzip();
        if values.len() > COLUMNS {
            let (have, most) = (values.len(), COLUMNS);
            let name = self.name;
            return Err(Error::Failed(format!(
                "a turn of {name} measures {have} numbers ({}), and a ring holds {most}; name fewer terms",
                names.join(", ")
            )));
        }
        let row = r.t.scalar("ring_row")?;
        r.t.ring(&ring_of(turn), job.config.run.loss_every * turn.repeats, row, &values)?;
        let full = |n: &str| if turn.name.is_empty() { n.to_string() } else { format!("{}.{n}", turn.name) };
        Ok(names.into_iter().map(full).collect())
    }
}

/// Records `f` in the scope of a turn. A turn without a name has no scope.
pub(super) fn scoped<T>(
    turn: &Turn,
    r: &mut Recorder<'_>,
    f: impl FnOnce(&mut Recorder<'_>) -> Result<T>,
) -> Result<T> {
    if turn.name.is_empty() {
        return f(r);
    }
    let Recorder { params, backbone, recipe, batch, indices, views, mode, .. } = r;
    let (backbone, recipe, batch) = (*backbone, *recipe, *batch);
    let (indices, views, mode) = (*indices, *views, *mode);
    r.t.scope(turn.name, |t| f(&mut Recorder { t, params, backbone, recipe, batch, indices, views, mode }))
}

/// Compiles what `record` records for each size of batch: the plans of each turn.
pub(super) fn compile(
    job: &Job<'_>,
    state: &State,
    key: &str,
    (batches, sizes): (Batches, Sizes),
    record: &dyn Fn(usize) -> Result<Vec<Recorded>>,
) -> Result<Vec<Plans>> {
    let mut plans = job.compile(state, key, batches.whole, sizes, &tapes(batches, record))?.into_iter();
    let mut programs = |size: usize| {
        let turns = record(size)?.into_iter();
        let program = |turn: Recorded| {
            let repeats = turn.tapes.into_iter().map(|(_, repeats)| repeats);
            repeats.zip(plans.by_ref()).fold(Program::new(), |program, (n, plan)| program.then(plan, n))
        };
        Ok::<Vec<Program>, Error>(turns.map(program).collect())
    };
    let whole = programs(batches.whole)?;
    let rest = if batches.rest() > 0 { programs(batches.rest())? } else { Vec::new() };
    let mut rest = rest.into_iter();
    Ok(whole.into_iter().map(|whole| Plans { whole, rest: rest.next() }).collect())
}

/// What `record` records for each size of batch if a step has a given number of images: all turns of the first size,
/// then of the next.
pub(super) fn tapes<'a>(
    batches: Batches,
    record: &'a dyn Fn(usize) -> Result<Vec<Recorded>>,
) -> impl Fn(usize) -> Result<Vec<Tape>> + 'a {
    move |whole| {
        let each = |size: usize| Ok(record(size)?.into_iter().flat_map(|r| r.tapes).map(|t| t.0).collect::<Vec<_>>());
        Ok(Batches { whole, ..batches }.sizes().into_iter().map(each).collect::<Result<Vec<_>>>()?.concat())
    }
}

/// The means of an epoch's sums over its steps, by name, for a record. It leaves out the first loss, flags, and the
/// names in `not`.
pub(super) fn terms(
    columns: &[String],
    sums: &[f64],
    steps: usize,
    not: &[&str],
) -> std::collections::BTreeMap<String, f64> {
    let named = columns.iter().zip(sums).skip(1);
    let told = named.filter(|(name, _)| !name.ends_with(SKIPPED) && !not.contains(&name.as_str()));
    told.map(|(name, sum)| (name.clone(), sum / steps as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Config;

    /// Every value has its own name, in the scope of a player, too. The rates without a schedule are those of the batch.
    #[test]
    fn each_scalar_has_its_value() {
        let text = "[pretraining]\nmethods = [\"simsiam\"]\n[pretraining.simsiam]\nlr_scaling = \"linear\"\nwarmup_epochs = 2\n\
                    [pretraining.simsiam.optimizer]\nname = \"sgd\"\nlr = 0.5\nexclude_bias_and_norm = true\nbias_lr_factor = 0.25\n";
        let pretrained = Config::parse("t", text).unwrap().pretraining_of("simsiam").unwrap();
        assert_eq!(pretrained.method.group(), Some(Group::ConstantRate { layer: "prediction" }));
        let of = pretrained.optimization.for_batch(128);
        let lr = of.rate(0, 0, 10);
        assert!(lr < 0.05, "{lr} is a first step of a warm-up");
        let due = common(&of, lr, [3, 4, 5]);
        let named = |name: &str| scalar(name, due, &[("own", 7.0)]);
        for (name, value) in [
            ("lr", lr as f32),
            ("generator.lr", lr as f32),
            ("bias_lr", (lr * 0.25) as f32),
            ("constant_lr", 0.25),
            ("x.constant_bias_lr", 0.0625),
            ("epoch", 3.0),
            ("ring_row", 4.0),
            ("repeat", 5.0),
            ("own", 7.0),
        ] {
            assert_eq!(named(name), Some(value), "{name}");
        }
        assert_eq!((named("x.epoch"), named("momentum")), (None, None));
        assert_eq!(epoch_alone(3), [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
    }
}
