//! The adapters of a machine: their names, what they can do, and which one is opened.

use super::cooperative::{self, Cooperative};
use crate::base::{Error, Result};

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// A discrete GPU first, then an integrated one, then a software adapter.
    #[default]
    Best,
    /// The adapter with this index in `wgslab devices`.
    Index(usize),
    /// The first adapter whose name holds this text, in any case.
    Name(String),
}

/// What an adapter can do, as plain data. The choice of variants depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// A software adapter: the processor's few cores run the lanes of a workgroup one vector after the other. Loads cost more
    /// than arithmetic, and a barrier costs more than the loads that workgroup memory saves: on SwiftShader, walks that share
    /// it take 3 to 200 times as long. What depends on the lanes of a vector asks for [`Caps::fixed_subgroup`], since
    /// Mesa's driver has 8 and SwiftShader 4.
    pub software: bool,
    /// The smallest and the largest subgroup, if the adapter has subgroup operations.
    pub subgroup: Option<(u32, u32)>,
    /// Whether it has `shader-f16`.
    pub f16: bool,
    /// Cooperative matrices that kernels may use. None unless the device was opened with them.
    pub cooperative: Vec<Cooperative>,
    /// The most storage buffers of one kernel.
    pub storage_buffers: u32,
    /// The most bytes of one binding.
    pub binding_bytes: u64,
    /// The most invocations of a workgroup.
    pub invocations: u32,
    /// The most bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// The most workgroups of one dimension.
    pub groups: u32,
}

impl Caps {
    /// The default limits of WebGPU, which every adapter has.
    pub fn portable() -> Self {
        Caps {
            software: false,
            subgroup: None,
            f16: false,
            cooperative: Vec::new(),
            storage_buffers: 8,
            binding_bytes: 128 << 20,
            invocations: 256,
            workgroup_bytes: 16 << 10,
            groups: 65_535,
        }
    }

    /// The subgroup size, if it cannot vary.
    pub fn fixed_subgroup(&self) -> Option<u32> {
        self.subgroup.filter(|(min, max)| min == max).map(|s| s.0)
    }
}

/// Facts about an adapter, for users and records.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// Driver name and version.
    pub driver: String,
    /// The backend: Vulkan, Metal or DX12.
    pub backend: String,
    /// The kind: DiscreteGpu, IntegratedGpu, VirtualGpu, Cpu or Other.
    pub kind: String,
    /// What it can do.
    pub caps: Caps,
    /// Names of its features.
    pub features: Vec<String>,
    /// The shapes of cooperative matrices that it reports (M×N×K, operands and sums), also those that no kernel uses.
    pub cooperative: Vec<String>,
}

/// The backends that a user may name.
fn backends(name: Option<&str>) -> Result<wgpu::Backends> {
    Ok(match name.map(str::to_ascii_lowercase).as_deref() {
        None => wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12,
        Some("vulkan") => wgpu::Backends::VULKAN,
        Some("metal") => wgpu::Backends::METAL,
        Some("dx12") => wgpu::Backends::DX12,
        Some(other) => {
            return Err(Error::Usage(format!(
                "--backend {other}: there is no such backend; take vulkan, metal or dx12"
            )));
        }
    })
}

fn instance(backends: wgpu::Backends, labels: bool) -> wgpu::Instance {
    let mut d = wgpu::InstanceDescriptor::new_without_display_handle();
    d.backends = backends;
    // wgpu gives a Vulkan driver no labels without this flag, which release builds leave out.
    d.flags.set(wgpu::InstanceFlags::DEBUG, labels);
    wgpu::Instance::new(d)
}

fn rank(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

pub(super) fn enumerate(backend: Option<&str>, labels: bool) -> Result<Vec<wgpu::Adapter>> {
    let wanted = backends(backend)?;
    let mut list = pollster::block_on(instance(wanted, labels).enumerate_adapters(wanted));
    list.sort_by_key(|a| rank(a.get_info().device_type)); // a stable sort keeps the driver's order within a kind
    Ok(list)
}

pub(super) fn describe(a: &wgpu::Adapter) -> Adapter {
    let (info, limits, features) = (a.get_info(), a.limits(), a.features());
    Adapter {
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        backend: format!("{:?}", info.backend),
        kind: format!("{:?}", info.device_type),
        caps: Caps {
            software: info.device_type == wgpu::DeviceType::Cpu,
            subgroup: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some((info.subgroup_min_size, info.subgroup_max_size)),
            f16: features.contains(wgpu::Features::SHADER_F16),
            cooperative: Vec::new(),
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            binding_bytes: limits.max_storage_buffer_binding_size,
            invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            groups: limits.max_compute_workgroups_per_dimension,
        },
        features: features.iter_names().map(|(n, _)| n.to_string()).collect(),
        cooperative: a.cooperative_matrix_properties().iter().map(cooperative::shape).collect(),
        name: info.name,
    }
}

/// Every adapter, the best first. Indices follow this order.
pub fn adapters(backend: Option<&str>) -> Result<Vec<Adapter>> {
    Ok(enumerate(backend, false)?.iter().map(describe).collect())
}

pub(super) fn choose(list: Vec<wgpu::Adapter>, choice: &AdapterChoice, backend: Option<&str>) -> Result<wgpu::Adapter> {
    let names = list.iter().map(|a| a.get_info().name).collect::<Vec<_>>();
    if let (Some(backend), true) = (backend, names.is_empty()) {
        return Err(Error::NoAdapter(format!(
            "no adapter supports {backend} here; `wgslab devices` without --backend lists all adapters"
        )));
    }
    if names.is_empty() {
        return Err(Error::NoAdapter(
            "no Vulkan, Metal or DX12 adapter is there; install a GPU driver, or Mesa's software driver \
             (`make setup` does it, on Debian it is the package mesa-vulkan-drivers)"
                .into(),
        ));
    }
    let at = match choice {
        AdapterChoice::Best => Some(0),
        AdapterChoice::Index(i) => Some(*i).filter(|i| *i < names.len()),
        AdapterChoice::Name(n) => names.iter().position(|a| a.to_lowercase().contains(&n.to_lowercase())),
    };
    match at {
        Some(i) => list.into_iter().nth(i).ok_or_else(|| Error::NoAdapter("the adapter list changed".into())),
        None => Err(Error::NoAdapter(format!(
            "no adapter fits --adapter {}; `wgslab devices` lists them: {}",
            match choice {
                AdapterChoice::Index(i) => i.to_string(),
                AdapterChoice::Name(n) => n.clone(),
                AdapterChoice::Best => "best".into(),
            },
            names.join(", ")
        ))),
    }
}
