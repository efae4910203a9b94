//! Recordings as a page holds them: texts that all of them share, with the features enabled that browsers ask for, and
//! what each recording needs of a device, by WebGPU's names.

use crate::base::{Error, Result};
use crate::device::Shader;
use crate::tape::Recording;
use crate::tape::recording::Role;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What recordings need of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Needs {
    /// The least values of limits.
    pub limits: BTreeMap<&'static str, u64>,
    /// Features of a device or of the language.
    pub features: BTreeSet<&'static str>,
}

impl Needs {
    /// What a recording needs.
    pub fn of(recording: &Recording) -> Needs {
        let mut needs = Needs::default();
        for buffer in &recording.buffers {
            needs.least("maxBufferSize", buffer.bytes);
            if buffer.role != Role::Params {
                needs.least("maxStorageBufferBindingSize", buffer.bytes);
            }
        }
        for kernel in &recording.kernels {
            let layout = kernel.layout();
            let [x, y, z] = layout.workgroup.map(u64::from);
            needs.least("maxStorageBuffersPerShaderStage", layout.buffers.len() as u64);
            needs.least("maxComputeWorkgroupStorageSize", layout.workgroup_bytes.into());
            needs.least("maxComputeInvocationsPerWorkgroup", x * y * z);
            needs.least("maxComputeWorkgroupSizeX", x);
            needs.least("maxComputeWorkgroupSizeY", y);
            needs.least("maxComputeWorkgroupSizeZ", z);
            needs.features.extend(features(kernel.wgsl()));
        }
        for call in &recording.launches {
            needs.least("maxComputeWorkgroupsPerDimension", call.grid.into_iter().max().unwrap_or(0).into());
        }
        needs
    }

    fn least(&mut self, limit: &'static str, value: u64) {
        let held = self.limits.entry(limit).or_default();
        *held = value.max(*held);
    }

    /// Needs what `other` does, too.
    pub fn and(&mut self, other: &Needs) {
        other.limits.iter().for_each(|(limit, value)| self.least(limit, *value));
        self.features.extend(&other.features);
    }
}

/// Whether a kernel counts on the size of subgroups. One that asks for their number takes any size.
pub(super) fn counts_on_lanes(recording: &Recording) -> bool {
    let needs = recording.kernels.iter().map(|kernel| features(kernel.wgsl()));
    needs.into_iter().any(|needs| needs.contains(&"subgroups") && !needs.contains(&"subgroup_id"))
}

/// The features that a kernel's text needs, of a device or, as `subgroup_id`, of the language. Comments say their names, too.
fn features(wgsl: &str) -> Vec<&'static str> {
    let code = || wgsl.lines().map(|line| line.split("//").next().unwrap_or_default());
    let subgroups = code().any(|line| line.contains("subgroup"));
    let numbered = code().any(|line| ["subgroup_id", "num_subgroups"].iter().any(|name| line.contains(name)));
    let halves = code().any(|line| line.trim_start().starts_with("enable ") && line.contains("f16"));
    [(subgroups, "subgroups"), (numbered, "subgroup_id"), (halves, "shader-f16")]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect()
}

/// The kernels of a page's recordings, each text once.
#[derive(Default)]
pub(super) struct Texts {
    kernels: Vec<Arc<Shader>>,
    /// What all recordings need together.
    pub needs: Needs,
}

impl Texts {
    /// A recording as JSON whose kernels are numbers of these texts, with what it needs.
    pub fn shared(&mut self, recording: &Recording) -> Result<Value> {
        let mut numbers = Vec::new();
        for kernel in &recording.kernels {
            let known = self.kernels.iter().position(|k| k == kernel);
            numbers.push(known.unwrap_or(self.kernels.len()));
            if known.is_none() {
                self.kernels.push(kernel.clone());
            }
        }
        let needs = Needs::of(recording);
        self.needs.and(&needs);
        let mut value = json(&Recording { kernels: Vec::new(), ..recording.clone() })?;
        value["kernels"] = numbers.into();
        value["needs"] = json(&needs)?;
        Ok(value)
    }

    /// The kernels as JSON. Browsers want a line for subgroups, which the native compiler takes without a word.
    pub fn kernels(&self) -> Result<Value> {
        let mut all = Vec::new();
        for kernel in &self.kernels {
            let mut value = json(kernel.as_ref())?;
            if features(kernel.wgsl()).contains(&"subgroups") {
                value["wgsl"] = format!("enable subgroups;\n{}", kernel.wgsl()).into();
            }
            all.push(value);
        }
        Ok(all.into())
    }
}

/// Something of a page as JSON.
pub(super) fn json(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|e| Error::Failed(format!("cannot write the page: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_of_code_and_not_of_comments() {
        assert_eq!(features("// in a subgroup\nfn main() {} // enable f16;"), [""; 0]);
        assert_eq!(features("enable f16;\nlet w = subgroupBroadcast(a, 0u);"), ["subgroups", "shader-f16"]);
        assert_eq!(features("fn main(@builtin(subgroup_invocation_id) lane: u32) {}"), ["subgroups"]);
        assert_eq!(features("fn main(@builtin(num_subgroups) all: u32) {}"), ["subgroups", "subgroup_id"]);
    }
}
