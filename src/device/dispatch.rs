//! A dispatch is a pipeline, its bind group and a grid. It is made once and encoded many times.

use super::buffer::Bound;
use super::pipeline::Pipeline;
use super::shader::Access;
use super::wgsl::Shader;
use super::{Buffer, Gpu, Kernel};
use crate::base::{Error, Result};
use std::sync::Arc;

/// One dispatch, made once and replayed.
#[derive(Debug)]
pub struct Dispatch {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    grid: [u32; 3],
    /// `<layer>/<op>.<entry>`, for debuggers and errors.
    pub label: String,
}

/// Commands ready to be submitted once.
pub struct Encoded(pub(super) Vec<wgpu::CommandBuffer>);

/// Stands for work that was submitted.
#[derive(Clone, Debug)]
pub struct Ticket(Option<wgpu::SubmissionIndex>);

/// Parameter blocks of many launches in one uniform buffer, each at an aligned offset.
pub struct ParamBlocks {
    bytes: Vec<u8>,
    offsets: Vec<u64>,
    buffer: Option<Buffer>,
}

/// Uniform offsets are multiples of this: the default limit of WebGPU, which every adapter accepts.
const ALIGN: usize = 256;

impl ParamBlocks {
    /// The most bytes that a block adds.
    pub fn block_bytes(block: &[u8]) -> u64 {
        block.len().next_multiple_of(ALIGN).max(ALIGN) as u64
    }

    /// Collects the blocks; [`ParamBlocks::upload`] writes them once.
    pub fn new<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for b in blocks {
            offsets.push(bytes.len() as u64);
            bytes.extend_from_slice(b);
            bytes.resize(bytes.len().next_multiple_of(ALIGN).max(ALIGN), 0);
        }
        ParamBlocks { bytes, offsets, buffer: None }
    }

    /// Writes all blocks to the device.
    pub fn upload(mut self, gpu: &Gpu) -> Result<Self> {
        if !self.bytes.is_empty() {
            self.buffer = Some(gpu.uniform("params", &self.bytes)?);
        }
        Ok(self)
    }
}

/// A grid of `n` workgroups in one list. A list longer than the limit of a dimension is folded over (x, y), as evenly as it
/// goes, so that few are surplus. Kernels unfold it with `group_index` of `shaders/common/index.wgsl` and must skip the surplus.
pub fn groups_1d(n: usize) -> [u32; 3] {
    let n = n.max(1);
    let y = n.div_ceil(65_535);
    [n.div_ceil(y) as u32, y as u32, 1]
}

impl Gpu {
    /// Makes a dispatch: pipeline, bind group over whole `buffers`, and grid.
    pub fn dispatch(
        &self,
        label: &str,
        kernel: &Kernel,
        buffers: &[&Buffer],
        params: (&ParamBlocks, usize),
        grid: [u32; 3],
    ) -> Result<Dispatch> {
        let whole: Vec<Bound<'_>> = buffers.iter().map(|b| Bound::whole(b)).collect();
        self.dispatch_shader(label, &self.shader(kernel)?, &whole, params, grid)
    }

    /// The same for the complete text of a kernel, over parts of buffers.
    pub fn dispatch_shader(
        &self,
        label: &str,
        shader: &Arc<Shader>,
        buffers: &[Bound<'_>],
        params: (&ParamBlocks, usize),
        grid: [u32; 3],
    ) -> Result<Dispatch> {
        let pipeline = self.pipeline(shader)?;
        let named = || format!("{label} ({} [{}])", shader.name(), shader.variant());
        let bad = |what: String| Err(Error::Failed(format!("{}: {what}", named())));
        if pipeline.buffers.len() != buffers.len() {
            return bad(format!(
                "the shader binds {} buffers, but was given {}",
                pipeline.buffers.len(),
                buffers.len()
            ));
        }
        if grid.iter().any(|&g| g == 0 || g > self.caps().groups) {
            return bad(format!(
                "a grid of {grid:?} workgroups is above the limit of {} in a dimension",
                self.caps().groups
            ));
        }
        if let Some(what) = clash(buffers, &pipeline.buffers) {
            return bad(what);
        }
        let mut entries: Vec<wgpu::BindGroupEntry> = Vec::new();
        for (i, part) in buffers.iter().enumerate() {
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &part.buffer.raw,
                offset: part.offset,
                size: wgpu::BufferSize::new(part.bytes),
            });
            entries.push(wgpu::BindGroupEntry { binding: i as u32 + 1, resource });
        }
        if pipeline.params_bytes > 0 {
            let Some(uniform) = &params.0.buffer else { return bad("its parameters were not uploaded".into()) };
            entries.push(wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &uniform.raw,
                    offset: params.0.offsets[params.1],
                    size: wgpu::BufferSize::new(pipeline.params_bytes as u64),
                }),
            });
        }
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        self.meter().bind_group_made();
        self.check()?;
        Ok(Dispatch { pipeline, group, grid, label: label.to_string() })
    }

    /// Encodes `list` in chunks. Each chunk is a pass and a command buffer. A long pass would exceed the driver's time
    /// limit; a short one costs more to submit than to run.
    pub fn encode(&self, list: &[Dispatch]) -> Encoded {
        let one = |chunk: &[Dispatch]| {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.pass(&mut encoder, chunk, None, None);
            encoder.finish()
        };
        Encoded(list.chunks(CHUNK).map(one).collect())
    }

    /// Encodes `list` as one pass. Debuggers show its label and, with [`super::GpuOptions::labels`], the label of each
    /// dispatch.
    pub(super) fn pass<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        list: impl IntoIterator<Item = &'a Dispatch>,
        label: Option<&str>,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes });
        let groups = self.options().labels;
        for d in list {
            if groups {
                pass.push_debug_group(&d.label);
            }
            pass.set_pipeline(&d.pipeline.raw);
            pass.set_bind_group(0, &d.group, &[]);
            pass.dispatch_workgroups(d.grid[0], d.grid[1], d.grid[2]);
            if groups {
                pass.pop_debug_group();
            }
        }
    }

    /// Submits the encoded work, one submission for each chunk. A software driver may run it before this returns.
    pub fn submit(&self, work: Encoded) -> Ticket {
        Ticket(work.0.into_iter().map(|buffer| self.queue.submit([buffer])).last())
    }

    /// Waits until the ticket's work is done. It does not wait for later work.
    pub fn wait_for(&self, ticket: &Ticket) -> Result<()> {
        let polled = self.device.poll(wgpu::PollType::Wait { submission_index: ticket.0.clone(), timeout: None });
        self.check()?;
        polled.map(drop).map_err(|e| Error::TryAgain(format!("waiting for {} failed: {e}", self.adapter().name)))
    }
}

/// Why these parts cannot be bound together, in a sentence: wgpu tracks whole buffers, so a buffer that is written
/// through one binding cannot be read through another, and two bindings may not write the same bytes.
fn clash(parts: &[Bound<'_>], access: &[Access]) -> Option<String> {
    let pairs = (0..parts.len()).flat_map(|i| (i + 1..parts.len()).map(move |j| (i, j)));
    let mut beside = pairs.filter(|&(i, j)| parts[i].beside(&parts[j]));
    beside.find_map(|(i, j)| {
        let (first, second) = (i + 1, j + 1);
        match [access[i], access[j]] {
            [Access::Read, Access::Read] => None,
            [Access::ReadWrite, Access::ReadWrite] if !parts[i].overlaps(&parts[j]) => None,
            _ => Some(format!("bindings {first} and {second} are one buffer, and it is written through one of them")),
        }
    })
}

/// The most dispatches of one submission.
pub(crate) const CHUNK: usize = 64;

#[cfg(test)]
mod tests {
    use super::groups_1d;

    #[test]
    fn long_lists_fold() {
        assert_eq!(groups_1d(0), [1, 1, 1]);
        assert_eq!(groups_1d(65_535), [65_535, 1, 1]);
        assert_eq!(groups_1d(65_536), [32_768, 2, 1]);
        for n in [65_537, 131_071, 1_000_003, 65_535 * 65_535] {
            let [x, y, _] = groups_1d(n);
            let launched = x as usize * y as usize;
            assert!(x <= 65_535 && (n..n + y as usize).contains(&launched), "{n}: {x} by {y}");
        }
    }
}
