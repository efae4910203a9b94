//! T1: what methods beyond SimCLR need of the tape, each on a step that is small enough to compute by hand: a teacher,
//! a queue, two players, accumulated gradients, a mask, a skipped step, cached embeddings.

mod batches;
mod host;

use crate::harness::quick::{self, Input};
use crate::harness::{self, device, text};
use host::{Matrix, cross_entropy};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::sync::Arc;
use wgslab::base::{Error, Result, rng::Rng};
use wgslab::device::Gpu;
use wgslab::kernels::sgd::Sgd;
use wgslab::nn::Backbone;
use wgslab::nn::{Mode, Optimizer, Params, ResNet, Stem};
use wgslab::tape::{Feed, Options, Plan, Program, Schedule, State, Tape, Type, Var};

/// The rounding of sums of a dozen terms over half a dozen steps, as a share of the largest value. A wrong mechanism
/// would be a thousand times as far off.
const NEAR: f64 = 1e-5;

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<()>| {
        Trial::test(format!("T1 reach {name}"), move || test().map_err(|e| Failed::from(text(e))))
    };
    vec![
        trial("a teacher follows its student and gets no gradient", teacher),
        trial("a queue is read before it is written", queue),
        trial("two players move in turn", players),
        trial("accumulated gradients are those of the large batch", batches::accumulation),
        trial("rows of weight 0 do not matter", masked),
        trial("a step with a non-finite gradient has no effect, sgd", || skipped(SGD)),
        trial("a step with a non-finite gradient has no effect, adam", || skipped(Optimizer::adam(0.01))),
        trial("cached embeddings give the gradient of the large batch", batches::cached),
    ]
}

const SGD: Optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };

fn gpu() -> Result<Arc<Gpu>> {
    device::gpu(true).map_err(Error::Failed)
}

fn normal(n: usize, stream: u32) -> Vec<f32> {
    let mut rng = Rng::new(11, stream, 0);
    (0..n).map(|_| rng.normal()).collect()
}

fn ensure(holds: bool, what: impl Into<String>) -> Result<()> {
    harness::ensure(holds, what).map_err(Error::Failed)
}

fn near(what: &str, got: &[f32], want: &[f32]) -> Result<()> {
    quick::near(what, got, want, NEAR).map_err(Error::Failed)
}

/// A store of matrices.
fn store(gpu: &Gpu, values: &[(&str, [usize; 2], &[f32])]) -> Result<State> {
    let mut state = State::new();
    for (name, shape, v) in values {
        state.insert(gpu, name, Type::f32(*shape), Some(bytemuck::cast_slice(v)))?;
    }
    Ok(state)
}

/// A plan over `state`. States that are missing there become zeros.
fn plan(gpu: &Gpu, t: &Tape, state: &mut State) -> Result<Plan> {
    state.insert_missing(gpu, &t.state_types())?;
    Plan::new(gpu, Schedule::new(t, &Options::new(gpu.caps()))?, state)
}

/// Every tensor of a store.
fn bytes(gpu: &Gpu, state: &State) -> Result<BTreeMap<String, Vec<u8>>> {
    state.names().map(|n| Ok((n.to_string(), state.read(gpu, n)?))).collect()
}

fn differing(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    a.iter().filter(|(n, v)| b.get(*n) != Some(v)).map(|(n, _)| n.clone()).collect()
}

fn some(name: &str, grad: Option<Var>) -> Result<Var> {
    grad.ok_or_else(|| Error::Failed(format!("{name} has no gradient")))
}

/// The logits are the student's plus its teacher's. No gradient flows through the teacher.
fn distillation(detached: bool) -> Result<(Tape, [Option<Var>; 2])> {
    let (mut t, ty) = (Tape::new(), Type::f32([3, 5]));
    let (x, labels) = (t.input("x", Type::f32([6, 5]))?, t.input("labels", Type::u32([6]))?);
    let (student, teacher) = (t.state("student", ty)?, t.state("teacher", ty)?);
    let own = t.linear(x, student, None)?;
    let mut other = t.linear(x, teacher, None)?;
    if detached {
        other = t.detach(other)?;
    }
    let (logits, weights) = (t.add(own, other)?, t.fill([6], 1.0)?);
    let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
    let grads = t.gradient(loss, &[student, teacher])?;
    let (lr, keep) = (t.scalar("lr")?, t.scalar("keep")?);
    let op = Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0, lr: lr.slot };
    t.sgd("student", some("student", grads[0])?, lr.var, op)?;
    let moved = t.state("student", ty)?;
    t.ema_scheduled("teacher", moved, keep)?;
    t.output("loss", loss);
    Ok((t, [grads[0], grads[1]]))
}

fn teacher() -> Result<()> {
    let gpu = gpu()?;
    ensure(distillation(false)?.1[1].is_some(), "a teacher that is not detached must get a gradient")?;
    let (t, grads) = distillation(true)?;
    ensure(grads[1].is_none(), "a detached teacher must get no gradient")?;
    let (w, e) = (normal(15, 0), normal(15, 1));
    let mut state = store(&gpu, &[("student", [3, 5], &w), ("teacher", [3, 5], &e)])?;
    let plan = plan(&gpu, &t, &mut state)?;
    let (mut w, mut e) = (Matrix::new(5, &w), Matrix::new(5, &e));
    let mut velocity = w.zeros();
    for step in 0..5u32 {
        let (data, labels, keep) = (normal(30, 10 + step), [0, 1, 2, 2, 1, step % 3], 0.5 + 0.1 * step as f32);
        plan.run(&gpu, &Feed::new().input("x", &data).input("labels", &labels).scalar("lr", 0.3).scalar("keep", keep))?;
        let x = Matrix::new(5, &data);
        let logits = x.times(&w.with(&e, |a, b| a + b).transposed());
        let (loss, slope) = cross_entropy(&logits, &labels, &[1.0; 6]);
        velocity = velocity.with(&slope.transposed().times(&x), |v, g| 0.9 * v + g);
        w = w.with(&velocity, |w, v| w - 0.3 * v);
        e = e.with(&w, |e, w| keep as f64 * e + (1.0 - keep as f64) * w);
        near("the loss", &plan.read_f32(&gpu, "loss")?, &[loss as f32])?;
        near("the student", &state.read_f32(&gpu, "student")?, &w.floats())?;
        near("the teacher", &state.read_f32(&gpu, "teacher")?, &e.floats())?;
    }
    Ok(())
}

/// Three queries against a queue of five keys. Each step puts two new keys into the queue.
fn queue() -> Result<()> {
    let (gpu, mut t) = (gpu()?, Tape::new());
    let (query, keys) = (t.input("query", Type::f32([3, 4]))?, t.input("keys", Type::f32([2, 4]))?);
    let labels = t.input("labels", Type::u32([3]))?;
    let held = t.state("queue", Type::f32([5, 4]))?;
    let (logits, weights) = (t.matmul(query, held, false, true)?, t.fill([3], 1.0)?);
    let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
    t.enqueue("queue", "pointer", keys)?;
    // The gradient needs the old queue too, although it is recorded after the new one.
    let grad = t.gradient(loss, &[query])?[0];
    t.output("grad", some("query", grad)?);
    t.output("loss", loss);
    let mut rows = normal(20, 0);
    let mut state = store(&gpu, &[("queue", [5, 4], &rows)])?;
    let plan = plan(&gpu, &t, &mut state)?;
    for step in 0..6u32 {
        let (q, k, labels) = (normal(12, 10 + step), normal(8, 20 + step), [step % 5, (step + 1) % 5, 4]);
        plan.run(&gpu, &Feed::new().input("query", &q).input("keys", &k).input("labels", &labels))?;
        let (q, held) = (Matrix::new(4, &q), Matrix::new(4, &rows));
        let (loss, slope) = cross_entropy(&q.times(&held.transposed()), &labels, &[1.0; 3]);
        near("the loss over the old keys", &plan.read_f32(&gpu, "loss")?, &[loss as f32])?;
        near("the gradient over the old keys", &plan.read_f32(&gpu, "grad")?, &slope.times(&held).floats())?;
        for i in 0..2 {
            let at = (2 * step as usize + i) % 5;
            rows[4 * at..4 * at + 4].copy_from_slice(&k[4 * i..4 * i + 4]);
        }
        let (pointer, now) = (state.read(&gpu, "pointer")?, state.read_f32(&gpu, "queue")?);
        ensure(now == rows, format!("step {step}: the queue is {now:?}, but must be {rows:?}"))?;
        ensure(pointer == (2 * (step + 1) % 5).to_le_bytes(), format!("step {step}: the pointer is {pointer:?}"))?;
    }
    Ok(())
}

/// Four points each. D tells real points (class 1) from those that G makes of noise (class 0). G wants class 1.
fn player(trains_d: bool) -> Result<Tape> {
    let mut t = Tape::new();
    let z = t.input("z", Type::f32([4, 3]))?;
    let (g, d) = (t.state("G", Type::f32([2, 3]))?, t.state("D", Type::f32([2, 2]))?);
    let mut x = t.linear(z, g, None)?;
    if trains_d {
        let real = t.input("real", Type::f32([4, 2]))?;
        x = t.concat(&[real, x], 0)?;
    }
    let rows = t.shape(x).dim(0);
    let labels = t.input("labels", Type::u32([rows]))?;
    let (logits, weights) = (t.linear(x, d, None)?, t.fill([rows], 1.0)?);
    let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
    let (optimizer, name) = if trains_d { (SGD, "D") } else { (Optimizer::adam(0.0), "G") };
    optimizer.minimize(&mut t, loss, &[name.to_string()])?;
    Ok(t)
}

/// Both players and the states of their optimizers, on the host.
struct Players {
    g: Matrix,
    d: Matrix,
    velocity: Matrix,
    means: [Matrix; 2],
    steps: i32,
}

impl Players {
    fn move_d(&mut self, real: &Matrix, z: &Matrix, labels: &[u32]) {
        let x = real.above(&z.times(&self.g.transposed()));
        let (_, slope) = cross_entropy(&x.times(&self.d.transposed()), labels, &vec![1.0; labels.len()]);
        let grad = slope.transposed().times(&x).with(&self.d, |g, w| g + 0.01 * w);
        self.velocity = self.velocity.with(&grad, |v, g| 0.9 * v + g);
        let step = grad.with(&self.velocity, |g, v| g + 0.9 * v);
        self.d = self.d.with(&step, |w, s| w - 0.2 * s);
    }

    fn move_g(&mut self, z: &Matrix, labels: &[u32]) {
        let x = z.times(&self.g.transposed());
        let (_, slope) = cross_entropy(&x.times(&self.d.transposed()), labels, &vec![1.0; labels.len()]);
        let grad = slope.times(&self.d).transposed().times(z);
        self.steps += 1;
        self.means[0] = self.means[0].with(&grad, |m, g| 0.9 * m + 0.1 * g);
        self.means[1] = self.means[1].with(&grad, |v, g| 0.999 * v + 0.001 * g * g);
        let (a, b) = (1.0 - 0.9f64.powi(self.steps), 1.0 - 0.999f64.powi(self.steps));
        let step = self.means[0].with(&self.means[1], |m, v| m / a / ((v / b).sqrt() + 1e-8));
        self.g = self.g.with(&step, |w, s| w - 0.05 * s);
    }
}

fn players() -> Result<()> {
    let gpu = gpu()?;
    let (g, d) = (normal(6, 0), normal(4, 1));
    let mut state = store(&gpu, &[("G", [2, 3], &g), ("D", [2, 2], &d)])?;
    let program = Program::new();
    let program = program.then(plan(&gpu, &player(true)?, &mut state)?, 2);
    let program = program.then(plan(&gpu, &player(false)?, &mut state)?, 1);
    let (g, d) = (Matrix::new(3, &g), Matrix::new(2, &d));
    let mut host = Players { velocity: d.zeros(), means: [g.zeros(), g.zeros()], g, d, steps: 0 };
    let mut turn = 100;
    for _ in 0..3 {
        program.run(&gpu, |stage, _, run| {
            let before = bytes(&gpu, &state)?;
            let (z, real) = (normal(12, turn), normal(8, turn + 1));
            turn += 2;
            if stage == 0 {
                let labels = [1, 1, 1, 1, 0, 0, 0, 0];
                run(&Feed::new().input("z", &z).input("real", &real).input("labels", &labels).scalar("lr", 0.2))?;
                host.move_d(&Matrix::new(2, &real), &Matrix::new(3, &z), &labels);
            } else {
                run(&Feed::new().input("z", &z).input("labels", &[1u32; 4]).scalar("lr", 0.05))?;
                host.move_g(&Matrix::new(3, &z), &[1; 4]);
            }
            let moved = differing(&before, &bytes(&gpu, &state)?);
            let own: &[&str] = match stage {
                0 => &["D", "optim.D.velocity"],
                _ => &["G", "optim.G.exp_avg", "optim.G.exp_avg_sq", "optim.step"],
            };
            ensure(moved == own, format!("stage {stage} moved {moved:?}, but must move {own:?}"))?;
            near("D", &state.read_f32(&gpu, "D")?, &host.d.floats())?;
            near("G", &state.read_f32(&gpu, "G")?, &host.g.floats())
        })?;
    }
    Ok(())
}

fn masked() -> Result<()> {
    let (weights, w) = ([1.0f32, 0.0, 2.0, 0.5, 0.0, 1.0], normal(15, 1));
    let run = |garbage: [f32; 2], label: u32| {
        let mut x = normal(30, 0);
        x[5..10].fill(garbage[0]);
        x[20..25].copy_from_slice(&normal(5, 2).iter().map(|v| garbage[1] * v).collect::<Vec<_>>());
        let labels = [0u32, label, 2, 1, 2 - label, 1];
        let words = |name: &str, ty, words: &[u32]| Input { name: name.into(), ty, words: words.to_vec() };
        let inputs = [
            Input::f32("x", &[6, 5], &x),
            Input::f32("w", &[3, 5], &w),
            Input::f32("weights", &[6], &weights),
            words("labels", Type::u32([6]), &labels),
        ];
        let got = quick::run(&inputs, |t, v| {
            let logits = t.linear(v["x"], v["w"], None)?;
            let [loss, _, _] = t.cross_entropy(logits, v["labels"], v["weights"])?;
            let grads = t.gradient(loss, &[v["w"], v["x"]])?;
            Ok(vec![("loss", loss), ("dw", some("w", grads[0])?), ("dx", some("x", grads[1])?)])
        });
        got.map(|got| (got, x, labels)).map_err(Error::Failed)
    };
    let (got, x, labels) = run([1.0, 1.0], 0)?;
    for (garbage, label) in [([1e30, -1e30], 1), ([-3e18, 1e36], 2), ([0.0, 5e9], 0)] {
        let other = run(garbage, label)?.0;
        ensure(
            other == got,
            format!("with {garbage:?} in the masked rows the result is {other:?}, without it {got:?}"),
        )?;
    }
    // The result must be that of only the other rows.
    let keep: Vec<usize> = (0..6).filter(|&i| weights[i] > 0.0).collect();
    let x: Vec<f32> = keep.iter().flat_map(|&i| x[5 * i..5 * i + 5].to_vec()).collect();
    let (labels, weights): (Vec<u32>, Vec<f32>) = keep.iter().map(|&i| (labels[i], weights[i])).unzip();
    let (x, w) = (Matrix::new(5, &x), Matrix::new(5, &w));
    let (loss, slope) = cross_entropy(&x.times(&w.transposed()), &labels, &weights);
    near("the loss", &got["loss"], &[loss as f32])?;
    near("the gradient", &got["dw"], &slope.transposed().times(&x).floats())?;
    ensure(got["dx"][5..10].iter().chain(&got["dx"][20..25]).all(|d| *d == 0.0), "a masked row has a gradient")
}

/// The training step of the study: a network with batch norm, an optimizer under a guard, and a ring of losses.
fn training_step(optimizer: Optimizer) -> Result<(Tape, Params)> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let (x, labels) = (t.input("x", Type::f32([4, 1, 8, 8]))?, t.input("labels", Type::u32([4]))?);
    let model = ResNet::resnet18(Stem::Small, 0.03125, 1);
    let features = model.forward(&mut t, &mut params, "", x, Mode::Train)?;
    let logits = model.classify(&mut t, &mut params, "", features, 3)?;
    let weights = t.fill([4], 1.0)?;
    let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
    optimizer.minimize(&mut t, loss, &params.trained())?;
    let row = t.scalar("row")?;
    t.ring("losses", 3, row, &[loss])?;
    Ok((t, params))
}

fn skipped(optimizer: Optimizer) -> Result<()> {
    let (gpu, (t, params)) = (gpu()?, training_step(optimizer)?);
    let images = |stream| normal(256, stream);
    let mut bad = images(1);
    bad[100] = f32::INFINITY;
    let after = |steps: &[(f32, Vec<f32>)]| {
        let mut state = State::new();
        params.fill(&gpu, &mut state, 5)?;
        let plan = plan(&gpu, &t, &mut state)?;
        for (row, x) in steps {
            let labels = [0u32, 1, 2, 1];
            plan.run(&gpu, &Feed::new().input("x", x).input("labels", &labels).scalar("lr", 0.01).scalar("row", *row))?;
        }
        Ok::<_, Error>((bytes(&gpu, &state)?, state.read_f32(&gpu, "losses")?))
    };
    let (one, _) = after(&[(0.0, images(0))])?;
    let (one_and_bad, losses) = after(&[(0.0, images(0)), (1.0, bad.clone())])?;
    let moved = differing(&one, &one_and_bad);
    ensure(moved == ["losses"], format!("the bad step moved {moved:?}, but may move only the ring of losses"))?;
    ensure(losses[0].is_finite() && !losses[1].is_finite(), format!("the ring holds {losses:?}"))?;
    let (clean, _) = after(&[(0.0, images(0)), (2.0, images(2))])?;
    let (through, losses) = after(&[(0.0, images(0)), (1.0, bad), (2.0, images(2))])?;
    let differ = differing(&clean, &through);
    ensure(differ == ["losses"], format!("after a skipped step {differ:?} are not what they would be without it"))?;
    ensure(losses[2].is_finite(), format!("the ring holds {losses:?}"))?;
    let moved = differing(&one, &clean).len();
    ensure(moved == clean.len(), format!("a good step moved {moved} of {} tensors", clean.len()))
}
