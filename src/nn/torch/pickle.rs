//! The pickle in a PyTorch file, read as data. A pickle is a program for a stack machine. This reader knows the
//! instructions that `torch.save` writes for dicts of tensors. None of them calls anything: a tensor is described by
//! what `torch._utils._rebuild_tensor_v2` would be given. Any other name of a function or a class is refused.
//!
//! Values are in one list and refer to each other by their place in it. So a value that holds itself, or is nested a
//! million deep, costs only its entry.

use safetensors::Dtype;
use std::collections::HashMap;

/// The most instructions. A checkpoint of fifty thousand tensors has fewer.
const MAX_STEPS: usize = 3 << 20;
/// The most tensors with a name.
pub(super) const MAX_TENSORS: usize = 1 << 17;
/// The most bytes of a storage's name, which is a number.
const MAX_STORAGE_NAME: usize = 64;
/// The most axes of a tensor.
const MAX_AXES: usize = 16;

/// A tensor as the pickle describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The type of its elements.
    pub dtype: Dtype,
    /// The storage that it is a view of.
    pub storage: String,
    /// How many elements the storage has.
    pub elements: usize,
    /// The place of its first element in the storage.
    pub offset: usize,
    /// Its shape.
    pub shape: Vec<usize>,
    /// For each axis: the distance of neighbours in elements.
    pub strides: Vec<usize>,
}

/// Reads a pickle. Returns the machine with all values, and the place of the dict that the pickle makes. What is
/// neither a tensor nor a dict (numbers, texts, lists) is passed over. The error is the end of a sentence that begins
/// with the file's name.
pub(super) fn read(bytes: &[u8]) -> Result<(Machine<'_>, u32), String> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: HashMap::new(), nodes: Vec::new(), tensors: 0 };
    let Value::Node(root) = machine.run()? else { return Err("holds no dict of tensors".into()) };
    match machine.nodes[root as usize] {
        Node::Tensor(_) => Err("holds one tensor and no name; save a dict, as model.state_dict() is one".into()),
        _ => Ok((machine, root)),
    }
}

/// A value on the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A value that no tensor is made from: None, truth values, fractions, bytes, lists.
    Other,
    /// The mark before the elements of a tuple, a list or a dict.
    Mark,
    Int(i64),
    /// A text, by the place of its first byte in the pickle and its length in bytes.
    Text(u32, u32),
    Global(Global),
    Node(u32),
}

/// The names of functions and classes that are understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

#[derive(Debug)]
pub(super) enum Node {
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// Its name, the type of its elements, and how many they are.
    Storage(Value, Dtype, usize),
    Tensor(Box<Described>),
}

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
    pub(super) nodes: Vec<Node>,
    tensors: usize,
}

const SHORT: &str = "ends within its pickle; it is cut or damaged";

/// What a name of a function or class stands for. A name that is not understood is an error.
fn global(module: &str, name: &str) -> Result<Global, String> {
    let storage = |dtype| Ok(Global::Storage(dtype));
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
        ("torch", "FloatStorage") => storage(Dtype::F32),
        ("torch", "DoubleStorage") => storage(Dtype::F64),
        ("torch", "HalfStorage") => storage(Dtype::F16),
        ("torch", "BFloat16Storage") => storage(Dtype::BF16),
        ("torch", "LongStorage") => storage(Dtype::I64),
        ("torch", "IntStorage") => storage(Dtype::I32),
        ("torch", "ShortStorage") => storage(Dtype::I16),
        ("torch", "CharStorage") => storage(Dtype::I8),
        ("torch", "ByteStorage") => storage(Dtype::U8),
        ("torch", "BoolStorage") => storage(Dtype::BOOL),
        _ => Err(format!(
            "holds {module}.{name}, and only tensors are read from a PyTorch file: nothing in it is run; if you trust it, \
             load it in Python and save only its tensors: torch.save(model.state_dict(), 'w.pt')"
        )),
    }
}

impl<'a> Machine<'a> {
    /// Runs to the end and returns the value on top of the stack.
    fn run(&mut self) -> Result<Value, String> {
        for _ in 0..MAX_STEPS {
            match self.take(1)?[0] {
                b'.' => return self.pop(),
                op => self.step(op)?,
            }
        }
        Err(format!("holds a pickle of more than {MAX_STEPS} instructions; save the tensors of the model alone"))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|&e| e <= self.bytes.len()).ok_or(SHORT)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// An unsigned whole number of `n` bytes, the lowest first.
    fn number(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |a, &b| a << 8 | u64::from(b)))
    }

    fn length(&mut self, n: usize) -> Result<usize, String> {
        usize::try_from(self.number(n)?).map_err(|_| SHORT.into())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().filter(|v| *v != Value::Mark).ok_or_else(|| "has a pickle that takes more than it put".into())
    }

    /// The values that were put on the stack since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|v| *v == Value::Mark).ok_or("has a pickle without a mark")?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn node(&mut self, node: Node) -> Result<Value, String> {
        let place = u32::try_from(self.nodes.len()).map_err(|_| SHORT.to_string())?;
        self.nodes.push(node);
        Ok(Value::Node(place))
    }

    /// A text of `n` bytes.
    fn text(&mut self, n: usize) -> Result<Value, String> {
        let start = self.at;
        self.take(n)?;
        match (u32::try_from(start), u32::try_from(n)) {
            (Ok(start), Ok(n)) => Ok(Value::Text(start, n)),
            _ => Err("has a pickle of more than 4 GiB".into()),
        }
    }

    pub(super) fn str(&self, text: Value) -> Result<&'a str, String> {
        let Value::Text(start, n) = text else { return Err("has a name that is no text".into()) };
        let bytes = &self.bytes[start as usize..][..n as usize];
        std::str::from_utf8(bytes).map_err(|_| "has a name that is no UTF-8".into())
    }

    /// Runs one instruction.
    fn step(&mut self, op: u8) -> Result<(), String> {
        let value = match op {
            0x80 => return self.take(1).map(drop), // the protocol
            0x95 => return self.take(8).map(drop), // the length of a frame
            b'q' | b'r' | 0x94 => return self.keep(op),
            b'a' | b'e' => return self.append(op),
            b's' | b'u' => return self.set(op),
            b'b' => return self.build(),
            b'(' => Value::Mark,
            b'N' | 0x88 | 0x89 | b']' => Value::Other,
            b'G' => self.take(8).map(|_| Value::Other)?, // a fraction
            b'C' | b'B' | 0x8e => {
                let n = self.length(if op == b'C' {
                    1
                } else if op == b'B' {
                    4
                } else {
                    8
                })?;
                self.take(n).map(|_| Value::Other)? // bytes
            }
            b'J' => Value::Int(i64::from(self.number(4)? as i32)),
            b'K' | b'M' => Value::Int(self.number(if op == b'K' { 1 } else { 2 })? as i64),
            0x8a => self.long()?,
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let n = self.length(match op {
                    0x8c | b'U' => 1,
                    0x8d => 8,
                    _ => 4,
                })?;
                self.text(n)?
            }
            b'h' | b'j' => {
                let place = self.number(if op == b'h' { 1 } else { 4 })? as u32;
                *self.memo.get(&place).ok_or("has a pickle that asks for what it did not keep")?
            }
            b'}' => self.node(Node::Dict(Vec::new()))?,
            b')' => self.node(Node::Tuple(Vec::new()))?,
            b't' => self.since_mark().and_then(|values| self.node(Node::Tuple(values)))?,
            0x85..=0x87 => {
                let mut values = (0..op - 0x84).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                values.reverse();
                self.node(Node::Tuple(values))?
            }
            b'c' => self.global_of_lines()?,
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                Value::Global(global(self.str(module)?, self.str(name)?)?)
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            _ => {
                return Err(format!(
                    "has the instruction {op:#04x} in its pickle, which torch.save does not write for tensors"
                ));
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// A whole number. One of more than 8 bytes cannot be a size, so it counts as `Other`.
    fn long(&mut self) -> Result<Value, String> {
        let n = self.length(1)?;
        let bytes = self.take(n)?;
        let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut whole = [if sign { 0xff } else { 0 }; 8];
        if n > 8 {
            return Ok(Value::Other);
        }
        whole[..n].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    /// Keeps the value on top of the stack in the memo.
    fn keep(&mut self, op: u8) -> Result<(), String> {
        let place = match op {
            b'q' => self.number(1)? as u32,
            b'r' => self.number(4)? as u32,
            _ => self.memo.len() as u32, // in order
        };
        let top = *self.stack.last().ok_or("has a pickle that keeps what it did not put")?;
        self.memo.insert(place, top);
        Ok(())
    }

    /// Drops what is appended to a list, since a model keeps no tensors in lists.
    fn append(&mut self, op: u8) -> Result<(), String> {
        match op {
            b'a' => self.pop().map(drop),
            _ => self.since_mark().map(drop),
        }?;
        match self.stack.last() {
            Some(Value::Other) => Ok(()),
            _ => Err("has a pickle that appends to what is no list".into()),
        }
    }

    fn set(&mut self, op: u8) -> Result<(), String> {
        let values = match op {
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.since_mark()?,
        };
        let dict = match self.stack.last() {
            Some(Value::Node(place)) => self.nodes.get_mut(*place as usize),
            _ => None,
        };
        let (Some(Node::Dict(items)), true) = (dict, values.len() % 2 == 0) else {
            return Err("has a pickle that sets a key of what is no dict".into());
        };
        items.extend(values.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    /// Drops the attributes of a dict, such as PyTorch's versions of modules. They are not its items.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Node(place)) if matches!(self.nodes[*place as usize], Node::Dict(_)) => Ok(()),
            _ => Err("has a pickle that gives attributes to what is no dict".into()),
        }
    }

    fn global_of_lines(&mut self) -> Result<Value, String> {
        let mut line = || {
            let rest = &self.bytes[self.at..];
            let n = rest.iter().position(|&b| b == b'\n').ok_or(SHORT)?;
            self.at += n + 1;
            std::str::from_utf8(&rest[..n]).map_err(|_| "has a name that is no UTF-8".to_string())
        };
        let (module, name) = (line()?, line()?);
        global(module, name).map(Value::Global)
    }

    fn tuple(&self, value: Value) -> Option<&[Value]> {
        let Value::Node(place) = value else { return None };
        match &self.nodes[place as usize] {
            Node::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// A storage by its persistent id: ("storage", its type, its name, its device, its number of elements).
    fn storage(&mut self) -> Result<Value, String> {
        let id = self.pop()?;
        match self.tuple(id) {
            Some(&[tag, Value::Global(Global::Storage(dtype)), name, _, Value::Int(n)])
                if self.str(tag) == Ok("storage") && n >= 0 =>
            {
                let n = usize::try_from(n).map_err(|_| SHORT.to_string())?;
                self.node(Node::Storage(name, dtype, n))
            }
            _ => Err("has a persistent id in its pickle that is no storage of PyTorch's".into()),
        }
    }

    /// What a call would make. Nothing is called.
    fn call(&mut self) -> Result<Value, String> {
        let (given, callee) = (self.pop()?, self.pop()?);
        let given = self.tuple(given).ok_or("has a pickle that calls without a tuple")?;
        match (callee, given) {
            (Value::Global(Global::OrderedDict), []) => self.node(Node::Dict(Vec::new())),
            (Value::Global(Global::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                let tensor = self.described(*storage, *offset, (*shape, *strides))?;
                self.tensors += 1;
                if self.tensors > MAX_TENSORS {
                    return Err(format!("holds more than {MAX_TENSORS} tensors"));
                }
                self.node(Node::Tensor(Box::new(tensor)))
            }
            (Value::Global(Global::RebuildParameter), [Value::Node(place), ..])
                if matches!(self.nodes[*place as usize], Node::Tensor(_)) =>
            {
                Ok(Value::Node(*place))
            }
            _ => Err("has a pickle that makes a tensor of wrong parts".into()),
        }
    }

    fn described(&self, storage: Value, offset: Value, (shape, strides): (Value, Value)) -> Result<Described, String> {
        let wrong = || "describes a tensor that cannot be".to_string();
        let whole = |v: &Value| match v {
            Value::Int(n) => usize::try_from(*n).map_err(|_| wrong()),
            _ => Err(wrong()),
        };
        let all = |v: Value| self.tuple(v).ok_or_else(wrong)?.iter().map(whole).collect::<Result<Vec<_>, _>>();
        let Value::Node(place) = storage else { return Err(wrong()) };
        let Node::Storage(name, dtype, elements) = self.nodes[place as usize] else { return Err(wrong()) };
        let (storage, offset, shape, strides) = (self.str(name)?, whole(&offset)?, all(shape)?, all(strides)?);
        if shape.len() != strides.len() || shape.len() > MAX_AXES || storage.len() > MAX_STORAGE_NAME {
            return Err(wrong());
        }
        Ok(Described { dtype, storage: storage.to_string(), elements, offset, shape, strides })
    }
}
