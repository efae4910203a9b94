//! Names of tensors in dicts within dicts: the keys, joined by dots.

use super::pickle::{Described, MAX_TENSORS, Machine, Node, Value};
use std::collections::BTreeMap;

/// The most levels of dicts within dicts.
const MAX_DEPTH: usize = 32;

/// The tensors in the dict `root` by name. The names may have `most_bytes` bytes in all. A dict that is in several
/// dicts is read once, so that no circle runs forever and nothing doubles without end.
pub(super) fn named(
    machine: &Machine<'_>,
    root: u32,
    most_bytes: usize,
) -> Result<BTreeMap<String, Described>, String> {
    let seen = vec![false; machine.nodes.len()];
    let mut walk = Walk { machine, seen, left: most_bytes, found: BTreeMap::new() };
    walk.dict(root, "", 0)?;
    match walk.found.is_empty() {
        true => Err("holds no tensor by name".into()),
        false => Ok(walk.found),
    }
}

struct Walk<'a> {
    machine: &'a Machine<'a>,
    seen: Vec<bool>,
    /// How many more bytes the names may have.
    left: usize,
    found: BTreeMap<String, Described>,
}

impl Walk<'_> {
    fn dict(&mut self, place: u32, before: &str, depth: usize) -> Result<(), String> {
        let Node::Dict(items) = &self.machine.nodes[place as usize] else { return Ok(()) };
        if std::mem::replace(&mut self.seen[place as usize], true) {
            return Ok(());
        }
        if depth == MAX_DEPTH {
            return Err(format!("holds dicts within dicts, more than {MAX_DEPTH} deep"));
        }
        for (key, value) in items {
            let Value::Node(of) = *value else { continue };
            let name = match key {
                Value::Text(..) => format!("{before}{}", self.machine.str(*key)?),
                Value::Int(n) => format!("{before}{n}"),
                _ => continue,
            };
            self.left =
                self.left.checked_sub(name.len()).ok_or("has names longer than the file; it is no checkpoint")?;
            match &self.machine.nodes[of as usize] {
                Node::Dict(_) => self.dict(of, &format!("{name}."), depth + 1)?,
                Node::Tensor(_) if self.found.len() == MAX_TENSORS => {
                    return Err(format!("names more than {MAX_TENSORS} tensors"));
                }
                Node::Tensor(tensor) => {
                    if let Some(twice) = self.found.insert(name, (**tensor).clone()) {
                        return Err(format!("gives two tensors one name, one of {:?}", twice.shape));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
