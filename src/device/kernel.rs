//! A kernel as plain data: pieces of WGSL text and constants. `shader.rs` makes complete, validated text of it.

use super::shader::{Language, Reflected, Text, naga_parser, reflect};
use super::template::{ExpandedWgsl, expand};
use super::tree::Tree;
use crate::base::{Error, Result};

/// A file of WGSL text: one below `shaders/`, or one of another program. Such a program gives the text itself and a
/// path of its own, for example `squareplus/forward.wgsl`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Path below `shaders/`, or the name of another program's file in errors.
    pub path: &'static str,
    /// The text as compiled in.
    pub text: &'static str,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.path)
    }
}

/// A [`Piece`] from its path below `shaders/` of the package that says it.
///
/// ```
/// use wgslab::device::{Kernel, Piece, Tree};
///
/// // A program's own text: a file beside the source, by `include_str!`, or a literal.
/// const FILL: Piece = Piece {
///     path: "sevens.wgsl",
///     text: "@group(0) @binding(1) var<storage, read_write> y: array<f32>;
///            @compute @workgroup_size($LANES) fn main(@builtin(local_invocation_index) i: u32) { y[i] = 7.0; }",
/// };
/// let kernel = Kernel::new("sevens.forward", "portable", &[FILL]).with("LANES", 64);
/// let reflected = kernel.reflect(&Tree::committed())?;
/// assert_eq!((reflected.workgroup, reflected.buffers.len()), ([64, 1, 1], 1));
/// # Ok::<(), wgslab::base::Error>(())
/// ```
#[macro_export]
macro_rules! piece {
    ($path:expr) => {
        $crate::device::Piece {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
        }
    };
}

/// A kernel as plain data: its pieces and constants. Two kernels of equal text share one pipeline. [`crate::piece!`] shows a
/// kernel made of a program's own text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kernel {
    /// `<op>.<entry>`, for example `conv2d.grad_weight`.
    pub name: &'static str,
    /// The op's variant, for example `naive`.
    pub variant: &'static str,
    /// The text, in order.
    pub pieces: Vec<Piece>,
    /// Values of `$NAME`.
    pub constants: Vec<(&'static str, u32)>,
}

impl Kernel {
    /// A kernel without constants.
    pub fn new(name: &'static str, variant: &'static str, pieces: &[Piece]) -> Self {
        Kernel { name, variant, pieces: pieces.to_vec(), constants: Vec::new() }
    }

    /// The kernel with `$name` set to `value`.
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }

    /// The kernel with more text after it. WGSL allows declarations in any order.
    pub fn followed_by(mut self, pieces: &[Piece]) -> Self {
        self.pieces.extend(pieces);
        self
    }

    /// The complete WGSL with the text of `tree`, and the origin of each line.
    pub fn source(&self, tree: &Tree) -> Result<ExpandedWgsl> {
        let mut s = ExpandedWgsl::default();
        for piece in &self.pieces {
            expand(&tree.place(piece), tree.text(piece), &self.constants, &mut s)?;
        }
        Ok(s)
    }

    /// Parses, validates and reflects the kernel. An error names the file and line that it comes from.
    pub fn reflect(&self, tree: &Tree) -> Result<Reflected> {
        reflect(self.source(tree)?, &Text::of(self, tree), naga_parser)
    }

    /// The kernel in another language, as naga writes it.
    pub fn text(&self, tree: &Tree, language: Language) -> Result<String> {
        let (reflected, text) = (self.reflect(tree)?, Text::of(self, tree));
        let written = text.compiled(|| reflected.text(language));
        written.unwrap_or_else(|why| Err(Error::Failed(format!("{}: {why}", text.shown()))))
    }
}
