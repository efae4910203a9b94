//! What Rust and a shader must agree on: the fields of `Params` with their offsets, the number of buffers, and which of
//! the buffers the shader may write. Tests check the built-in kernels. An edited kernel is checked before it runs.

use super::op::{Launch, Slot};
use super::schedule::Step;
use crate::base::{Error, Result};
use crate::device::Shader;
use crate::device::shader::Access;

/// It is an error if the layout of a kernel does not match its launch. The error names the file and what was expected.
/// `written` are the slots that the op's launches wrote so far; the slots that this launch writes are added.
pub(super) fn expect_layout(launch: &Launch, shader: &Shader, written: &mut Vec<Slot>) -> Result<()> {
    let layout = shader.layout();
    let fits = launch.fits(&layout.params, layout.params_bytes, &layout.buffers, written);
    fits.map_err(|what| Error::Failed(format!("{}: {what}", shader.shown())))
}

/// The slots that hold a value before the op's first launch, so that a kernel may only read them: the outputs that are
/// updated in place.
pub fn written_before(step: &Step) -> Vec<Slot> {
    step.op.in_place().into_iter().map(|(_, y)| Slot::Out(y)).collect()
}

impl Launch {
    /// The error is a sentence that says why a shader with these `Params` and buffers does not match the launch.
    /// `written` are the slots that the op's launches wrote so far; the slots that this launch writes are added.
    pub fn fits(
        &self,
        params: &[(String, u32)],
        params_bytes: u32,
        buffers: &[Access],
        written: &mut Vec<Slot>,
    ) -> Result<(), String> {
        let fields: Vec<(String, u32)> = self.fields.iter().map(|(n, at)| (n.to_string(), *at as u32)).collect();
        if fields != params || self.params.len() as u32 != params_bytes {
            let shown = |fields: &[(String, u32)], bytes: u32| {
                let each: Vec<String> = fields.iter().map(|(n, at)| format!("{n} at {at}")).collect();
                if each.is_empty() { "nothing".to_string() } else { format!("{} in {bytes} bytes", each.join(", ")) }
            };
            return Err(format!(
                "Params holds {} in the shader; the op fills {}",
                shown(params, params_bytes),
                shown(&fields, self.params.len() as u32)
            ));
        }
        if self.buffers.len() != buffers.len() {
            let (has, wants) = (buffers.len(), self.buffers.len());
            return Err(format!("the shader binds {has} storage buffers; the op gives {wants}, bindings 1 to {wants}"));
        }
        for (i, (slot, access)) in self.buffers.iter().zip(buffers).enumerate() {
            let binding = i + 1;
            match (&slot.value(), access) {
                (Slot::In(x), Access::ReadWrite) => {
                    return Err(format!("binding {binding} is input {x}: declare it var<storage, read>"));
                }
                (of @ (Slot::Out(_) | Slot::Work(_)), Access::Read) if !written.contains(of) => {
                    let what = format!("binding {binding} is {slot:?}, which nothing has written yet");
                    return Err(format!("{what}: declare it var<storage, read_write>"));
                }
                (of, Access::ReadWrite) => written.push(*of),
                (_, Access::Read) => {}
            }
        }
        Ok(())
    }
}
