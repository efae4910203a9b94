//! Checks a recording before anything is made of it. A file may come from anywhere, and anybody may have changed any
//! number in it.

use super::{Call, Memory, Named, Recording, Role};
use crate::base::Shape;
use crate::device::buffer::PART_ALIGN;
use crate::device::dispatch::ParamBlocks;
use crate::device::shader::Access;
use crate::tape::demand::padded;
use crate::tape::record::SCALARS;
use std::collections::BTreeSet;

/// The most kernels, launches, buffers, inputs, states and outputs, each.
const MOST: usize = 100_000;
/// The most bytes of a kernel's text. An edited kernel has the same bound.
const MOST_TEXT: usize = 1 << 20;
/// The most storage buffers of a kernel. Adapters allow fewer.
const MOST_BOUND: usize = 64;
/// The most bytes of a name or label.
const MOST_NAME: usize = 1000;
/// The most bytes of a buffer. No sum of such sizes overflows.
const MOST_BYTES: u64 = 1 << 44;

/// `Err` with the sentence `why` unless `holds`.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

impl Recording {
    /// `Err` with a sentence that says why the recording's parts do not fit together.
    pub fn expect_sound(&self) -> Result<(), String> {
        let counts = [
            ("kernels", self.kernels.len()),
            ("buffers", self.buffers.len()),
            ("launches", self.launches.len()),
            ("inputs", self.inputs.len()),
            ("states", self.states.len()),
            ("outputs", self.outputs.len()),
        ];
        for (what, n) in counts {
            ensure(n <= MOST, || format!("it has {n} {what}, more than {MOST}"))?;
        }
        let n = self.scalars.len();
        ensure(n <= SCALARS, || format!("it has {n} scalars, more than {SCALARS}"))?;
        for kernel in &self.kernels {
            let bytes = kernel.wgsl().len();
            ensure(bytes <= MOST_TEXT, || format!("the text of a kernel has {bytes} bytes, more than {MOST_TEXT}"))?;
            expect_name("a kernel", kernel.name())?;
            expect_name("a variant", kernel.variant())?;
            let bound = kernel.layout().buffers.len();
            ensure(bound <= MOST_BOUND, || format!("a kernel binds {bound} buffers, more than {MOST_BOUND}"))?;
        }
        self.expect_buffers()?;
        self.expect_values("input", &self.inputs, &[Role::Input])?;
        self.expect_values("state", &self.states, &[Role::State])?;
        self.expect_values("output", &self.outputs, &[Role::Input, Role::State, Role::Output, Role::Scalars])?;
        distinct("scalar", self.scalars.iter())?;
        self.launches
            .iter()
            .enumerate()
            .try_for_each(|(i, call)| self.expect_call(call).map_err(|why| format!("launch {i}: {why}")))
    }

    fn expect_buffers(&self) -> Result<(), String> {
        for Memory { name, bytes, .. } in &self.buffers {
            expect_name("a buffer", name)?;
            ensure((16..=MOST_BYTES).contains(bytes) && bytes.is_multiple_of(16), || {
                format!("the buffer {name} has {bytes} bytes, which must be a multiple of 16 above 0, at most 2^44")
            })?;
        }
        self.expect_parts()?;
        let last = self.buffers.iter().rposition(|b| b.role != Role::Params).map_or(0, |i| i + 1);
        ensure(self.buffers[..last].iter().all(|b| b.role != Role::Params), || {
            "the buffer of parameters must be the last".to_string()
        })?;
        for role in [Role::Input, Role::State] {
            let named = if role == Role::Input { &self.inputs } else { &self.states };
            let held: BTreeSet<usize> = named.iter().map(|n| n.buffer).collect();
            let whole: BTreeSet<usize> = self.buffers.iter().filter_map(|b| Some(b.part_of?.buffer)).collect();
            let single = |(i, b): &(usize, &Memory)| b.role == role && !whole.contains(i);
            let all = self.buffers.iter().enumerate().filter(single).map(|(i, _)| i);
            ensure(all.eq(held.iter().copied()) && held.len() == named.len(), || {
                "each input and each state must have a buffer of its own, and each such buffer must hold one"
                    .to_string()
            })?;
        }
        let of = |role| self.buffers.iter().filter(move |b| b.role == role).map(|b| b.bytes);
        let scalars: Vec<u64> = of(Role::Scalars).collect();
        let wanted: &[u64] = if self.scalars.is_empty() { &[] } else { &[4 * SCALARS as u64] };
        ensure(scalars == wanted, || {
            format!("buffers of scalars have {} bytes and must have {}", shown(&scalars), shown(wanted))
        })?;
        let blocks: u64 = self.launches.iter().map(|c| ParamBlocks::block_bytes(&c.params)).sum();
        let params: Vec<u64> = of(Role::Params).collect();
        let wanted: &[u64] = if blocks == 0 { &[] } else { &[blocks] };
        ensure(params == wanted, || {
            format!("buffers of parameters have {} bytes and must have {}", shown(&params), shown(wanted))
        })
    }

    /// Parts lie in buffers of their role that are no parts. Two parts for the host's or a state's values have no byte
    /// in common.
    fn expect_parts(&self) -> Result<(), String> {
        let mut taken: Vec<(usize, u64, u64)> = Vec::new();
        for Memory { name, role, bytes, part_of } in &self.buffers {
            let Some(part) = part_of else { continue };
            let whole = self.buffers.get(part.buffer).filter(|b| b.part_of.is_none() && b.role == *role);
            let fits = |b: &Memory| part.offset.checked_add(*bytes).is_some_and(|end| end <= b.bytes);
            ensure(whole.is_some_and(fits) && part.offset.is_multiple_of(PART_ALIGN), || {
                format!(
                    "{name} is no part of buffer {}: it must lie in one of its role, from a multiple of 256",
                    part.buffer
                )
            })?;
            let role = matches!(role, Role::Input | Role::State | Role::Temp | Role::Output);
            ensure(role, || format!("{name} is a part, which its role cannot be"))?;
            taken.push((part.buffer, part.offset, part.offset + bytes));
        }
        taken.retain(|(buffer, ..)| matches!(self.buffers[*buffer].role, Role::Input | Role::State));
        taken.sort_unstable();
        let apart = taken.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1);
        ensure(apart, || "two inputs or states share bytes of a buffer".to_string())
    }

    fn expect_values(&self, what: &str, list: &[Named], roles: &[Role]) -> Result<(), String> {
        for Named { name, ty, buffer } in list {
            expect_name(what, name)?;
            let Some(memory) = self.buffers.get(*buffer).filter(|b| roles.contains(&b.role)) else {
                return Err(format!(
                    "the {what} {name} lies in buffer {buffer}, which does not exist or has another role"
                ));
            };
            let bytes = bytes(ty.shape, ty.dtype.bytes());
            // An input or a state fills its whole buffer, because a kernel can ask for a buffer's length.
            let whole = matches!(memory.role, Role::Input | Role::State);
            let fits = |n: u64| if whole { padded(n) == memory.bytes } else { n <= memory.bytes };
            ensure(bytes.is_some_and(|n| n > 0 && n <= MOST_BYTES && fits(n)), || {
                format!("the {what} {name} is {ty}, and its buffer has {} bytes", memory.bytes)
            })?;
        }
        distinct(what, list.iter().map(|n| &n.name))
    }

    fn expect_call(&self, call: &Call) -> Result<(), String> {
        expect_name("its label", &call.label)?;
        let Some(kernel) = self.kernels.get(call.kernel) else {
            return Err(format!("there is no kernel {}", call.kernel));
        };
        let layout = kernel.layout();
        let (given, wanted) = (call.buffers.len(), layout.buffers.len());
        ensure(given == wanted, || format!("it binds {given} buffers, and {} takes {wanted}", kernel.name()))?;
        let (given, wanted) = (call.params.len(), layout.params_bytes);
        ensure(given as u64 == u64::from(wanted), || {
            format!("it has {given} bytes of parameters, and {} takes {wanted}", kernel.name())
        })?;
        // The adapter's own limit on workgroups is checked when the recording is bound to an adapter.
        ensure(!call.grid.contains(&0), || "it has 0 workgroups in a dimension".to_string())?;
        for (i, (&buffer, access)) in call.buffers.iter().zip(&layout.buffers).enumerate() {
            let binding = i + 1;
            let Some(memory) = self.buffers.get(buffer).filter(|b| b.role != Role::Params) else {
                return Err(format!("binding {binding} is buffer {buffer}, which does not exist or cannot be bound"));
            };
            let host = matches!(memory.role, Role::Input | Role::Scalars);
            ensure(*access == Access::Read || !host, || {
                format!("binding {binding} writes a buffer that only the host writes")
            })?;
            let earlier = call.buffers[..i].iter().zip(&layout.buffers);
            let mut again = earlier.filter(|(b, _)| self.whole(**b).0 == self.whole(buffer).0);
            let together = |(b, other): (&usize, &Access)| match [*access, *other] {
                [Access::Read, Access::Read] => true,
                [Access::ReadWrite, Access::ReadWrite] => {
                    let ((_, from, to), (_, begin, end)) = (self.whole(buffer), self.whole(*b));
                    to <= begin || end <= from
                }
                _ => false,
            };
            ensure(again.all(together), || {
                format!("binding {binding} has the same buffer as another binding, and one of them writes it")
            })?;
        }
        Ok(())
    }

    /// The buffer in which a buffer lies, and its first byte and its end there.
    fn whole(&self, buffer: usize) -> (usize, u64, u64) {
        let bytes = self.buffers.get(buffer).map_or(0, |b| b.bytes);
        match self.buffers.get(buffer).and_then(|b| b.part_of) {
            Some(part) => (part.buffer, part.offset, part.offset + bytes),
            None => (buffer, 0, bytes),
        }
    }
}

fn shown(bytes: &[u64]) -> String {
    if bytes.is_empty() { "none".to_string() } else { bytes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ") }
}

/// Bytes of a tensor; `None` if the number overflows.
fn bytes(shape: Shape, element: usize) -> Option<u64> {
    shape.dims().iter().try_fold(element as u64, |n, d| n.checked_mul(u64::from(*d)))
}

fn expect_name(what: &str, name: &str) -> Result<(), String> {
    ensure(name.len() <= MOST_NAME, || format!("the name of {what} is longer than {MOST_NAME} bytes"))
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        expect_name(what, name)?;
        ensure(seen.insert(name), || format!("two {what}s are called {name}"))?;
    }
    Ok(())
}
