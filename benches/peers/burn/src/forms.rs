//! The ops of a case set in Burn: for each the inputs that its fields describe (as wgslab's src/lab/forms.rs makes them),
//! what is timed, and the flops and bytes that wgslab counts for it, so that GFLOP/s of two reports mean the same.

use crate::measure::{Made, Work};
use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{DropoutConfig, GroupNormConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, Optimizer, SgdConfig};
use burn::tensor::activation::{gelu, gelu_approximate, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, tanh};
use burn::tensor::module::{
    adaptive_avg_pool2d, attention, avg_pool2d, batch_norm_train, conv2d, layer_norm, max_pool2d,
};
use burn::tensor::ops::{AttentionModuleOptions, AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor};
use std::cell::RefCell;

/// A row of a case.
pub struct Entry {
    pub direction: &'static str,
    pub flops: u64,
    pub bytes: u64,
    pub work: Work,
}

/// A case.
pub struct Form {
    inputs: Vec<String>,
    pub entries: Vec<Entry>,
    /// Several functions of Burn stand for the op.
    pub composed: bool,
}

impl Form {
    /// Inputs as a report shows them.
    pub fn shape(&self) -> String {
        self.inputs.join(", ")
    }
}

/// Reads the fields of a case, fills its inputs and collects its rows.
struct Case<'a> {
    op: &'a str,
    table: &'a toml::Table,
    device: &'a Device,
    form: Form,
}

type Ended = Result<(), String>;

/// The rows of a case, or why Burn has none.
pub fn form(op: &str, table: &toml::Table, device: &Device) -> Result<Form, String> {
    let form = Form { inputs: Vec::new(), entries: Vec::new(), composed: false };
    let mut case = Case { op, table, device, form };
    case.build()?;
    Ok(case.form)
}

fn numel(dims: &[usize]) -> u64 {
    dims.iter().map(|d| *d as u64).product()
}

/// Bytes of f32 or u32 tensors.
fn size(shapes: &[&[usize]]) -> u64 {
    4 * shapes.iter().map(|s| numel(s)).sum::<u64>()
}

/// As an input whose gradient is wanted.
fn wanted<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().autodiff().require_grad()
}

/// As an input of a graph whose gradient is not wanted.
fn fixed<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().autodiff()
}

impl Case<'_> {
    fn list(&self, name: &str) -> Result<Vec<usize>, String> {
        let value = self.table.get(name).ok_or(format!("{} has no {name}", self.op))?;
        let whole = |v: &toml::Value| v.as_integer().and_then(|n| usize::try_from(n).ok());
        let list = match value.as_array() {
            Some(list) => list.iter().map(whole).collect(),
            None => whole(value).map(|n| vec![n]),
        };
        list.ok_or(format!("{name} of {} must be a list of sizes", self.op))
    }

    fn dims<const D: usize>(&self, name: &str) -> Result<[usize; D], String> {
        let list = self.list(name)?;
        list.try_into().map_err(|l: Vec<usize>| format!("{name} has {} dimensions and {D} are timed here", l.len()))
    }

    /// Two sizes; one stands for both.
    fn pair(&self, name: &str, default: [usize; 2]) -> Result<[usize; 2], String> {
        match self.table.get(name) {
            None => Ok(default),
            Some(_) => match self.list(name)?[..] {
                [n] => Ok([n, n]),
                [a, b] => Ok([a, b]),
                _ => Err(format!("{name} of {} must be one size or two", self.op)),
            },
        }
    }

    fn whole(&self, name: &str, default: usize) -> usize {
        self.table.get(name).and_then(toml::Value::as_integer).map_or(default, |n| n as usize)
    }

    fn real(&self, name: &str, default: f64) -> f64 {
        let value = self.table.get(name);
        value.and_then(|v| v.as_float().or(v.as_integer().map(|n| n as f64))).unwrap_or(default)
    }

    fn flag(&self, name: &str) -> bool {
        self.table.get(name).and_then(toml::Value::as_bool).unwrap_or(false)
    }

    fn word(&self, name: &str) -> Option<&str> {
        self.table.get(name).and_then(toml::Value::as_str)
    }

    fn say(&mut self, name: &str, dims: &[usize], dtype: &str) {
        self.form.inputs.push(format!("{name} {dims:?} {dtype}"));
    }

    fn filled<const D: usize>(&mut self, name: &str, dims: [usize; D], by: Distribution) -> Tensor<D> {
        self.say(name, &dims, "f32");
        Tensor::random(dims, by, self.device)
    }

    fn normal<const D: usize>(&mut self, name: &str, dims: [usize; D]) -> Tensor<D> {
        self.filled(name, dims, Distribution::Normal(0.0, 1.0))
    }

    fn below(&mut self, name: &str, n: usize, limit: usize) -> Tensor<1, Int> {
        self.say(name, &[n], "u32");
        Tensor::<1>::random([n], Distribution::Uniform(0.0, limit as f64), self.device).int().clamp(0, limit as i64 - 1)
    }

    fn forward<I: Clone + 'static, const D: usize>(
        &mut self,
        inputs: I,
        (flops, bytes): (u64, u64),
        run: impl Fn(I) -> Tensor<D> + 'static,
    ) {
        let work = Work::Forward(Box::new(move || Box::new(run(inputs.clone())) as Made));
        self.form.entries.push(Entry { direction: "forward", flops, bytes, work });
    }

    /// The gradient of those of `inputs` that want one, the cotangent being ones.
    fn gradient<I: Clone + 'static, const D: usize>(
        &mut self,
        direction: &'static str,
        inputs: I,
        (flops, bytes): (u64, u64),
        run: impl Fn(I) -> Tensor<D> + 'static,
    ) {
        let work = Work::Gradient(Box::new(move || {
            let y = run(inputs.clone());
            Box::new(move || Box::new(y.backward()) as Made)
        }));
        self.form.entries.push(Entry { direction, flops, bytes, work });
    }

    fn build(&mut self) -> Ended {
        match self.op {
            "conv2d" => self.conv2d(),
            "matmul" => self.matmul(),
            "add_bias" => self.add_bias(),
            "attention" => self.attention(),
            "batch_norm" => self.batch_norm(),
            "group_norm" => self.group_norm(),
            "layer_norm" => self.layer_norm(),
            "softmax" => self.softmax(),
            "cross_entropy" => self.cross_entropy(),
            "bce_with_logits" => self.bce_with_logits(),
            "mse" => self.mse(),
            "nt_xent" => self.nt_xent(),
            "l2_normalize" => self.l2_normalize(),
            "add" | "div" | "maximum" | "minimum" | "mul" | "sub" => self.binary(),
            "dropout" => self.dropout(),
            "reduce" => self.reduce(),
            "gather" => self.gather(),
            "top_k" => self.top_k(),
            "max_pool2d" => self.max_pool2d(),
            "avg_pool2d" => self.avg_pool2d(),
            "adaptive_avg_pool2d" => self.adaptive_avg_pool2d(),
            "sgd" => self.sgd(),
            "adam" => self.adam(),
            "permute" | "broadcast" => Err("Burn gives a view and has no copy of it in public".into()),
            _ => self.unary(),
        }
    }

    // Products

    fn conv2d(&mut self) -> Ended {
        let (x, w): ([usize; 4], [usize; 4]) = (self.dims("x")?, self.dims("weight")?);
        let [stride, dilation, groups] = ["stride", "dilation", "groups"].map(|n| self.whole(n, 1));
        let padding = self.whole("padding", 0);
        let side = |i: usize| (x[i] + 2 * padding - dilation * (w[i] - 1) - 1) / stride + 1;
        let y = [x[0], w[0], side(2), side(3)];
        let cost = (2 * numel(&y) * numel(&w[1..]), size(&[&x, &w, &y]));
        let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], groups);
        let run = move |(x, w): (Tensor<4>, Tensor<4>)| conv2d(x, w, None, options.clone());
        let (x, w) = (self.normal("x", x), self.normal("weight", w));
        self.forward((x.clone(), w.clone()), cost, run.clone());
        self.gradient("grad_input", (wanted(&x), fixed(&w)), cost, run.clone());
        self.gradient("grad_weight", (fixed(&x), wanted(&w)), cost, run);
        Ok(())
    }

    fn matmul(&mut self) -> Ended {
        let (a, b) = (self.list("a")?, self.list("b")?);
        let (trans_a, trans_b) = (self.flag("trans_a"), self.flag("trans_b"));
        // Batches are one axis before the matrix; without any it is 1.
        let three = |d: &[usize]| match *d {
            [m, n] => Ok([1, m, n]),
            [z, m, n] => Ok([z, m, n]),
            _ => Err("products of 2 or 3 dimensions are timed here".to_string()),
        };
        let ([z, am, ak], [_, bk, bn]) = (three(&a)?, three(&b)?);
        let (m, k) = if trans_a { (ak, am) } else { (am, ak) };
        let n = if trans_b { bk } else { bn };
        let cost = (2 * numel(&[z, m, n, k]), size(&[&a, &b, &[z, m, n]]));
        self.say("a", &a, "f32");
        self.say("b", &b, "f32");
        let random = |d: [usize; 3]| Tensor::<3>::random(d, Distribution::Normal(0.0, 1.0), self.device);
        let (a3, b3) = (random([z, am, ak]), random([z, bk, bn]));
        let turned = |t: Tensor<2>, yes: bool| if yes { t.transpose() } else { t };
        if a.len() == 2 {
            let inputs = (a3.reshape([am, ak]), b3.reshape([bk, bn]));
            self.forward(inputs, cost, move |(a, b)| turned(a, trans_a).matmul(turned(b, trans_b)));
        } else {
            let turned = |t: Tensor<3>, yes: bool| if yes { t.swap_dims(1, 2) } else { t };
            self.forward((a3, b3), cost, move |(a, b)| turned(a, trans_a).matmul(turned(b, trans_b)));
        }
        Ok(())
    }

    fn add_bias(&mut self) -> Ended {
        let x: [usize; 2] = self.dims("x")?;
        let n = x[1];
        let (forward, grad) = (size(&[&x, &x, &[n]]), size(&[&x, &[n]]));
        let run = |(x, bias): (Tensor<2>, Tensor<1>)| x + bias.unsqueeze::<2>();
        let (flops, x) = (numel(&x), self.normal("x", x));
        let bias = self.normal("bias", [n]);
        self.forward((x.clone(), bias.clone()), (flops, forward), run);
        self.gradient("grad_bias", (fixed(&x), wanted(&bias)), (flops, grad), run);
        Ok(())
    }

    fn attention(&mut self) -> Ended {
        let (q, k): ([usize; 4], [usize; 4]) = (self.dims("q")?, self.dims("k")?);
        let ([b, h, t, e], s, is_causal) = (q, k[2], self.flag("causal"));
        let of_head: usize = if is_causal { (1..=t).map(|i| i.min(s)).sum() } else { t * s };
        let (work, lse) = (numel(&[b, h, of_head, e]), [b, h, t]);
        let options = AttentionModuleOptions { is_causal, ..AttentionModuleOptions::default() };
        let run = move |(q, k, v): (Tensor<4>, Tensor<4>, Tensor<4>)| {
            attention(q, k, v, None::<Tensor<4, Bool>>, None, options)
        };
        let (forward, grad) = (size(&[&q, &k, &k, &q, &lse]), size(&[&q, &k, &k, &q, &lse, &q, &q, &k, &k]));
        let (q, k, v) = (self.normal("q", q), self.normal("k", k), self.normal("v", k));
        self.forward((q.clone(), k.clone(), v.clone()), (4 * work, forward), run);
        self.gradient("grad", (wanted(&q), wanted(&k), wanted(&v)), (10 * work, grad), run);
        Ok(())
    }

    // Norms and softmax

    fn affine(&mut self, n: usize) -> (Tensor<1>, Tensor<1>) {
        (self.filled("weight", [n], Distribution::Uniform(0.5, 1.5)), self.normal("bias", [n]))
    }

    fn batch_norm(&mut self) -> Ended {
        if self.whole("splits", 1) != 1 {
            return Err("Burn's batch_norm has no splits".into());
        }
        match self.list("x")?.len() {
            2 => self.batch_norm_of::<2>(),
            _ => self.batch_norm_of::<4>(),
        }
    }

    fn batch_norm_of<const D: usize>(&mut self) -> Ended {
        let (dims, eps): ([usize; D], f64) = (self.dims("x")?, self.real("eps", 1e-5));
        let (n, bytes) = (numel(&dims), size(&[&dims]));
        let x = self.normal("x", dims);
        let (w, b) = self.affine(dims[1]);
        let run = move |(x, w, b): (Tensor<D>, Tensor<1>, Tensor<1>)| batch_norm_train(x, w, b, eps).output;
        self.forward((x.clone(), w.clone(), b.clone()), (8 * n, 3 * bytes), run);
        self.gradient("grad", (wanted(&x), wanted(&w), wanted(&b)), (9 * n, 5 * bytes), run);
        Ok(())
    }

    fn group_norm(&mut self) -> Ended {
        let dims: [usize; 4] = self.dims("x")?;
        let (n, bytes) = (numel(&dims), size(&[&dims]));
        let config = GroupNormConfig::new(self.whole("groups", 1), dims[1]).with_epsilon(self.real("eps", 1e-5));
        let x = self.normal("x", dims);
        self.affine(dims[1]);
        let plain = config.init(self.device);
        self.forward(x.clone(), (8 * n, 3 * bytes), move |x| plain.forward(x));
        // The parameters of a module on such a device want their gradients.
        let trained = config.init(&self.device.clone().autodiff());
        self.gradient("grad", wanted(&x), (9 * n, 5 * bytes), move |x| trained.forward(x));
        Ok(())
    }

    fn layer_norm(&mut self) -> Ended {
        let (x, eps): ([usize; 2], f64) = (self.dims("x")?, self.real("eps", 1e-5));
        let ([n, d], count) = (x, numel(&x));
        let forward = size(&[&x, &[d], &[d], &x, &[n], &[n]]);
        let grad = size(&[&x, &[d], &[n], &[n], &x, &x, &[d], &[d]]);
        let x = self.normal("x", x);
        let (w, b) = self.affine(d);
        let run = move |(x, w, b): (Tensor<2>, Tensor<1>, Tensor<1>)| layer_norm(x, w, Some(b), eps);
        self.forward((x.clone(), w.clone(), b.clone()), (8 * count, forward), run);
        self.gradient("grad", (wanted(&x), wanted(&w), wanted(&b)), (14 * count, grad), run);
        Ok(())
    }

    fn l2_normalize(&mut self) -> Ended {
        let (x, eps): ([usize; 2], f64) = (self.dims("x")?, self.real("eps", 1e-12));
        self.form.composed = true;
        let (n, rows) = (numel(&x), [x[0]]);
        let (forward, grad) = (size(&[&x, &x, &rows]), size(&[&x, &rows, &x, &x]));
        let run = move |x: Tensor<2>| x.clone() / x.powi_scalar(2).sum_dim(1).sqrt().clamp_min(eps);
        let x = self.normal("x", x);
        self.forward(x.clone(), (3 * n, forward), run);
        self.gradient("grad", wanted(&x), (5 * n, grad), run);
        Ok(())
    }

    fn softmax(&mut self) -> Ended {
        let (temperature, log) = (self.real("temperature", 1.0), self.flag("log"));
        self.form.composed = temperature != 1.0;
        let x = self.list("x")?;
        let (n, bytes) = (numel(&x), size(&[&x]));
        // Rows are all that matters.
        let d = x.last().copied().unwrap_or(1);
        self.say("x", &x, "f32");
        let rows = [(n as usize) / d, d];
        let x = Tensor::<2>::random(rows, Distribution::Normal(0.0, 1.0), self.device);
        let run = move |x: Tensor<2>| {
            let x = if temperature == 1.0 { x } else { x / temperature };
            if log { log_softmax(x, 1) } else { softmax(x, 1) }
        };
        self.forward(x.clone(), (7 * n, 2 * bytes), run);
        self.gradient("grad", wanted(&x), (5 * n, 3 * bytes), run);
        Ok(())
    }

    // Losses

    /// Forward bytes and those of the gradient of the first `slopes` inputs, as a loss over rows has them in wgslab.
    fn loss_bytes(own: &[&[usize]], slopes: usize, keeps: bool) -> (u64, u64) {
        let n = own[0][0];
        let stats = if keeps { size(&[&[n, 4]]) } else { 0 };
        let grad = size(own) + stats + size(&[&[1], &[n]]) + size(&own[..slopes]);
        (size(own) + stats + size(&[&[n], &[1], &[n], &[n]]), grad)
    }

    fn cross_entropy(&mut self) -> Ended {
        let ([n, k], smoothing): ([usize; 2], f64) = (self.dims("logits")?, self.real("label_smoothing", 0.0));
        let flops = if smoothing == 0.0 { 4 } else { 9 } * numel(&[n, k]);
        let (forward, grad) = Self::loss_bytes(&[&[n, k], &[n]], 1, true);
        let logits = self.normal("logits", [n, k]);
        let labels = self.below("labels", n, k);
        self.say("weights", &[n], "f32");
        let smoothing = (smoothing > 0.0).then_some(smoothing as f32);
        let loss = CrossEntropyLossConfig::new().with_smoothing(smoothing).init(self.device);
        let run = move |x: Tensor<2>| loss.forward(x, labels.clone());
        self.forward(logits.clone(), (flops, forward), run.clone());
        self.gradient("grad", wanted(&logits), (flops, grad), run);
        Ok(())
    }

    fn bce_with_logits(&mut self) -> Ended {
        let [n, k]: [usize; 2] = self.dims("logits")?;
        let flops = 12 * numel(&[n, k]);
        let (forward, grad) = Self::loss_bytes(&[&[n, k], &[n, k]], 1, false);
        let logits = self.normal("logits", [n, k]);
        self.say("targets", &[n, k], "f32");
        self.say("weights", &[n], "f32");
        // Burn's takes whole targets.
        let targets = Tensor::<2>::random([n, k], Distribution::Bernoulli(0.5), self.device).int();
        let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(self.device);
        let run = move |x: Tensor<2>| loss.forward(x, targets.clone());
        self.forward(logits.clone(), (flops, forward), run.clone());
        self.gradient("grad", wanted(&logits), (flops, grad), run);
        Ok(())
    }

    fn mse(&mut self) -> Ended {
        let x: [usize; 2] = self.dims("x")?;
        let flops = 3 * numel(&x);
        let (forward, grad) = Self::loss_bytes(&[&x, &x], 2, false);
        let rows = x[0];
        let (x, target) = (self.normal("x", x), self.normal("target", x));
        self.say("weights", &[rows], "f32");
        let run = |(x, target): (Tensor<2>, Tensor<2>)| MseLoss::new().forward(x, target, Reduction::Mean);
        self.forward((x.clone(), target.clone()), (flops, forward), run);
        self.gradient("grad", (wanted(&x), wanted(&target)), (flops, grad), run);
        Ok(())
    }

    /// As it is written with a framework: similarities, no self-pairs, cross-entropy.
    fn nt_xent(&mut self) -> Ended {
        let ([n, d], temperature): ([usize; 2], f64) = (self.dims("z")?, self.real("temperature", 0.5));
        self.form.composed = true;
        let (elements, rows) = (numel(&[n, d]), n as u64);
        let reach = (3.0 / d as f64).sqrt();
        let z = self.filled("z", [n, d], Distribution::Uniform(-reach, reach));
        let own = Tensor::<2>::eye(n, self.device).bool();
        let partner: Vec<i64> = (0..n).map(|i| ((i + n / 2) % n) as i64).collect();
        let partner = Tensor::<1, Int>::from_data(partner.as_slice(), self.device);
        let loss = CrossEntropyLossConfig::new().init(self.device);
        let run = move |z: Tensor<2>| {
            let logits = z.clone().matmul(z.transpose()) / temperature;
            loss.forward(logits.mask_fill(own.clone(), f32::NEG_INFINITY), partner.clone())
        };
        let forward = (rows * (2 * elements + 4 * rows), size(&[&[n, d], &[n]]));
        let grad = (rows * (4 * elements + 6 * rows), size(&[&[n, d], &[n], &[n, d]]));
        self.forward(z.clone(), forward, run.clone());
        self.gradient("grad", wanted(&z), grad, run);
        Ok(())
    }

    // Elementwise: of every rank as a vector

    fn unary(&mut self) -> Ended {
        let [low, high] = [self.real("min", -1.0), self.real("max", 1.0)];
        let [slope, exponent] = [self.real("negative_slope", 0.01), self.real("exponent", 2.0)];
        let tanh_gelu = self.word("approximate") == Some("tanh");
        let (run, flops): (Box<dyn Fn(Tensor<1>) -> Tensor<1>>, u64) = match self.op {
            "abs" => (Box::new(Tensor::abs), 1),
            "clamp" => (Box::new(move |x| x.clamp(low, high)), 2),
            "exp" => (Box::new(Tensor::exp), 1),
            "gelu" if tanh_gelu => (Box::new(gelu_approximate), 9),
            "gelu" => (Box::new(gelu), 28),
            "leaky_relu" => (Box::new(move |x| leaky_relu(x, slope)), 2),
            "log" => (Box::new(Tensor::log), 1),
            "neg" => (Box::new(Tensor::neg), 1),
            "pow" => (Box::new(move |x| x.powf_scalar(exponent)), 1),
            "reciprocal" => (Box::new(Tensor::recip), 1),
            "relu" => (Box::new(relu), 1),
            "sigmoid" => (Box::new(sigmoid), 4),
            "silu" => (Box::new(silu), 5),
            "sqrt" => (Box::new(Tensor::sqrt), 1),
            "tanh" => (Box::new(tanh), 17),
            op => return Err(format!("Burn has no {op}, or no form of it is written here")),
        };
        let x = self.list("x")?;
        let (n, bytes) = (numel(&x), size(&[&x]));
        self.say("x", &x, "f32");
        let positive = matches!(self.op, "log" | "sqrt" | "pow" | "reciprocal");
        let by = if positive { Distribution::Uniform(0.05, 4.0) } else { Distribution::Normal(0.0, 1.0) };
        let x = Tensor::<1>::random([n as usize], by, self.device);
        let run = std::rc::Rc::new(run);
        let again = run.clone();
        self.forward(x.clone(), (flops * n, 2 * bytes), move |x| run(x));
        // Gradients that wgslab names after another function are no rows of this op.
        if self.op != "neg" && !tanh_gelu && !(self.op == "pow" && exponent.fract() == 0.0) {
            self.gradient("grad", wanted(&x), ((flops + 1) * n, 3 * bytes), move |x| again(x));
        }
        Ok(())
    }

    fn binary(&mut self) -> Ended {
        let x = self.list("x")?;
        let (n, bytes) = (numel(&x), size(&[&x]));
        for name in ["x", "other"] {
            self.say(name, &x, "f32");
        }
        let run: fn((Tensor<1>, Tensor<1>)) -> Tensor<1> = match self.op {
            "add" => |(a, b)| a + b,
            "div" => |(a, b)| a / b,
            "maximum" => |(a, b)| a.max_pair(b),
            "minimum" => |(a, b)| a.min_pair(b),
            "mul" => |(a, b)| a * b,
            _ => |(a, b)| a - b,
        };
        let random = |by| Tensor::<1>::random([n as usize], by, self.device);
        let (a, b) = (random(Distribution::Normal(0.0, 1.0)), random(Distribution::Uniform(0.5, 2.0)));
        self.forward((a.clone(), b.clone()), (n, 3 * bytes), run);
        match self.op {
            "div" => self.gradient("grad", (fixed(&a), wanted(&b)), (3 * n, 4 * bytes), run),
            "maximum" => self.gradient("grad", (wanted(&a), fixed(&b)), (2 * n, 4 * bytes), run),
            _ => {}
        }
        Ok(())
    }

    fn dropout(&mut self) -> Ended {
        let (x, p) = (self.list("x")?, self.real("p", 0.5));
        let (n, bytes) = (numel(&x), size(&[&x]));
        self.say("x", &x, "f32");
        self.say("scalars", &[64], "f32");
        let dropout = DropoutConfig::new(p).init();
        // It drops on a device for training alone.
        let x = Tensor::<1>::random([n as usize], Distribution::Normal(0.0, 1.0), self.device).autodiff();
        self.forward(x, (27 * n, 2 * bytes), move |x| dropout.forward(x));
        Ok(())
    }

    // Sums and selection

    fn reduce(&mut self) -> Ended {
        let (x, axes) = (self.list("x")?, self.list("axes")?);
        let kind = self.word("kind").unwrap_or("sum").to_string();
        if x.len() > 4 || !matches!(kind.as_str(), "sum" | "mean") {
            return Err("sums and means of up to 4 dimensions are timed here".into());
        }
        let kept: Vec<usize> = (0..x.len()).filter(|i| !axes.contains(i)).map(|i| x[i]).collect();
        let (n, y) = (numel(&x), if kept.is_empty() { vec![1] } else { kept });
        let bytes = size(&[&x, &y]);
        self.say("x", &x, "f32");
        // Axes of size 1 before the others change nothing.
        let lead = 4 - x.len();
        let mut dims = [1; 4];
        dims[lead..].copy_from_slice(&x);
        let axes: Vec<usize> = axes.iter().map(|a| a + lead).collect();
        let mean = kind == "mean";
        let run = move |x: Tensor<4>| if mean { x.mean_dims(&axes) } else { x.sum_dims(&axes) };
        let x = Tensor::<4>::random(dims, Distribution::Normal(0.0, 1.0), self.device);
        self.forward(x.clone(), (n, bytes), run.clone());
        self.gradient("grad", wanted(&x), (2 * n, bytes), run);
        Ok(())
    }

    fn gather(&mut self) -> Ended {
        let (table, n): ([usize; 2], usize) = (self.dims("table")?, self.whole("indices", 1));
        let y = [n, table[1]];
        let bytes = size(&[&y, &y, &[n]]);
        let rows = table[0];
        let table = self.normal("table", table);
        let indices = self.below("indices", n, rows);
        self.forward(table, (0, bytes), move |t: Tensor<2>| t.select(0, indices.clone()));
        Ok(())
    }

    fn top_k(&mut self) -> Ended {
        let (x, k): ([usize; 2], usize) = (self.dims("x")?, self.whole("k", 1));
        let y = [x[0], k];
        let (forward, grad) = (size(&[&x, &y, &y]), size(&[&y, &y, &x]));
        let x = self.normal("x", x);
        let run = move |x: Tensor<2>| x.topk(k, 1);
        self.forward(x.clone(), (0, forward), run);
        self.gradient("grad", wanted(&x), (0, grad), run);
        Ok(())
    }

    fn pool(&mut self, out: [usize; 2], area: usize, indices: bool, run: impl Fn(Tensor<4>) -> Tensor<4> + Clone + 'static) -> Ended {
        let x: [usize; 4] = self.dims("x")?;
        let y = [x[0], x[1], out[0], out[1]];
        let more = if indices { size(&[&y]) } else { 0 };
        let (flops, slopes, bytes) = (numel(&y) * area as u64, numel(&x), size(&[&x, &y]) + more);
        let x = self.normal("x", x);
        self.forward(x.clone(), (flops, bytes), run.clone());
        self.gradient("grad", wanted(&x), (slopes, bytes), run);
        Ok(())
    }

    fn max_pool2d(&mut self) -> Ended {
        let (x, kernel): ([usize; 4], usize) = (self.dims("x")?, self.whole("kernel", 2));
        let (stride, padding) = (self.whole("stride", kernel), self.whole("padding", 0));
        let out = [x[2], x[3]].map(|n| (n + 2 * padding - kernel) / stride + 1);
        let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
        self.pool(out, kernel * kernel, true, move |x| max_pool2d(x, options.clone()))
    }

    fn avg_pool2d(&mut self) -> Ended {
        let (x, kernel): ([usize; 4], [usize; 2]) = (self.dims("x")?, self.pair("kernel", [2, 2])?);
        let (stride, padding) = (self.pair("stride", kernel)?, self.pair("padding", [0, 0])?);
        let out = [0, 1].map(|i| (x[2 + i] + 2 * padding[i] - kernel[i]) / stride[i] + 1);
        let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
        self.pool(out, kernel[0] * kernel[1], false, move |x| avg_pool2d(x, options.clone()))
    }

    fn adaptive_avg_pool2d(&mut self) -> Ended {
        let (x, out): ([usize; 4], [usize; 2]) = (self.dims("x")?, self.pair("out", [1, 1])?);
        // The longest window of an axis, which may overlap its neighbours.
        let longest = |n: usize, o: usize| (0..o).map(|i| ((i + 1) * n).div_ceil(o) - i * n / o).max().unwrap_or(1);
        let area = longest(x[2], out[0]) * longest(x[3], out[1]);
        self.pool(out, area, false, move |x| adaptive_avg_pool2d(x, out))
    }

    // Optimizers

    /// One parameter of n elements, its state kept from run to run.
    fn optimizer<O: Optimizer>(&mut self, names: &[&str], flops: u64, bytes: u64, optimizer: O) -> Ended {
        let [n] = self.dims("param")?;
        let (param, grad) = (self.normal("param", [n]), self.normal("grad", [n]));
        for name in names {
            self.say(name, &[if *name == "step" { 1 } else { n }], "f32");
        }
        self.say("scalars", &[64], "f32");
        let held = RefCell::new((param, None));
        self.forward((), (flops * n as u64, bytes * 4 * n as u64), move |()| {
            let (param, state) = held.borrow_mut().clone();
            let (param, state) = optimizer.step(1e-6, param, grad.clone(), state);
            *held.borrow_mut() = (param.clone(), state);
            param
        });
        Ok(())
    }

    fn sgd(&mut self) -> Ended {
        let momentum = MomentumConfig::new()
            .with_momentum(self.real("momentum", 0.9))
            .with_dampening(0.0)
            .with_nesterov(self.flag("nesterov"));
        let decay = WeightDecayConfig::new(self.real("weight_decay", 1e-4) as f32);
        let sgd = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).build();
        self.optimizer(&["velocity"], 6, 5, sgd)
    }

    fn adam(&mut self) -> Ended {
        let (decay, names) = (self.real("weight_decay", 0.0) as f32, ["mean", "square", "step"]);
        if self.flag("decoupled") {
            return self.optimizer(&names, 13, 7, AdamWConfig::new().with_weight_decay(decay).build());
        }
        let decay = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
        self.optimizer(&names, 13, 7, AdamConfig::new().with_weight_decay(decay).build())
    }
}
