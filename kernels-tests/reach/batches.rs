//! Computes the gradient of a large batch in parts: for a mean over rows, and for a loss that mixes all rows.

use super::{SGD, ensure, gpu, near, normal, plan, some, store};
use wgslab::base::Result;
use wgslab::device::Gpu;
use wgslab::tape::{Feed, Program, State, Tape, Type, Var};

/// The layers of a small perceptron without biases, and their shapes [out, in].
const LAYERS: [(&str, [usize; 2]); 2] = [("first", [6, 5]), ("second", [4, 6])];

fn perceptron(t: &mut Tape, x: Var) -> Result<(Var, Vec<Var>)> {
    let w = LAYERS.iter().map(|(name, shape)| t.state(name, Type::f32(*shape))).collect::<Result<Vec<_>>>()?;
    let y = t.linear(x, w[0], None)?;
    let y = t.relu(y)?;
    Ok((t.linear(y, w[1], None)?, w))
}

fn perceptron_store(gpu: &Gpu) -> Result<State> {
    store(gpu, &[("first", LAYERS[0].1, &normal(30, 0)), ("second", LAYERS[1].1, &normal(24, 1))])
}

fn classified(t: &mut Tape, rows: usize) -> Result<(Var, Vec<Var>)> {
    let (x, labels) = (t.input("x", Type::f32([rows, 5]))?, t.input("labels", Type::u32([rows]))?);
    let (logits, w) = perceptron(t, x)?;
    let weights = t.fill([rows], 1.0)?;
    Ok((t.cross_entropy(logits, labels, weights)?[0], w))
}

/// Adds `share` times the gradient of each layer to its sum in the state.
fn add_up(t: &mut Tape, grads: Vec<Option<Var>>, share: f32) -> Result<()> {
    for ((name, shape), grad) in LAYERS.iter().zip(grads) {
        let sum = t.state(&format!("sum.{name}"), Type::f32(*shape))?;
        let part = t.scale(some(name, grad)?, share)?;
        let sum = t.add(sum, part)?;
        t.assign(&format!("sum.{name}"), sum)?;
    }
    Ok(())
}

/// Compares three parts of four rows and one update with twelve rows at once.
pub fn accumulation() -> Result<()> {
    let (gpu, [mut large, mut part, mut update]) = (gpu()?, [Tape::new(), Tape::new(), Tape::new()]);
    let names: Vec<String> = LAYERS.iter().map(|l| l.0.to_string()).collect();
    let (loss, _) = classified(&mut large, 12)?;
    SGD.minimize(&mut large, loss, &names)?;
    let (loss, w) = classified(&mut part, 4)?;
    let grads = part.gradient(loss, &w)?;
    add_up(&mut part, grads, 1.0 / 3.0)?;
    let lr = update.scalar("lr")?;
    for (name, shape) in LAYERS {
        let sum = update.state(&format!("sum.{name}"), Type::f32(shape))?;
        SGD.update(&mut update, &[(name.to_string(), sum)], lr)?;
        let zeros = update.fill(shape, 0.0)?;
        update.assign(&format!("sum.{name}"), zeros)?;
    }
    let (mut at_once, mut in_parts) = (perceptron_store(&gpu)?, perceptron_store(&gpu)?);
    let start = at_once.read_f32(&gpu, "first")?;
    let large = plan(&gpu, &large, &mut at_once)?;
    let program = Program::new().then(plan(&gpu, &part, &mut in_parts)?, 3);
    let program = program.then(plan(&gpu, &update, &mut in_parts)?, 1);
    for step in 0..3 {
        let (x, labels) = (normal(60, 10 + step), [0u32, 1, 2, 3, 3, 3, 1, 0, 2, 2, 1, 3]);
        large.run(&gpu, &Feed::new().input("x", &x).input("labels", &labels).scalar("lr", 0.5))?;
        program.run(&gpu, |stage, i, run| match stage {
            0 => run(&Feed::new().input("x", &x[20 * i..20 * i + 20]).input("labels", &labels[4 * i..4 * i + 4])),
            _ => run(&Feed::new().scalar("lr", 0.5)),
        })?;
        for name in ["first", "second", "optim.first.velocity", "optim.second.velocity"] {
            near(name, &in_parts.read_f32(&gpu, name)?, &at_once.read_f32(&gpu, name)?)?;
        }
        ensure(in_parts.read_f32(&gpu, "sum.first")?.iter().all(|v| *v == 0.0), "the sum must start again at 0")?;
    }
    let moved = start.iter().zip(at_once.read_f32(&gpu, "first")?).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    ensure(
        moved > 0.1,
        format!("the large batch moved the first layer by at most {moved}, so equal values would show little"),
    )
}

/// The loss over all embeddings in parts: compute the embeddings, differentiate the loss with respect to them, compute
/// them again and continue the gradient from there (GradCache, Gao et al. 2021, arXiv 2101.06983).
pub fn cached() -> Result<()> {
    let (gpu, [mut direct, mut embed, mut over, mut back]) = (gpu()?, [(); 4].map(|()| Tape::new()));
    let contrast = |t: &mut Tape, e: Var| {
        let z = t.l2_normalize(e, 1e-12)?;
        t.nt_xent(z, 0.5)
    };
    let x = direct.input("x", Type::f32([8, 5]))?;
    let (e, w) = perceptron(&mut direct, x)?;
    let loss = contrast(&mut direct, e)?;
    for ((name, _), grad) in LAYERS.iter().zip(direct.gradient(loss, &w)?) {
        direct.output(name, some(name, grad)?);
    }
    direct.output("loss", loss);
    let x = embed.input("x", Type::f32([2, 5]))?;
    let (e, _) = perceptron(&mut embed, x)?;
    embed.output("e", e);
    let e = over.input("e", Type::f32([8, 4]))?;
    let loss = contrast(&mut over, e)?;
    let grad = over.gradient(loss, &[e])?[0];
    over.output("de", some("e", grad)?);
    over.output("loss", loss);
    let (x, de) = (back.input("x", Type::f32([2, 5]))?, back.input("de", Type::f32([2, 4]))?);
    let (e, w) = perceptron(&mut back, x)?;
    let grads = back.backward(&[e], &[Some(de)], &w)?;
    add_up(&mut back, grads, 1.0)?;

    let (mut state, x) = (perceptron_store(&gpu)?, normal(40, 10));
    let [direct, embed, over, back] = [direct, embed, over, back].map(|t| plan(&gpu, &t, &mut state));
    let (direct, embed, over, back) = (direct?, embed?, over?, back?);
    direct.run(&gpu, &Feed::new().input("x", &x))?;
    let mut e = Vec::new();
    for part in x.chunks(10) {
        embed.run(&gpu, &Feed::new().input("x", part))?;
        e.extend(embed.read_f32(&gpu, "e")?);
    }
    over.run(&gpu, &Feed::new().input("e", &e))?;
    near("the loss", &over.read_f32(&gpu, "loss")?, &direct.read_f32(&gpu, "loss")?)?;
    for (x, de) in x.chunks(10).zip(over.read_f32(&gpu, "de")?.chunks(8)) {
        back.run(&gpu, &Feed::new().input("x", x).input("de", de))?;
    }
    for (name, _) in LAYERS {
        near(name, &state.read_f32(&gpu, &format!("sum.{name}"))?, &direct.read_f32(&gpu, name)?)?;
    }
    Ok(())
}
