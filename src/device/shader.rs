//! Shader text: pieces are joined, the templater unrolls what WGSL cannot, and naga parses, validates and reflects the
//! result. What Rust and WGSL share (bindings, access, parameter offsets) is read from the text, so that it is written
//! only once.

use super::kernel::Kernel;
use super::nesting;
use super::template::ExpandedWgsl;
use super::tree::Tree;
use super::wgsl::Layout;
use crate::base::{Error, Result, contained};

/// The name of a kernel's text in errors, and how far the text is trusted.
pub(super) struct Text {
    /// `name [variant]`.
    pub name: String,
    /// Its edited files.
    pub edited: Vec<String>,
    /// Whether it was read from a file that holds all of it.
    pub foreign: bool,
}

impl Text {
    pub fn of(kernel: &Kernel, tree: &Tree) -> Text {
        let name = format!("{} [{}]", kernel.name, kernel.variant);
        Text { name, edited: tree.edited_of(kernel), foreign: false }
    }

    /// Whether all of it is committed text, which the tests cover.
    fn is_committed(&self) -> bool {
        self.edited.is_empty() && !self.foreign
    }

    /// Runs `work` of naga or wgpu on the kernel. Edited text, or text from a file, may be something that their authors
    /// never tried, so a panic on it is reported as an error in the text. A panic on committed text is a bug of the
    /// program.
    pub fn compiled<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        if self.is_committed() {
            return Ok(work());
        }
        contained(work)
            .map_err(|words| format!("the compiler stopped on it with: {words}; write the edited lines in another way"))
    }

    /// The name, after the edited files if there are any: the beginning of an error.
    pub fn shown(&self) -> String {
        match self.edited.as_slice() {
            [] => self.name.clone(),
            edited => format!("{}: {}", edited.join(", "), self.name),
        }
    }
}

/// Parses, validates and reflects a complete text.
pub(super) fn reflect(source: ExpandedWgsl, text: &Text, parse: Parse) -> Result<Reflected> {
    if text.is_committed() {
        return text.reflect(source, parse);
    }
    if let Some(line) = nesting::nesting(&source.text).too_much_at {
        return Err(Error::Failed(format!(
            "{}: {}: brackets, operators and `else if`s nest more than {} deep here, or there are more than {} \
             declarations; split what is so large",
            source.place(line),
            text.name,
            nesting::MOST_DEPTH,
            nesting::MOST_DECLARATIONS
        )));
    }
    with_deep_stack(|| text.reflect(source, parse))?
}

impl Text {
    fn reflect(&self, source: ExpandedWgsl, parse: Parse) -> Result<Reflected> {
        let wrong = |what: &str, labels: &[(naga::Span, String)]| {
            let place = |span: &naga::Span| source.place(span.location(&source.text).line_number as usize);
            let first = labels.first().map_or_else(|| source.place(0), |l| place(&l.0));
            let mut text = format!("{first}: {}: {what}", self.name);
            // naga may first label a line that depends on the wrong line.
            for (at, said) in labels.iter().map(|l| (place(&l.0), &l.1)).filter(|l| l.0 != first) {
                text += &format!("; {at}: {said}");
            }
            // An error of an edit may appear in a later piece.
            if !self.edited.is_empty() && !self.edited.iter().any(|file| text.contains(file)) {
                text += &format!(" (edited: {})", self.edited.join(", "));
            }
            Error::Failed(text)
        };
        let stopped = |why: String| wrong(&why, &[]);
        let module = self.compiled(|| parse(&source.text)).map_err(stopped)?.map_err(|e| {
            let labels: Vec<_> = e.labels().map(|(span, said)| (span, said.to_string())).collect();
            wrong(e.message(), &labels)
        })?;
        let validate = || {
            let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities());
            validator.validate(&module).map_err(Box::new)
        };
        let info = self.compiled(validate).map_err(stopped)?.map_err(|e| {
            let causes = std::iter::successors(Some(e.as_inner() as &dyn std::error::Error), |e| e.source());
            let chain = causes.map(|e| e.to_string()).collect::<Vec<_>>().join(": ");
            wrong(&chain, &e.spans().cloned().collect::<Vec<_>>())
        })?;
        Reflected::read(&self.shown(), module, info)
    }
}

/// naga's parser, or that of a test.
pub(super) type Parse = fn(&str) -> Result<naga::Module, naga::front::wgsl::ParseError>;

pub(super) fn naga_parser(text: &str) -> Result<naga::Module, naga::front::wgsl::ParseError> {
    naga::front::wgsl::parse_str(text)
}

/// Bytes of the stack on which deeply nested text is compiled. The memory is taken only as it is used.
pub(super) const STACK_BYTES: usize = 64 << 20;

/// Runs `work` on a stack that is large enough for text of [`nesting::MOST_DEPTH`].
fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let failed = |what: &str| Error::Failed(format!("an edited shader could not be compiled: {what}"));
    std::thread::scope(|s| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(s, work);
        let thread = thread.map_err(|e| failed(&format!("there is no thread for it ({e})")))?;
        thread.join().map_err(|_| failed("the compiler gave up on it"))
    })
}

/// What the kernels may use beyond core WGSL. A variant is chosen only if the adapter has the features that it uses.
fn capabilities() -> naga::valid::Capabilities {
    naga::valid::Capabilities::SUBGROUP
        | naga::valid::Capabilities::SUBGROUP_BARRIER
        | naga::valid::Capabilities::SHADER_FLOAT16
        | naga::valid::Capabilities::COOPERATIVE_MATRIX
}

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// What naga finds in a kernel.
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
    /// Reads a module; errors begin with `shown`.
    fn read(shown: &str, module: naga::Module, info: naga::valid::ModuleInfo) -> Result<Self> {
        let bad = |what: &str| Error::Failed(format!("{shown}: {what}"));
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
                (naga::AddressSpace::WorkGroup, None) => workgroup_bytes = u32::saturating_add(workgroup_bytes, size),
                (naga::AddressSpace::Private, None) => {}
                _ => return Err(bad("may bind only Params at 0 and storage buffers after it")),
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

impl Reflected {
    /// Its bindings and `Params`, without the module.
    pub fn layout(&self) -> Layout {
        Layout {
            buffers: self.buffers.clone(),
            params: self.params.clone(),
            params_bytes: self.params_bytes,
            workgroup: self.workgroup,
            workgroup_bytes: self.workgroup_bytes,
        }
    }

    /// The shape of its cooperative matrices as devices list it, `16x16x16 F16 to F32` (M×N×K, operands and sums); none
    /// where it has none.
    pub fn cooperative(&self) -> Option<String> {
        let of = |wanted: naga::CooperativeRole| {
            self.module.types.iter().find_map(|(_, t)| match t.inner {
                naga::TypeInner::CooperativeMatrix { columns, rows, scalar, role } if role == wanted => {
                    Some((rows as u32, columns as u32, format!("F{}", 8 * u32::from(scalar.width))))
                }
                _ => None,
            })
        };
        let (m, k, operands) = of(naga::CooperativeRole::A)?;
        let (_, n, sums) = of(naga::CooperativeRole::C)?;
        Some(format!("{m}x{n}x{k} {operands} to {sums}"))
    }
}

/// The languages that a driver may receive instead of WGSL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// SPIR-V for Vulkan, disassembled.
    Spirv,
    /// Metal Shading Language for Metal.
    Msl,
    /// HLSL for DX12.
    Hlsl,
}

impl Reflected {
    /// The kernel in another language as naga writes it, without runtime checks.
    pub fn text(&self, language: Language) -> Result<String> {
        match language {
            Language::Spirv => {
                let module = rspirv::dr::load_words(self.spirv()?)
                    .map_err(|e| Error::Failed(format!("naga's SPIR-V cannot be disassembled: {e}")))?;
                Ok(rspirv::binary::Disassemble::disassemble(&module) + "\n")
            }
            Language::Msl => self.msl(),
            Language::Hlsl => self.hlsl(),
        }
    }

    /// SPIR-V 1.3, with names, as it runs: without runtime checks (naga's default has none of indices), and without the
    /// clearing of workgroup memory that the pipelines switch off, too.
    pub fn spirv(&self) -> Result<Vec<u32>> {
        let mut options = naga::back::spv::Options {
            lang_version: (1, 3),
            force_loop_bounding: false,
            emit_int_div_checks: false,
            zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::None,
            ..Default::default()
        };
        options.flags |= naga::back::spv::WriterFlags::DEBUG;
        let (shader_stage, entry_point) = (naga::ShaderStage::Compute, "main".to_string());
        let entry = naga::back::spv::PipelineOptions { shader_stage, entry_point };
        naga::back::spv::write_vec(&self.module, &self.info, &options, Some(&entry))
            .map_err(|e| Error::Failed(format!("SPIR-V: {e}")))
    }

    /// Metal Shading Language 2.4.
    fn msl(&self) -> Result<String> {
        let bad = |e: &dyn std::fmt::Display| Error::Failed(format!("MSL: {e}"));
        let options =
            naga::back::msl::Options { lang_version: (2, 4), force_loop_bounding: false, ..Default::default() };
        let (text, made) = naga::back::msl::write_string(&self.module, &self.info, &options, &Default::default())
            .map_err(|e| bad(&e))?;
        made.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| bad(&e))?;
        Ok(text)
    }

    /// HLSL of shader model 6.2.
    fn hlsl(&self) -> Result<String> {
        let shader_model = naga::back::hlsl::ShaderModel::V6_2;
        let unchecked =
            naga::back::hlsl::Options { force_loop_bounding: false, restrict_indexing: false, ..Default::default() };
        let options = naga::back::hlsl::Options { shader_model, ..unchecked };
        let (mut text, pipeline) = (String::new(), Default::default());
        naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&self.module, &self.info, None)
            .map_err(|e| Error::Failed(format!("HLSL: {e}")))?;
        Ok(text)
    }
}

/// Makes the module that runs. With `checked`, naga's bounds, loop and division checks stay in, for tests and for every
/// kernel with an edited piece. Without it, the text runs as written.
#[expect(unsafe_code, reason = "the only use here: wgpu leaves runtime checks out through an unsafe function")]
pub(super) fn create_module(device: &wgpu::Device, label: &str, text: &str, checked: bool) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source: wgpu::ShaderSource::Wgsl(text.into()) };
    if checked {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: the caller leaves the checks out only for committed text, never for text of an edited tree or a file
    // (`Gpu::unmade`). Tests run each committed kernel with all checks at awkward sizes, the host validates indices
    // from data (labels, image ids), and no loop is unbounded.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Piece;
    use crate::piece;

    #[test]
    fn a_wgsl_mistake_is_placed_in_its_own_file() {
        let pieces: &'static [Piece] = Box::leak(Box::new([
            Piece { path: "a.wgsl", text: "fn f() {}\n" },
            Piece { path: "b.wgsl", text: "//@ for i in 0..3\n// $i\n//@ end\nfn g() { let x = y; }\n" },
        ]));
        let e = Kernel::new("t.t", "t", pieces).reflect(&Tree::default()).unwrap_err().to_string();
        assert!(e.starts_with("b.wgsl:4"), "{e}");
    }

    /// What is shown of a kernel, and compiled for a GPU that is not here, holds what the text says and nothing more.
    #[test]
    fn spirv_has_no_clearing_and_no_checks() {
        const PIECE: Piece = Piece {
            path: "a.wgsl",
            text: "var<workgroup> a: array<u32, 64>;\n@group(0) @binding(1) var<storage, read_write> y: array<u32>;\n\
                   @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) {\n\
                   a[lane] = lane / (lane + 1u); workgroupBarrier();\n\
                   for (var i = 0u; i < lane; i++) { y[lane] += a[i]; } }\n",
        };
        let text = Kernel::new("t.t", "t", &[PIECE]).text(&Tree::default(), Language::Spirv).unwrap();
        let count = |what: &str| text.matches(what).count();
        assert_eq!([count("OpControlBarrier"), count("OpConstantNull"), count("OpUDiv")], [1, 0, 1], "{text}");
        assert_eq!([count("OpSelect "), count("naga_div"), count("OpArrayLength")], [0; 3], "{text}");
    }

    #[test]
    fn a_panic_of_the_compiler_on_edited_text_is_a_mistake_of_the_text() {
        const PIECE: Piece = piece!("elementwise/scale/forward.wgsl");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(PIECE.path);
        crate::base::files::write_atomic(&file, format!("{}// more\n", PIECE.text).as_bytes()).unwrap();
        let tree = Tree::load(dir.path()).unwrap();
        let kernel = Kernel::new("scale.forward", "portable", &[piece!("common/index.wgsl"), PIECE]);
        let edited = kernel.shader(&tree).unwrap();
        assert!(
            edited.needs_checks() && !edited.is_foreign(),
            "an edit is checked, and sees what a committed text sees"
        );
        let reflect_by =
            |tree: &Tree, parse: Parse| reflect(kernel.source(tree).unwrap(), &Text::of(&kernel, tree), parse);
        let e = reflect_by(&tree, |_| panic!("a bug of naga")).unwrap_err();
        let said = e.to_string();
        assert!(
            e.exit_code() == 1 && said.contains("stopped on it with: a bug of naga") && said.contains(PIECE.path),
            "{e}"
        );
        assert!(kernel.reflect(&tree).is_ok() && kernel.text(&tree, Language::Spirv).is_ok());
        let committed = || reflect_by(&Tree::default(), |_| panic!("a bug of naga"));
        assert!(std::panic::catch_unwind(committed).is_err(), "a panic on committed text must stay a panic");
    }
}
