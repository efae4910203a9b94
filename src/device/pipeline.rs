//! Pipelines. Each is made once for a kernel and kept, because wgpu does not cache them. A driver may take seconds for
//! one, sometimes minutes. Nothing interrupts a driver, so it works on a thread of its own, and a caller that waits for
//! it may stop waiting.

use super::kernel::Kernel;
use super::shader::{Access, STACK_BYTES, create_module};
use super::wgsl::{Layout, Shader};
use super::{Caps, Gpu};
use crate::base::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A pipeline with the layout its bind groups need.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Access of its storage buffers, in order.
    pub(super) buffers: Vec<Access>,
    /// Bytes of its `Params`.
    pub(super) params_bytes: u32,
}

/// The texts and pipelines made so far.
#[derive(Default)]
pub(super) struct Pipelines {
    shaders: Mutex<HashMap<Kernel, Arc<Shader>>>,
    made: Mutex<HashMap<Arc<Shader>, Arc<Pipeline>>>,
    /// How many of the last announced pipelines are still to be made.
    left: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(held) => held,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// A callback that is called repeatedly while a kernel is compiled. Its error ends the wait and is returned by
/// [`Gpu::pipeline`].
pub type Waiting = Arc<dyn Fn(&Compiling<'_>) -> Result<()> + Send + Sync>;

/// The kernel that a driver is compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compiling<'a> {
    /// The kernel's name and variant.
    pub kernel: &'a str,
    /// How many times the callback was called before during this compilation.
    pub asked: usize,
    /// How many more kernels of the same plan are still to be compiled.
    pub left: usize,
}

/// The time between two calls of the callback.
const TICK: Duration = Duration::from_millis(100);

/// Runs `work` on a thread of its own and returns its result, or the error of `waiting`. After an error the thread goes
/// on alone. Its stack is large enough for any shader of bounded nesting.
fn beside<T: Send + 'static>(
    (name, left): (&str, usize),
    waiting: &Waiting,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let failed = |what: &str| Error::Failed(format!("{name} could not be compiled: {what}"));
    let (tell, told) = channel();
    let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _ = tell.send(work()); // if nobody waits any more, the result is not needed
    });
    spawned.map_err(|e| failed(&format!("there is no thread for it ({e})")))?;
    for asked in 0.. {
        match told.recv_timeout(TICK) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => waiting(&Compiling { kernel: name, asked, left })?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Err(failed("the compiler gave up on it"))
}

impl Gpu {
    /// The complete text of `kernel` with its layout, made at the first call.
    pub fn shader(&self, kernel: &Kernel) -> Result<Arc<Shader>> {
        let mut known = lock(&self.pipelines.shaders);
        if let Some(s) = known.get(kernel) {
            return Ok(s.clone());
        }
        let s = Arc::new(kernel.shader(self.tree())?);
        known.insert(kernel.clone(), s.clone());
        Ok(s)
    }

    /// Announces the pipelines that are asked for next, so that the callback is told how many are left.
    pub(crate) fn announce(&self, shaders: &[Arc<Shader>]) {
        let known = lock(&self.pipelines.made);
        let new: HashSet<_> = shaders.iter().filter(|s| !known.contains_key(*s)).collect();
        self.pipelines.left.store(new.len(), Ordering::Relaxed);
    }

    /// The pipeline of a text, made at the first call.
    pub(super) fn pipeline(&self, shader: &Arc<Shader>) -> Result<Arc<Pipeline>> {
        let mut known = lock(&self.pipelines.made);
        if let Some(p) = known.get(shader) {
            return Ok(p.clone());
        }
        let left = self.pipelines.left.load(Ordering::Relaxed).saturating_sub(1);
        let p = Arc::new(self.compile(shader, left)?);
        self.meter().pipeline_made();
        self.pipelines.left.store(left, Ordering::Relaxed);
        known.insert(shader.clone(), p.clone());
        Ok(p)
    }

    fn compile(&self, shader: &Shader, left: usize) -> Result<Pipeline> {
        shader.expect_valid()?;
        let reflected = shader.layout();
        fits(&shader.shown(), reflected, self.caps())?;
        let (checked, cleared) = (self.options().checked || shader.needs_checks(), shader.is_foreign());
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
        // The name shows in a debugger which of an op's variants runs.
        let name = format!("{} [{}]", shader.name(), shader.variant());
        let label = Some(name.as_str());
        let layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let (device, text, label) = (self.device.clone(), shader.wgsl().to_string(), name.clone());
        let make = move || {
            let module = create_module(&device, &label, &text, checked);
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: cleared,
                    ..Default::default()
                },
                cache: None,
            })
        };
        let of = shader.text();
        let raw = beside((&name, left), &self.waiting, move || of.compiled(make))?
            .map_err(|why| Error::Failed(format!("{}: {why}", shader.shown())))?;
        self.check()?;
        let (buffers, params_bytes) = (reflected.buffers.clone(), reflected.params_bytes);
        Ok(Pipeline { raw, layout, buffers, params_bytes })
    }
}

/// Refuses a kernel that the adapter cannot run, with a sentence instead of a validation error.
fn fits(kernel: &str, r: &Layout, caps: &Caps) -> Result<()> {
    let over = |what: &str, need: u64, have: u64| {
        Err(Error::Failed(format!("{kernel} needs {need} {what}, but the adapter has {have}; choose another variant")))
    };
    // In text from a file, the product may overflow a word.
    let invocations: u64 = r.workgroup.iter().map(|&n| u64::from(n)).fold(1, u64::saturating_mul);
    if r.buffers.len() as u32 > caps.storage_buffers {
        return over("storage buffers", r.buffers.len() as u64, caps.storage_buffers as u64);
    }
    if invocations > u64::from(caps.invocations) {
        return over("invocations in a workgroup", invocations, caps.invocations as u64);
    }
    if r.workgroup_bytes > caps.workgroup_bytes {
        return over("bytes of workgroup memory", r.workgroup_bytes as u64, caps.workgroup_bytes as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A compiler that needs some time.
    #[test]
    fn who_waits_is_asked_and_may_leave() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let patient: Waiting = Arc::new(move |now| {
            let asked = count.fetch_add(1, Ordering::SeqCst);
            assert_eq!(*now, Compiling { kernel: "a.b [c]", asked, left: 3 });
            Ok(())
        });
        assert_eq!(beside(("a.b [c]", 3), &patient, || 7).unwrap(), 7);
        let slow = || std::thread::sleep(5 * TICK);
        beside(("a.b [c]", 3), &patient, slow).unwrap();
        assert!(asked.load(Ordering::SeqCst) >= 1);
        let hasty: Waiting = Arc::new(|now| Err(Error::TryAgain(format!("stopped while compiling {}", now.kernel))));
        let (hold, held) = channel::<()>();
        let e = beside(("a.b [c]", 0), &hasty, move || held.recv()).unwrap_err(); // it never ends by itself
        assert!(e.exit_code() == 75 && e.to_string().contains("a.b [c]"), "{e}");
        drop(hold);
        let never: Waiting = Arc::new(|_| Ok(()));
        let e = beside(("a.b [c]", 0), &never, || panic!("a bug of a driver")).unwrap_err();
        assert!(e.to_string().contains("a.b [c] could not be compiled"), "{e}");
    }
}
