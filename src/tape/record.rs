//! The tape: values and nodes in the order they were recorded. Nothing runs here.

use super::constants::{Constants, exact};
use super::op::{Op, Type};
use super::scope::Scope;
use crate::base::hash::Hasher;
use crate::base::{DType, Error, Result, Shape};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A handle to a value of a tape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, serde::Serialize)]
pub struct Var(pub(super) u32);

impl Var {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A number that changes from step to step, for instance a learning rate, a temperature or an epoch. All scalars of a
/// step lie in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The buffer of all scalars, an f32 [64] input. Pass it to the op.
    pub var: Var,
    /// Which element of the buffer it is. It goes into the op's `Params`.
    pub slot: u32,
}

/// How many named scalars a tape may have.
pub const SCALARS: usize = 64;

/// The name of the buffer of all scalars among a schedule's inputs.
pub(super) const SCALARS_INPUT: &str = "scalars";

fn scalars_taken() -> Error {
    Error::Failed("named scalars lie in a buffer called scalars; give the input called scalars another name".into())
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub(super) enum Role {
    /// Written by the host before each run.
    Input(String),
    /// The value of the named state at the beginning of the step.
    State(String),
    /// Computed.
    Temp,
}

#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Value {
    pub ty: Type,
    pub role: Role,
}

/// Which part of a training step a node belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default, serde::Serialize)]
pub enum StepPart {
    /// Turns stored samples into the network's input.
    Augmentation,
    /// The network, its loss and its metrics.
    #[default]
    Forward,
    /// Appended by a backward pass. It cannot be differentiated again.
    Backward,
    /// Changes the state, once the gradients are known.
    Optimizer,
}

impl StepPart {
    /// All of them, in the order of a step.
    pub const ALL: [StepPart; 4] = [StepPart::Augmentation, StepPart::Forward, StepPart::Backward, StepPart::Optimizer];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            StepPart::Augmentation => "augmentation",
            StepPart::Forward => "forward",
            StepPart::Backward => "backward",
            StepPart::Optimizer => "optimizer",
        }
    }
}

#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Node {
    #[serde(serialize_with = "by_constants")]
    pub op: Arc<dyn Op>,
    pub inputs: Vec<Var>,
    pub outputs: Vec<Var>,
    /// Names of the layers around it, joined by dots.
    pub layer: String,
    /// The part of the step it was recorded in.
    pub part: StepPart,
}

/// An op is known by its name and its constants.
fn by_constants<S: serde::Serializer>(op: &Arc<dyn Op>, to: S) -> std::result::Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&(op.name(), op.constants(exact)), to)
}

/// State as the tape sees it.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Versions {
    /// The value at the start of the step.
    pub first: Var,
    /// The value that was assigned last; `first` before any assign.
    pub newest: Var,
    /// The scopes it was assigned in.
    pub scopes: BTreeSet<Scope>,
    /// Whether the newest value was assigned and has not been read since.
    pub unread: bool,
}

/// A recording of one step.
///
/// ```
/// use wgslab::base::Shape;
/// use wgslab::tape::{Tape, Type};
///
/// let mut t = Tape::new();
/// let x = t.input("x", Type::f32([2, 3]))?; // written before each run
/// let w = t.state("w", Type::f32([4, 3]))?; // outlives the step
/// let y = t.linear(x, w, None)?;
/// let loss = t.mul(y, y)?;
/// let dw = t.gradient(loss, &[w])?[0].map(|dw| t.shape(dw)); // of the sum over the loss
/// assert_eq!((t.shape(y), dw), (Shape::new(&[2, 4]), Some(Shape::new(&[4, 3]))));
/// // Shapes are checked while recording, and an error names both.
/// assert!(t.matmul(x, x, false, false).is_err_and(|e| e.to_string().contains("[2, 3]")));
/// # Ok::<(), wgslab::base::Error>(())
/// ```
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Tape {
    pub(super) values: Vec<Value>,
    pub(super) nodes: Vec<Node>,
    pub(super) states: BTreeMap<String, Versions>,
    pub(super) inputs: Vec<(String, Var)>,
    pub(super) scalars: Vec<String>,
    pub(super) scalars_var: Option<Var>,
    pub(super) outputs: Vec<(String, Var)>,
    pub(super) guards: BTreeMap<Scope, Var>,
    pub(super) detached: BTreeSet<Var>,
    pub(super) wanted: BTreeSet<Var>,
    pub(super) scope: Scope,
    part: StepPart,
    layers: Vec<String>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// A hash of all that was recorded. Tapes with the same signature have the same schedule, with the same options.
    pub fn signature(&self) -> String {
        Hasher::new().part(self.constants(exact)).hex()
    }

    fn value(&mut self, ty: Type, role: Role) -> Var {
        self.values.push(Value { ty, role });
        Var(self.values.len() as u32 - 1)
    }

    /// An input that the host writes before each run. It is an error if the name is taken or a size is 0.
    pub fn input(&mut self, name: &str, ty: Type) -> Result<Var> {
        if self.inputs.iter().any(|i| i.0 == name) {
            return Err(Error::Failed(format!("the tape already has an input called {name}")));
        }
        if name == SCALARS_INPUT && self.scalars_var.is_some() {
            return Err(scalars_taken());
        }
        if ty.shape.numel() == 0 {
            return Err(Error::Failed(format!("the input {name} is {ty}: every size must be at least 1")));
        }
        let v = self.value(ty, Role::Input(name.to_string()));
        self.inputs.push((name.to_string(), v));
        Ok(v)
    }

    /// The input of that name, if there is one so far.
    pub fn known_input(&self, name: &str) -> Option<Var> {
        self.inputs.iter().find(|i| i.0 == name).map(|i| i.1)
    }

    /// A named scalar; the same name gives the same slot.
    pub fn scalar(&mut self, name: &str) -> Result<Scalar> {
        let var = match self.scalars_var {
            Some(v) => v,
            None if self.inputs.iter().any(|i| i.0 == SCALARS_INPUT) => return Err(scalars_taken()),
            None => *self.scalars_var.insert({
                let v = Var(self.values.len() as u32);
                self.values.push(Value { ty: Type::f32([SCALARS]), role: Role::Input(SCALARS_INPUT.into()) });
                v
            }),
        };
        let slot = self.scalars.iter().position(|s| s == name).unwrap_or_else(|| {
            self.scalars.push(name.to_string());
            self.scalars.len() - 1
        });
        if slot >= SCALARS {
            return Err(Error::Failed(format!("a tape has at most {SCALARS} named scalars; {name} is one too many")));
        }
        Ok(Scalar { var, slot: slot as u32 })
    }

    /// The newest value of a named state: the value that was assigned last, or its value at the beginning of the step.
    /// It is an error if the tape knows the state with another type.
    pub fn state(&mut self, name: &str, ty: Type) -> Result<Var> {
        if let Some(have) = self.states.get(name).map(|v| self.ty(v.first)).filter(|have| *have != ty) {
            return Err(Error::Failed(format!("state {name} is {have} on this tape and was asked for as {ty}")));
        }
        if let Some(v) = self.states.get_mut(name) {
            v.unread = false;
            return Ok(v.newest);
        }
        let v = self.value(ty, Role::State(name.to_string()));
        let versions = Versions { first: v, newest: v, scopes: BTreeSet::new(), unread: false };
        self.states.insert(name.to_string(), versions);
        Ok(v)
    }

    /// Keeps a value, so that [`super::Plan::read`] can read it after each run. Each name may be given once:
    /// [`super::Schedule::new`] refuses a second output of the same name.
    pub fn output(&mut self, name: &str, var: Var) {
        self.outputs.push((name.to_string(), var));
    }

    /// Records an op and returns its outputs. It is an error if the op refuses the types of the inputs, or takes no f16
    /// and gets it. The error names the layer.
    pub fn apply(&mut self, op: impl Op, inputs: &[Var]) -> Result<Vec<Var>> {
        self.apply_dyn(Arc::new(op), inputs)
    }

    /// Records an op with one output.
    pub fn apply1(&mut self, op: impl Op, inputs: &[Var]) -> Result<Var> {
        Ok(self.apply(op, inputs)?[0])
    }

    /// The output of an op with one, which is recorded unless this part of the step holds the same op over the same inputs.
    pub fn apply_once(&mut self, op: impl Op, inputs: &[Var]) -> Result<Var> {
        let (name, constants) = (op.name(), op.constants(exact));
        let same = |n: &&Node| n.inputs == inputs && n.op.name() == name && n.op.constants(exact) == constants;
        match self.nodes.iter().filter(|n| n.part == self.part).find(same) {
            Some(node) => Ok(node.outputs[0]),
            None => self.apply1(op, inputs),
        }
    }

    /// Records an op behind a pointer.
    pub fn apply_dyn(&mut self, op: Arc<dyn Op>, inputs: &[Var]) -> Result<Vec<Var>> {
        let types: Vec<Type> = inputs.iter().map(|&v| self.ty(v)).collect();
        let layer = self.layers.join(".");
        let halves = |types: &[Type]| match types.iter().find(|ty| ty.dtype == DType::F16 && !op.takes_f16()) {
            None => Ok(()),
            Some(ty) => Err(Error::shape(op.name(), format!("it does not take {ty}; cast it to F32 first"))),
        };
        let inferred = halves(&types).and_then(|()| op.infer(&types)).and_then(|y| halves(&y).map(|()| y));
        let outputs = inferred.map_err(|e| match e {
            Error::Shape { op, what } if !layer.is_empty() => Error::Shape { op, what: format!("at {layer}: {what}") },
            e => e,
        })?;
        if let Some(empty) = outputs.iter().find(|ty| ty.shape.numel() == 0) {
            return Err(Error::shape(op.name(), format!("its output would be {empty}: every size must be at least 1")));
        }
        let outputs: Vec<Var> = outputs.into_iter().map(|ty| self.value(ty, Role::Temp)).collect();
        let part = self.part;
        self.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone(), layer, part });
        Ok(outputs)
    }

    /// Records `f` under the layer `name`. Labels and errors of the nodes carry the name.
    pub fn layer<T>(&mut self, name: &str, f: impl FnOnce(&mut Tape) -> Result<T>) -> Result<T> {
        self.layers.push(name.to_string());
        let r = f(self);
        self.layers.pop();
        r
    }

    /// Records `f` as a part of the step. The schedule keeps the part of each node.
    pub fn part<T>(&mut self, part: StepPart, f: impl FnOnce(&mut Tape) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.part, part);
        let r = f(self);
        self.part = before;
        r
    }

    /// The same memory with another shape of as many elements. Any dtype. A gradient flows through.
    pub fn reshape(&mut self, x: Var, shape: impl Into<Shape>) -> Result<Var> {
        self.apply1(super::assign::View { shape: shape.into() }, &[x])
    }

    /// The same value, through which no gradient flows.
    pub fn detach(&mut self, x: Var) -> Result<Var> {
        let y = self.apply1(super::assign::View { shape: self.shape(x) }, &[x])?;
        self.detached.insert(y);
        Ok(y)
    }

    /// Type of a value.
    pub fn ty(&self, v: Var) -> Type {
        self.values[v.index()].ty
    }

    /// Shape of a value.
    pub fn shape(&self, v: Var) -> Shape {
        self.ty(v).shape
    }

    /// Whether a gradient may flow through a value: its elements are f32 or f16.
    pub(super) fn is_float(&self, v: Var) -> bool {
        self.ty(v).dtype.is_float()
    }

    /// During a backward pass: whether anything needs the gradient of `v`.
    pub fn wants(&self, v: Var) -> bool {
        self.wanted.contains(&v)
    }

    /// The values that a step is run for: outputs, assigned values and guards.
    pub(super) fn kept(&self) -> impl Iterator<Item = Var> + '_ {
        let assigned = self.states.values().filter(|s| s.newest != s.first).map(|s| s.newest);
        self.outputs.iter().map(|o| o.1).chain(assigned).chain(self.guards.values().copied())
    }

    /// For each node: whether a kept value depends on it.
    pub(super) fn live(&self) -> Vec<bool> {
        let mut needed = vec![false; self.values.len()];
        self.kept().for_each(|v| needed[v.index()] = true);
        let mut live = vec![false; self.nodes.len()];
        for (i, n) in self.nodes.iter().enumerate().rev() {
            if n.outputs.iter().any(|v| needed[v.index()]) {
                live[i] = true;
                n.inputs.iter().for_each(|v| needed[v.index()] = true);
            }
        }
        live
    }

    /// Takes back every assign that was recorded so far, in every scope, so that each state keeps its value of before
    /// the step. Use it for a recording of which only some values are wanted. Assigns that are recorded later count.
    pub fn forget_assigns(&mut self) {
        for v in self.states.values_mut() {
            (v.newest, v.unread) = (v.first, false);
            v.scopes.clear();
        }
    }

    /// Takes back the inputs that no kept value depends on, so that nobody has to feed them.
    pub fn forget_unread_inputs(&mut self) {
        let mut read: BTreeSet<Var> = self.kept().collect();
        for (node, _) in self.nodes.iter().zip(self.live()).filter(|(_, live)| *live) {
            read.extend(&node.inputs);
        }
        self.inputs.retain(|(_, v)| read.contains(v));
    }

    /// How many nodes are recorded.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Names of the states this tape reads or assigns, with their types.
    pub fn state_types(&self) -> Vec<(String, Type)> {
        self.states.iter().map(|(n, v)| (n.clone(), self.ty(v.first))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a schedule is made from is in the signature.
    #[test]
    fn a_signature_is_of_all_that_was_recorded() {
        type Change<'a> = &'a dyn Fn(&mut Tape) -> Result<()>;
        let tape = |width: usize, by: f32, layer: &str, change: Change<'_>| {
            let mut t = Tape::new();
            let x = t.input("x", Type::f32([width])).unwrap();
            let y = t.layer(layer, |t| t.scale(x, by)).unwrap();
            t.output("y", y);
            change(&mut t).unwrap();
            t.signature()
        };
        let same: Change<'_> = &|_| Ok(());
        let first = tape(4, 2.0, "a", same);
        assert_eq!(first, tape(4, 2.0, "a", same));
        let y = Var(1);
        let all = [
            tape(5, 2.0, "a", same),
            tape(4, 2.5, "a", same),
            tape(4, 2.0, "b", same),
            tape(4, 2.0, "a", &|t| {
                t.output("z", y);
                Ok(())
            }),
            tape(4, 2.0, "a", &|t| t.scale(y, 1.0).map(drop)),
            tape(4, 2.0, "a", &|t| t.scalar("lr").map(drop)),
            tape(4, 2.0, "a", &|t| t.input("z", Type::f32([1])).map(drop)),
            tape(4, 2.0, "a", &|t| t.state("s", Type::f32([4])).map(drop)),
            tape(4, 2.0, "a", &|t| {
                t.state("s", Type::f32([4]))?;
                t.assign("s", y)
            }),
            tape(4, 2.0, "a", &|t| {
                t.state("s", Type::f32([4]))?;
                t.scope("player", |t| t.assign("s", y))
            }),
        ];
        let different: BTreeSet<&String> = all.iter().chain([&first]).collect();
        assert_eq!(different.len(), all.len() + 1);
    }
}
