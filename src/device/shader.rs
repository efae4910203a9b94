//! Shader text: pieces are put together, the typed templater unrolls what WGSL cannot, naga parses, validates and
//! reflects. What Rust and WGSL share (bindings, access, parameter offsets) is read from here, never typed twice.
//!
//! The templater knows two things. `$NAME` stands for a number: a constant of the kernel or a loop counter (names are
//! letters and digits, so `acc_$m_$n` holds two of them; `${m}u` where a letter follows). Lines between `//@ for i in A..B` and `//@ end` are repeated
//! for each i, and `//@ let n = A` names a number until the end of its block; A and B are whole-number expressions of
//! constants and counters with + - * / % and parentheses. Loops nest. Unrolling as text matters: naga emits no loop a
//! driver can unroll, and function-local arrays indexed by a loop counter spill.

use crate::base::{Error, Result};

/// A file of WGSL text below `shaders/`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Path below `shaders/`.
    pub path: &'static str,
    /// The text as committed.
    pub text: &'static str,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.path)
    }
}

/// A [`Piece`] from its path below `shaders/`.
#[macro_export]
macro_rules! piece {
    ($path:expr) => {
        $crate::device::Piece {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
        }
    };
}

/// A kernel as plain data: which pieces, with which constants. Two equal kernels are one pipeline.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kernel {
    /// `<op>.<entry>`, for instance `conv2d.grad_weight`.
    pub name: &'static str,
    /// Which of the op's variants this is, for instance `naive`.
    pub variant: &'static str,
    /// The text, in order.
    pub pieces: &'static [Piece],
    /// Values of `$NAME`.
    pub constants: Vec<(&'static str, u32)>,
}

impl Kernel {
    /// A kernel without constants.
    pub const fn new(name: &'static str, variant: &'static str, pieces: &'static [Piece]) -> Self {
        Kernel { name, variant, pieces, constants: Vec::new() }
    }

    /// The kernel with `$name` set to `value`.
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }

    /// The complete WGSL, as it runs, with the origin of each line.
    pub fn source(&self) -> Result<Source> {
        let mut s = Source { text: String::new(), origin: Vec::new() };
        for piece in self.pieces {
            let lines: Vec<(usize, &str)> = piece.text.lines().enumerate().collect();
            let mut values: Vec<(String, u32)> = self.constants.iter().map(|&(n, v)| (n.to_string(), v)).collect();
            expand(piece.path, &lines, &mut values, &mut s)?;
        }
        Ok(s)
    }

    /// Parses, validates and reflects the kernel; an error names the file and line it comes from.
    pub fn reflect(&self) -> Result<Reflected> {
        let source = self.source()?;
        let module = naga::front::wgsl::parse_str(&source.text).map_err(|e| {
            let line = e.location(&source.text).map_or(0, |l| l.line_number as usize);
            Error::Failed(format!("{} [{}]: {}: {e}", self.name, self.variant, source.place(line)))
        })?;
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities())
            .validate(&module)
            .map_err(|e| {
            let line = e.location(&source.text).map_or(0, |l| l.line_number as usize);
            let chain = std::iter::successors(Some(e.as_inner() as &dyn std::error::Error), |e| e.source())
                .map(|e| e.to_string())
                .collect::<Vec<_>>()
                .join(": ");
            Error::Failed(format!("{} [{}]: {}: {chain}", self.name, self.variant, source.place(line)))
        })?;
        Reflected::read(self, module, info)
    }
}

/// What the kernels may use beyond core WGSL; each use is guarded by the adapter's features when a variant is chosen.
fn capabilities() -> naga::valid::Capabilities {
    naga::valid::Capabilities::SUBGROUP
        | naga::valid::Capabilities::SUBGROUP_BARRIER
        | naga::valid::Capabilities::SHADER_FLOAT16
        | naga::valid::Capabilities::COOPERATIVE_MATRIX
}

/// Expanded text and, for each of its lines, the file and line it came from.
pub struct Source {
    /// The WGSL.
    pub text: String,
    origin: Vec<(&'static str, usize)>,
}

impl Source {
    /// `file:line` of a 1-based line of the expanded text.
    pub fn place(&self, line: usize) -> String {
        match self.origin.get(line.wrapping_sub(1)) {
            Some((path, at)) => format!("shaders/{path}:{at}"),
            None => "shaders: unknown line".to_string(),
        }
    }
}

fn expand(
    path: &'static str,
    lines: &[(usize, &str)],
    values: &mut Vec<(String, u32)>,
    out: &mut Source,
) -> Result<()> {
    let mut i = 0;
    while i < lines.len() {
        let (at, line) = lines[i];
        let bad = || Error::Failed(format!("shaders/{path}:{}: cannot read '{}'", at + 1, line.trim()));
        if let Some(definition) = line.trim_start().strip_prefix("//@ let ") {
            let (name, value) = definition.split_once('=').ok_or_else(bad)?;
            values.push((name.trim().to_string(), number(value, values).ok_or_else(bad)?));
            i += 1;
            continue;
        }
        if let Some(header) = line.trim_start().strip_prefix("//@ for ") {
            let (name, range) = header.split_once(" in ").ok_or_else(bad)?;
            let (from, to) = range.trim().split_once("..").ok_or_else(bad)?;
            let (from, to) = (number(from, values).ok_or_else(bad)?, number(to, values).ok_or_else(bad)?);
            let end = matching_end(&lines[i + 1..]).ok_or_else(bad)? + i + 1;
            for v in from..to {
                let outer = values.len();
                values.push((name.trim().to_string(), v));
                expand(path, &lines[i + 1..end], values, out)?;
                values.truncate(outer);
            }
            i = end + 1;
            continue;
        }
        substitute(line, values, &mut out.text)
            .map_err(|n| Error::Failed(format!("shaders/{path}:{}: ${n} has no value", at + 1)))?;
        out.text.push('\n');
        out.origin.push((path, at + 1));
        i += 1;
    }
    Ok(())
}

/// Index of the `//@ end` that closes a block whose body starts at `lines[0]`.
fn matching_end(lines: &[(usize, &str)]) -> Option<usize> {
    let mut depth = 0;
    for (i, (_, l)) in lines.iter().enumerate() {
        let l = l.trim_start();
        if l.starts_with("//@ for ") {
            depth += 1;
        } else if l.starts_with("//@ end") {
            if depth == 0 {
                return Some(i);
            }
            depth -= 1;
        }
    }
    None
}

/// The value of a whole-number expression, or `None` when it cannot be read.
fn number(text: &str, values: &[(String, u32)]) -> Option<u32> {
    let mut rest = text;
    let v = sum(&mut rest, values)?;
    rest.trim().is_empty().then_some(v)
}

fn sum(rest: &mut &str, values: &[(String, u32)]) -> Option<u32> {
    let mut v = product(rest, values)?;
    loop {
        *rest = rest.trim_start();
        match rest.bytes().next() {
            Some(b'+') => {
                *rest = &rest[1..];
                v = v.checked_add(product(rest, values)?)?;
            }
            Some(b'-') => {
                *rest = &rest[1..];
                v = v.checked_sub(product(rest, values)?)?;
            }
            _ => return Some(v),
        }
    }
}

fn product(rest: &mut &str, values: &[(String, u32)]) -> Option<u32> {
    let mut v = atom(rest, values)?;
    loop {
        *rest = rest.trim_start();
        let Some(op @ (b'*' | b'/' | b'%')) = rest.bytes().next() else { return Some(v) };
        *rest = &rest[1..];
        let w = atom(rest, values)?;
        v = match op {
            b'*' => v.checked_mul(w)?,
            b'/' => v.checked_div(w)?,
            _ => v.checked_rem(w)?,
        };
    }
}

fn atom(rest: &mut &str, values: &[(String, u32)]) -> Option<u32> {
    *rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('(') {
        *rest = inner;
        let v = sum(rest, values)?;
        *rest = rest.trim_start().strip_prefix(')')?;
        return Some(v);
    }
    let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (word, tail) = rest.split_at(len);
    *rest = tail;
    word.parse().ok().or_else(|| values.iter().rev().find(|(n, _)| n == word).map(|(_, v)| *v))
}

fn substitute(line: &str, values: &[(String, u32)], out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let braced = tail.strip_prefix('{').and_then(|t| t.split_once('}'));
        let (name, after) = match braced {
            Some(both) => both,
            None => tail.split_at(tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len())),
        };
        let value = values.iter().rev().find(|(n, _)| n == name).ok_or_else(|| name.to_string())?;
        out.push_str(&value.1.to_string());
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// What naga says of a kernel.
#[derive(Clone, Debug)]
pub struct Reflected {
    /// Access of bindings 1, 2, …: the storage buffers in order.
    pub buffers: Vec<Access>,
    /// Names and byte offsets of the fields of `Params`, binding 0.
    pub params: Vec<(String, u32)>,
    /// Bytes of `Params`; 0 without any.
    pub params_bytes: u32,
    /// Invocations of a workgroup.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// The parsed module, for the text of other languages.
    pub module: naga::Module,
    /// What the validator found.
    pub info: naga::valid::ModuleInfo,
}

impl Reflected {
    fn read(kernel: &Kernel, module: naga::Module, info: naga::valid::ModuleInfo) -> Result<Self> {
        let bad = |what: &str| Error::Failed(format!("{} [{}]: {what}", kernel.name, kernel.variant));
        let [entry] = module.entry_points.as_slice() else { return Err(bad("must have one entry point")) };
        if entry.name != "main" {
            return Err(bad("its entry point must be called main"));
        }
        let (mut buffers, mut params, mut params_bytes, mut workgroup_bytes) = (Vec::new(), Vec::new(), 0, 0);
        for (_, g) in module.global_variables.iter() {
            let size = module.types[g.ty].inner.size(module.to_ctx());
            match (g.space, &g.binding) {
                (naga::AddressSpace::Uniform, Some(b)) if b.binding == 0 && b.group == 0 => {
                    params_bytes = size;
                    if let naga::TypeInner::Struct { members, .. } = &module.types[g.ty].inner {
                        params = members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset)).collect();
                    }
                }
                (naga::AddressSpace::Storage { access }, Some(b)) if b.group == 0 => {
                    let write = access.contains(naga::StorageAccess::STORE);
                    buffers.push((b.binding, if write { Access::ReadWrite } else { Access::Read }));
                }
                (naga::AddressSpace::WorkGroup, None) => workgroup_bytes += size,
                (naga::AddressSpace::Private, None) => {}
                _ => return Err(bad("binds something other than Params at 0 and storage buffers after it")),
            }
        }
        buffers.sort_by_key(|b| b.0);
        if !buffers.iter().enumerate().all(|(i, b)| b.0 as usize == i + 1) {
            return Err(bad("its storage buffers must be numbered 1, 2, … without a gap"));
        }
        Ok(Reflected {
            buffers: buffers.into_iter().map(|b| b.1).collect(),
            params,
            params_bytes,
            workgroup: entry.workgroup_size,
            workgroup_bytes,
            info,
            module,
        })
    }
}

/// Makes the module that runs. `checked` keeps naga's bounds, loop and division checks (tests); without them the
/// text runs as written.
#[expect(unsafe_code, reason = "the one place: wgpu's way to leave runtime checks out is an unsafe function")]
pub(super) fn create_module(device: &wgpu::Device, label: &str, text: &str, checked: bool) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source: wgpu::ShaderSource::Wgsl(text.into()) };
    if checked {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: kernels are the committed text, each run with all checks on by the tests at awkward sizes, its indices
    // from data (labels, image ids) validated on the host; no loop is unbounded.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &'static str, constants: &[(&'static str, u32)]) -> Result<String> {
        let pieces: &'static [Piece] = Box::leak(Box::new([Piece { path: "t.wgsl", text }]));
        let mut k = Kernel::new("t.t", "t", pieces);
        k.constants = constants.to_vec();
        k.source().map(|s| s.text)
    }

    #[test]
    fn loops_unroll_and_nest() {
        let text = "//@ for m in 0..TM\n//@ for n in 0..TN/4\nacc_$m_$n\n//@ end\n//@ end\nx$TM";
        assert_eq!(expanded(text, &[("TM", 2), ("TN", 8)]).unwrap(), "acc_0_0\nacc_0_1\nacc_1_0\nacc_1_1\nx2\n");
    }

    #[test]
    fn numbers_are_computed_and_named() {
        let text = "//@ for i in 0..(N+1)/2\n//@ let m = (i*3 + 1) % 4\na$i_$m\n//@ end\nb$N";
        assert_eq!(expanded(text, &[("N", 3)]).unwrap(), "a0_1\na1_0\nb3\n");
        assert!(expanded("//@ let m = 3 / 0", &[]).is_err());
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let e = expanded("a\nb $Q", &[]).unwrap_err().to_string();
        assert!(e.contains("t.wgsl:2") && e.contains("$Q"), "{e}");
        let e = expanded("//@ for i in 0..4\nno end", &[]).unwrap_err().to_string();
        assert!(e.contains("t.wgsl:1"), "{e}");
    }

    #[test]
    fn a_wgsl_mistake_is_placed_in_its_own_file() {
        let pieces: &'static [Piece] = Box::leak(Box::new([
            Piece { path: "a.wgsl", text: "fn f() {}\n" },
            Piece { path: "b.wgsl", text: "//@ for i in 0..3\n// $i\n//@ end\nfn g() { let x = y; }\n" },
        ]));
        let e = Kernel::new("t.t", "t", pieces).reflect().unwrap_err().to_string();
        assert!(e.contains("shaders/b.wgsl:4"), "{e}");
    }
}
