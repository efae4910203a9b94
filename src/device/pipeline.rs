//! Pipelines, made once per kernel and kept: wgpu does not cache them, and a driver takes up to seconds for one.

use super::shader::{Access, Kernel, Reflected, create_module};
use super::{Caps, Gpu};
use crate::base::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A pipeline with the layout its bind groups need.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Access of its storage buffers, in order.
    pub buffers: Vec<Access>,
    /// Names and offsets of the fields of its `Params`.
    pub params: Vec<(String, u32)>,
    /// Bytes of its `Params`.
    pub params_bytes: u32,
}

#[derive(Default)]
pub(super) struct Pipelines(Mutex<HashMap<Kernel, Arc<Pipeline>>>);

impl Gpu {
    /// The pipeline of `kernel`, made at the first call.
    pub fn pipeline(&self, kernel: &Kernel) -> Result<Arc<Pipeline>> {
        let mut known = match self.pipelines.0.lock() {
            Ok(k) => k,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(p) = known.get(kernel) {
            return Ok(p.clone());
        }
        let p = Arc::new(self.compile(kernel)?);
        known.insert(kernel.clone(), p.clone());
        Ok(p)
    }

    fn compile(&self, kernel: &Kernel) -> Result<Pipeline> {
        let tree = self.tree();
        let reflected = kernel.reflect(tree)?;
        fits(&tree.names(kernel), &reflected, self.caps())?;
        let checked = self.options().checked || !tree.edited_of(kernel).is_empty();
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = Vec::new();
        if reflected.params_bytes > 0 {
            entries.push(entry(0, wgpu::BufferBindingType::Uniform));
        }
        for (i, access) in reflected.buffers.iter().enumerate() {
            let read_only = *access == Access::Read;
            entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }));
        }
        // Of an op's variants a debugger should tell which one runs.
        let name = format!("{} [{}]", kernel.name, kernel.variant);
        let label = Some(name.as_str());
        let layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let module = create_module(&self.device, &name, &kernel.source(tree)?.text, checked);
        let raw = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            })),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: checked,
                ..Default::default()
            },
            cache: None,
        });
        self.check()?;
        let Reflected { buffers, params, params_bytes, .. } = reflected;
        Ok(Pipeline { raw, layout, buffers, params, params_bytes })
    }
}

/// Refuses a kernel the adapter cannot run, with a sentence instead of a validation error.
fn fits(kernel: &str, r: &Reflected, caps: &Caps) -> Result<()> {
    let over = |what: &str, need: u64, have: u64| {
        Err(Error::Failed(format!(
            "{kernel} needs {need} {what} and the adapter has {have}; another variant must be chosen"
        )))
    };
    let invocations: u32 = r.workgroup.iter().product();
    if r.buffers.len() as u32 > caps.storage_buffers {
        return over("storage buffers", r.buffers.len() as u64, caps.storage_buffers as u64);
    }
    if invocations > caps.invocations {
        return over("invocations in a workgroup", invocations as u64, caps.invocations as u64);
    }
    if r.workgroup_bytes > caps.workgroup_bytes {
        return over("bytes of workgroup memory", r.workgroup_bytes as u64, caps.workgroup_bytes as u64);
    }
    Ok(())
}
