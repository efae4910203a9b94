//! The ops of a case set in Burn. For each: the inputs that its fields describe (as wgslab's src/lab/case_builders.rs
//! makes them), what is timed, and the flops and bytes that wgslab counts for it. So GFLOP/s of two reports mean the
//! same.

mod elements;
mod layers;
mod losses;

use crate::measure::{Made, Work};
use burn::tensor::{Device, Distribution, Int, Tensor};

/// A row of a case.
pub struct Entry {
    pub direction: &'static str,
    pub flops: u64,
    pub bytes: u64,
    pub work: Work,
}

pub struct Form {
    inputs: Vec<String>,
    pub entries: Vec<Entry>,
    /// Whether the op takes several functions of Burn.
    pub composed: bool,
}

impl Form {
    /// The inputs as a report shows them.
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

/// The bytes of f32 or u32 tensors.
fn size(shapes: &[&[usize]]) -> u64 {
    4 * shapes.iter().map(|s| numel(s)).sum::<u64>()
}

/// The tensor as an input whose gradient is wanted.
fn wanted<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().autodiff().require_grad()
}

/// The tensor as an input of a graph whose gradient is not wanted.
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
        list.try_into().map_err(|l: Vec<usize>| format!("{name} has {} dimensions, but {D} are timed here", l.len()))
    }

    /// Two sizes. A single number stands for both.
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

    /// The gradients of those `inputs` that want one, for a cotangent of ones.
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
        if self.word("dtype").is_some_and(|d| d != "f32") {
            return Err("only products of f32 are timed here".into());
        }
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
            "permute" | "broadcast" => Err("Burn gives a view and has no public function that copies it".into()),
            _ => self.unary(),
        }
    }
}
