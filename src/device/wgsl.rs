//! A kernel as it runs: the complete text after templating, with its layout. Pipelines are made from it, whether the
//! text was put together here or read back from a file.

use super::kernel::Kernel;
use super::shader::{Access, Text, naga_parser, reflect};
use super::template::ExpandedWgsl;
use super::tree::Tree;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// A kernel's layout, as naga reads it from the text. Its launches must agree with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Access of bindings 1, 2, …: the storage buffers in order.
    pub buffers: Vec<Access>,
    /// Names and byte offsets of the fields of `Params`, binding 0.
    pub params: Vec<(String, u32)>,
    /// Bytes of `Params`; 0 if there are none.
    pub params_bytes: u32,
    /// Invocations of a workgroup.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

/// Where a text comes from. Only committed text, which the tests cover, runs without runtime checks.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
enum Origin {
    /// Read from a file, which may hold anything.
    #[default]
    Foreign,
    /// The committed pieces.
    Committed,
    /// Put together from pieces; these files of them are edited.
    Edited(Vec<String>),
}

/// A kernel as complete text.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shader {
    name: String,
    variant: String,
    constants: Vec<(String, u32)>,
    pieces: Vec<String>,
    wgsl: String,
    layout: Layout,
    #[serde(skip)]
    origin: Origin,
}

impl Kernel {
    /// The kernel with the text of `tree`. An error names the file and line that it comes from.
    pub fn shader(&self, tree: &Tree) -> Result<Shader> {
        let reflected = self.reflect(tree)?;
        let edited = tree.edited_of(self);
        Ok(Shader {
            name: self.name.to_string(),
            variant: self.variant.to_string(),
            constants: self.constants.iter().map(|(n, v)| (n.to_string(), *v)).collect(),
            pieces: self.pieces.iter().map(|p| p.path.to_string()).collect(),
            wgsl: self.source(tree)?.text,
            layout: reflected.layout(),
            origin: if edited.is_empty() { Origin::Committed } else { Origin::Edited(edited) },
        })
    }
}

impl Shader {
    /// `<op>.<entry>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The op's variant.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// The values of `$NAME` in its pieces.
    pub fn constants(&self) -> &[(String, u32)] {
        &self.constants
    }

    /// The paths below `shaders/` of the files that it was put together from, for users.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// The complete text.
    pub fn wgsl(&self) -> &str {
        &self.wgsl
    }

    /// Its bindings and `Params`.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// `name [variant]`, after the names of its edited files: the beginning of an error.
    pub fn shown(&self) -> String {
        self.text().shown()
    }

    /// All that a driver's compiler sees of it: shaders that are equal in this share a pipeline. The layout is of the text,
    /// but a file that gives another one with the same text must not find the pipeline that is there.
    pub(super) fn compiled(&self) -> (&str, &Layout, bool, bool) {
        (&self.wgsl, &self.layout, self.needs_checks(), self.is_foreign())
    }

    /// Whether it must run with naga's runtime checks: everything but committed text must.
    pub fn needs_checks(&self) -> bool {
        self.origin != Origin::Committed
    }

    /// Whether it was read from a file. Such text gets cleared workgroup memory. An edit does not, since no committed text
    /// does: a clearing would hide what it forgot, and on a GPU add to its time.
    pub fn is_foreign(&self) -> bool {
        self.origin == Origin::Foreign
    }

    pub(super) fn text(&self) -> Text {
        let name = format!("{} [{}]", self.name, self.variant);
        match &self.origin {
            Origin::Committed => Text { name, edited: Vec::new(), foreign: false },
            Origin::Edited(files) => Text { name, edited: files.clone(), foreign: false },
            Origin::Foreign => Text { name, edited: Vec::new(), foreign: true },
        }
    }

    /// Checks text that was read from a file. It is an error if the text is not a valid kernel, or if its layout is not
    /// the one that the file gives.
    pub fn expect_valid(&self) -> Result<()> {
        if self.origin != Origin::Foreign {
            return Ok(()); // it was reflected when it was made
        }
        let source = ExpandedWgsl::of(&self.shown(), &self.wgsl);
        let found = reflect(source, &self.text(), naga_parser)?.layout();
        if found == self.layout {
            return Ok(());
        }
        Err(Error::Failed(format!("{}: the layout of its text is not the one that is given for it", self.shown())))
    }
}
