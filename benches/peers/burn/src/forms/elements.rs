//! Functions of each element, for which any shape is a vector; sums, selection and pools; optimizers.

use super::{Case, Ended, fixed, numel, size, wanted};
use burn::nn::DropoutConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, Optimizer, SgdConfig};
use burn::tensor::activation::{gelu, gelu_approximate, leaky_relu, relu, sigmoid, silu, tanh};
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Distribution, Tensor};
use std::cell::RefCell;

impl Case<'_> {
    pub(super) fn unary(&mut self) -> Ended {
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
        // A gradient that wgslab names after another function is not a row of this op.
        if self.op != "neg" && !tanh_gelu && !(self.op == "pow" && exponent.fract() == 0.0) {
            self.gradient("grad", wanted(&x), ((flops + 1) * n, 3 * bytes), move |x| again(x));
        }
        Ok(())
    }

    pub(super) fn binary(&mut self) -> Ended {
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

    pub(super) fn dropout(&mut self) -> Ended {
        let (x, p) = (self.list("x")?, self.real("p", 0.5));
        let (n, bytes) = (numel(&x), size(&[&x]));
        self.say("x", &x, "f32");
        self.say("scalars", &[64], "f32");
        let dropout = DropoutConfig::new(p).init();
        // Burn drops elements only on a device for training.
        let x = Tensor::<1>::random([n as usize], Distribution::Normal(0.0, 1.0), self.device).autodiff();
        self.forward(x, (27 * n, 2 * bytes), move |x| dropout.forward(x));
        Ok(())
    }

    // Sums and selection

    pub(super) fn reduce(&mut self) -> Ended {
        let (x, axes) = (self.list("x")?, self.list("axes")?);
        let kind = self.word("kind").unwrap_or("sum").to_string();
        if x.len() > 4 || !matches!(kind.as_str(), "sum" | "mean") {
            return Err("sums and means of up to 4 dimensions are timed here".into());
        }
        let kept: Vec<usize> = (0..x.len()).filter(|i| !axes.contains(i)).map(|i| x[i]).collect();
        let (n, y) = (numel(&x), if kept.is_empty() { vec![1] } else { kept });
        let bytes = size(&[&x, &y]);
        self.say("x", &x, "f32");
        // Axes of size 1 are put before the others; they change nothing.
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

    pub(super) fn gather(&mut self) -> Ended {
        let (table, n): ([usize; 2], usize) = (self.dims("table")?, self.whole("indices", 1));
        let y = [n, table[1]];
        let bytes = size(&[&y, &y, &[n]]);
        let rows = table[0];
        let table = self.normal("table", table);
        let indices = self.below("indices", n, rows);
        self.forward(table, (0, bytes), move |t: Tensor<2>| t.select(0, indices.clone()));
        Ok(())
    }

    pub(super) fn top_k(&mut self) -> Ended {
        let (x, k): ([usize; 2], usize) = (self.dims("x")?, self.whole("k", 1));
        let y = [x[0], k];
        let (forward, grad) = (size(&[&x, &y, &y]), size(&[&y, &y, &x]));
        let x = self.normal("x", x);
        let run = move |x: Tensor<2>| x.topk(k, 1);
        self.forward(x.clone(), (0, forward), run);
        self.gradient("grad", wanted(&x), (0, grad), run);
        Ok(())
    }

    pub(super) fn pool(
        &mut self,
        out: [usize; 2],
        area: usize,
        indices: bool,
        run: impl Fn(Tensor<4>) -> Tensor<4> + Clone + 'static,
    ) -> Ended {
        let x: [usize; 4] = self.dims("x")?;
        let y = [x[0], x[1], out[0], out[1]];
        let more = if indices { size(&[&y]) } else { 0 };
        let (flops, slopes, bytes) = (numel(&y) * area as u64, numel(&x), size(&[&x, &y]) + more);
        let x = self.normal("x", x);
        self.forward(x.clone(), (flops, bytes), run.clone());
        self.gradient("grad", wanted(&x), (slopes, bytes), run);
        Ok(())
    }

    pub(super) fn max_pool2d(&mut self) -> Ended {
        let (x, kernel): ([usize; 4], usize) = (self.dims("x")?, self.whole("kernel", 2));
        let (stride, padding) = (self.whole("stride", kernel), self.whole("padding", 0));
        let out = [x[2], x[3]].map(|n| (n + 2 * padding - kernel) / stride + 1);
        let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
        self.pool(out, kernel * kernel, true, move |x| max_pool2d(x, options.clone()))
    }

    pub(super) fn avg_pool2d(&mut self) -> Ended {
        let (x, kernel): ([usize; 4], [usize; 2]) = (self.dims("x")?, self.pair("kernel", [2, 2])?);
        let (stride, padding) = (self.pair("stride", kernel)?, self.pair("padding", [0, 0])?);
        let out = [0, 1].map(|i| (x[2 + i] + 2 * padding[i] - kernel[i]) / stride[i] + 1);
        let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
        self.pool(out, kernel[0] * kernel[1], false, move |x| avg_pool2d(x, options.clone()))
    }

    pub(super) fn adaptive_avg_pool2d(&mut self) -> Ended {
        let (x, out): ([usize; 4], [usize; 2]) = (self.dims("x")?, self.pair("out", [1, 1])?);
        // The longest window of an axis. Windows may overlap.
        let longest = |n: usize, o: usize| (0..o).map(|i| ((i + 1) * n).div_ceil(o) - i * n / o).max().unwrap_or(1);
        let area = longest(x[2], out[0]) * longest(x[3], out[1]);
        self.pool(out, area, false, move |x| adaptive_avg_pool2d(x, out))
    }

    // Optimizers

    /// One parameter of n elements. Its state is kept from run to run.
    pub(super) fn optimizer<O: Optimizer>(&mut self, names: &[&str], flops: u64, bytes: u64, optimizer: O) -> Ended {
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

    pub(super) fn sgd(&mut self) -> Ended {
        let momentum = MomentumConfig::new()
            .with_momentum(self.real("momentum", 0.9))
            .with_dampening(0.0)
            .with_nesterov(self.flag("nesterov"));
        let decay = WeightDecayConfig::new(self.real("weight_decay", 1e-4) as f32);
        let sgd = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).build();
        self.optimizer(&["velocity"], 6, 5, sgd)
    }

    pub(super) fn adam(&mut self) -> Ended {
        let (decay, names) = (self.real("weight_decay", 0.0) as f32, ["mean", "square", "step"]);
        if self.flag("decoupled") {
            return self.optimizer(&names, 13, 7, AdamWConfig::new().with_weight_decay(decay).build());
        }
        let decay = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
        self.optimizer(&names, 13, 7, AdamConfig::new().with_weight_decay(decay).build())
    }
}
