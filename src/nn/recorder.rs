//! What a method records a step through: the tape, the parameters, the backbone and the images. The recorder knows
//! which player each parameter belongs to, so a turn of one player does not train the others.

use super::backbone::Backbone;
use super::batch_norm::Mode;
use super::init::Params;
use super::recipe::Recipe;
use super::sequential::{Layer, sequential};
use crate::base::{Error, Result};
use crate::tape::record::Scalar;
use crate::tape::{Tape, Type, Var};

/// Makes views of a step's images. The data floor implements it.
pub trait Views {
    /// View `i` of the images at `indices` u32 [B], made by `recipe`: f32 [B, C, H, W]. Different `i` are independent
    /// random draws.
    fn view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<Var>;

    /// View `first` and the one after it, each by its recipe, one below the other: f32 [2 · B, C, H, W]. They have the bits
    /// of [`Views::view`].
    fn both(&self, t: &mut Tape, indices: Var, first: u32, recipes: [&Recipe; 2]) -> Result<Var> {
        apart(self, t, indices, first, recipes)
    }
}

/// [`Views::both`] where each view is made by itself.
pub fn apart<V>(views: &V, t: &mut Tape, indices: Var, first: u32, recipes: [&Recipe; 2]) -> Result<Var>
where
    V: Views + ?Sized,
{
    let mut view = |i: u32, recipe| t.layer(&format!("view{i}"), |t| views.view(t, indices, i, recipe));
    let made = [view(first, recipes[0])?, view(first + 1, recipes[1])?];
    t.concat(&made, 0)
}

/// A recording of a step in progress.
///
/// ```
/// use wgslab::base::{Result, Shape};
/// use wgslab::nn::{Backbone, Loss, Mode, Params, Recipe, Recorder, ResNet, Stem, Views};
/// use wgslab::tape::{Tape, Type, Var};
///
/// /// What a method writes: two views of each image, and a teacher that begins as a copy of the network.
/// fn record(r: &mut Recorder<'_>) -> Result<Loss> {
///     let recipe = r.recipe.clone();
///     let (a, b) = (r.view(0, &recipe)?, r.view(1, &recipe)?);
///     let student = r.features(a)?;
///     let teacher = r.player("teacher", Some(""), |r| r.features(b))?;
///     let target = r.t.detach(teacher)?;
///     let weights = r.t.fill([r.batch], 1.0)?;
///     Ok(r.t.mse(student, target, weights)?[0].into())
/// }
///
/// /// Views that lie in an input; those of a study come from its images.
/// struct Given;
/// impl Views for Given {
///     fn view(&self, t: &mut Tape, _indices: Var, i: u32, _recipe: &Recipe) -> Result<Var> {
///         t.input(&format!("view{i}"), Type::f32([4, 3, 8, 8]))
///     }
/// }
///
/// let (mut t, mut params) = (Tape::new(), Params::new());
/// let indices = t.input("indices", Type::u32([4]))?;
/// let backbone = ResNet::resnet18(Stem::Small, 0.0625, 3);
/// let (t, params, backbone) = (&mut t, &mut params, &backbone as &dyn Backbone);
/// let (recipe, views, mode) = (&Recipe::PLAIN, &Given, Mode::Train);
/// let loss = record(&mut Recorder { t, params, backbone, recipe, batch: 4, indices, views, mode })?;
/// assert_eq!(t.shape(loss.total), Shape::new(&[1]));
/// // Only the student is trained; the teacher's parameters are there under its own names.
/// let trained = params.trained_by(&[""]);
/// assert!(trained.iter().all(|name| name.starts_with("backbone.")));
/// assert_eq!(params.trained_by(&["teacher"]).len(), trained.len());
/// # Ok::<(), wgslab::base::Error>(())
/// ```
pub struct Recorder<'a> {
    /// The tape.
    pub t: &'a mut Tape,
    /// The parameters so far, those of earlier turns included.
    pub params: &'a mut Params,
    /// The network that the study is about.
    pub backbone: &'a dyn Backbone,
    /// How the config makes views.
    pub recipe: &'a Recipe,
    /// Images of the step, or of a micro-batch. See [`Recorder::whole_batch`].
    pub batch: usize,
    /// Places of the images in the dataset, u32 [batch].
    pub indices: Var,
    /// Makes the views.
    pub views: &'a dyn Views,
    /// The statistics that batch norm uses.
    pub mode: Mode,
}

impl Recorder<'_> {
    /// View `i` of the images: f32 [batch, C, H, W].
    pub fn view(&mut self, i: u32, recipe: &Recipe) -> Result<Var> {
        let (views, indices) = (self.views, self.indices);
        self.t.layer(&format!("view{i}"), |t| views.view(t, indices, i, recipe))
    }

    /// View `first` of the images and the one after it, each by its recipe, one below the other: f32 [2 · batch, C, H, W].
    pub fn both_views(&mut self, first: u32, recipes: [&Recipe; 2]) -> Result<Var> {
        let (views, indices) = (self.views, self.indices);
        self.t.layer("views", |t| views.both(t, indices, first, recipes))
    }

    /// An input that the method's `inputs` fills before each step.
    pub fn input(&mut self, name: &str, ty: Type) -> Result<Var> {
        self.t.input(name, ty)
    }

    /// The features of images, made by the current player's backbone: x f32 [N, C, H, W] gives f32 [N, features]. Between
    /// them are activations of the parameters' precision.
    pub fn features(&mut self, x: Var) -> Result<Var> {
        let (prefix, precision) = (self.named("backbone."), self.params.precision);
        precision.expect_taken(self.backbone)?;
        let x = self.t.layer("images", |t| t.cast(x, precision.dtype()))?;
        self.backbone.forward(self.t, self.params, &prefix, x, self.mode)
    }

    /// The tokens of images, made by the current player's backbone: x f32 [N, C, H, W] gives [N, T, features] of the
    /// parameters' precision. With `rows`, only the tokens that `rows` picks. See [`Backbone::tokens`].
    pub fn tokens(&mut self, x: Var, rows: Option<Var>) -> Result<Var> {
        let (prefix, precision) = (self.named("backbone."), self.params.precision);
        precision.expect_taken(self.backbone)?;
        let x = self.t.layer("images", |t| t.cast(x, precision.dtype()))?;
        self.backbone.tokens(self.t, self.params, &prefix, x, rows)
    }

    /// Records `f` on several views of the images, x [views · batch, ..], which lie one below the other. Batch norm gives
    /// each view its own statistics. The values are those of one pass for each view, at the cost of one pass. Returns
    /// what `f` returns, of [views · batch, ..]. It is an error outside [`Mode::Train`].
    pub fn together<T>(&mut self, x: Var, f: impl FnOnce(&mut Self, Var) -> Result<T>) -> Result<T> {
        if self.mode != Mode::Train {
            let mode = self.mode;
            return Err(Error::Failed(format!(
                "views pass a network together only in Mode::Train, where batch norm can see each view; the mode is {mode:?}"
            )));
        }
        let (rows, batch) = (self.t.shape(x).dims().first().map_or(0, |&d| d as usize), self.batch);
        if rows == 0 || !rows.is_multiple_of(batch) {
            let what = format!("{} holds no views of {batch} images, one below the other", self.t.shape(x));
            return Err(Error::shape("together", what));
        }
        let before = std::mem::replace(&mut self.mode, Mode::Views(rows / batch));
        let y = f(self, x);
        self.mode = before;
        y
    }

    /// The rows [batch, ..] of view `i` in `y` [views · batch, ..].
    pub fn of_view(&mut self, y: Var, i: usize) -> Result<Var> {
        self.t.slice(y, 0, i * self.batch, self.batch)
    }

    /// Two views, y [2 · batch, ..], in the other order.
    pub fn swapped(&mut self, y: Var) -> Result<Var> {
        let views = [self.of_view(y, 1)?, self.of_view(y, 0)?];
        self.t.layer("views", |t| t.concat(&views, 0))
    }

    /// Turns values of a micro-batch into values of all images of the step: f32 [k · images, ..] each, with view v of
    /// image i in row v · images + i. What is recorded before this call sees a micro-batch if the step has them. What
    /// is recorded after it sees the whole batch, and [`Recorder::batch`] is the whole batch's size. Every trained
    /// layer must be recorded before it. Call it once, at the place where the loss begins to compare images. A loss
    /// that is a mean over images takes [`Recorder::mean_over_images`] instead. In a step that is recorded whole it
    /// changes nothing.
    /// [`Recorder::mean_over_images`]. Of a step that is recorded whole, it is nothing.
    pub fn whole_batch<const N: usize>(&mut self, values: [Var; N]) -> Result<[Var; N]> {
        let Some(micro) = &mut self.params.micro else { return Ok(values) };
        let all = micro.gathered(self.t, self.batch, &values)?;
        self.batch *= micro.batches();
        all.try_into().map_err(|_| Error::Failed("a value of the whole batch is missing".into()))
    }

    /// Turns a loss whose numbers are means over a micro-batch into means over all images of the step. It is the last
    /// call of a recording. In a step that is recorded whole it changes nothing.
    pub fn mean_over_images(&mut self, loss: impl Into<Loss>) -> Result<Loss> {
        let mut loss = loss.into();
        let Some(micro) = &mut self.params.micro else { return Ok(loss) };
        let own: Vec<Var> = std::iter::once(loss.total).chain(loss.terms.iter().map(|term| term.1)).collect();
        let means = micro.averaged(self.t, &own)?;
        loss.total = means[0];
        loss.terms.iter_mut().zip(&means[1..]).for_each(|(term, mean)| term.1 = *mean);
        Ok(loss)
    }

    /// A head of the current player on x f32 [N, D]. The parameters of layer i are named `<name>.i.*`.
    pub fn head(&mut self, name: &str, x: Var, layers: &[Layer]) -> Result<Var> {
        let prefix = self.named(&format!("{name}."));
        sequential(self.t, self.params, &prefix, x, layers, self.mode)
    }

    /// Moves each trained parameter of `player` towards the parameter that it began as a copy of, after that one's
    /// update: keep · mine + (1 − keep) · theirs. A method calls it in `after_update`.
    pub fn follow(&mut self, player: &'static str, keep: Scalar) -> Result<()> {
        let theirs = self.params.list().iter().filter(|p| p.player == player && p.trained);
        let pairs: Vec<_> = theirs.filter_map(|p| Some((p.name.clone(), p.copy_of.clone()?, p.ty))).collect();
        for (mine, original, ty) in pairs {
            let original = self.t.state(&original, ty)?;
            self.t.ema_scheduled(&mine, original, keep)?;
        }
        Ok(())
    }

    /// The logits of features, made by the current player's classifier: [N, features] gives [N, classes].
    pub fn logits(&mut self, features: Var, classes: usize) -> Result<Var> {
        let prefix = self.named("backbone.");
        self.backbone.classify(self.t, self.params, &prefix, features, classes)
    }

    /// The current player's name of a parameter, or of a prefix: `projection.` or `teacher.projection.`.
    pub fn named(&self, name: &str) -> String {
        self.params.named_by_player(name)
    }

    /// Records `f` as `player`. The parameters that `f` names belong to the player, and only a turn that trains the
    /// player trains them. With `copy_of` their initial values are copies of that player's, whose parameters must be
    /// recorded before.
    pub fn player<T>(
        &mut self,
        player: &'static str,
        copy_of: Option<&'static str>,
        f: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.params.play(player, copy_of);
        let made = f(self);
        self.params.resume(before);
        made
    }
}

/// What one turn of a step trains. Most methods have one turn; an adversarial method has one for the discriminator and
/// one for the generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The turn's name, which its optimizer, step count, guard, learning rate and terms carry. It is empty if there is
    /// one turn.
    pub name: &'static str,
    /// How often the turn is taken in a step, each time on the same images and views. The scalar `repeat` counts the
    /// times from 0, so that a method's own random draws can differ.
    pub repeats: usize,
    /// The players whose parameters the turn trains. All other parameters are frozen in it. The player without a name
    /// is "".
    pub trains: &'static [&'static str],
}

impl Turn {
    /// The turn of a method that has only one.
    pub const ONLY: Turn = Turn { name: "", repeats: 1, trains: &[""] };
}

/// What a turn minimizes, and its terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// What the optimizer minimizes, f32 [1].
    pub total: Var,
    /// The loss's terms by name, each f32 [1]. They are recorded each epoch. A method has at most four, a learner at
    /// most two.
    pub terms: Vec<(&'static str, Var)>,
}

impl From<Var> for Loss {
    fn from(total: Var) -> Self {
        Loss { total, terms: Vec::new() }
    }
}

/// Where a stage stands. Numbers that change during a run depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage's seed.
    pub seed: u64,
    /// Epochs that are done.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps of this epoch that are done.
    pub step: usize,
    /// Steps in an epoch.
    pub steps: usize,
    /// How often this turn was taken before in this step.
    pub repeat: usize,
    /// In micro-batches: how many images of the step come before these; otherwise 0. Random draws for these images
    /// follow the draws for those before.
    pub before: usize,
}

impl Progress {
    /// The share of all steps that is done, from 0.
    pub fn share(&self) -> f64 {
        (self.epoch * self.steps + self.step) as f64 / (self.epochs * self.steps).max(1) as f64
    }
}
