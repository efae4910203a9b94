//! What a Vulkan driver's compiler says of a kernel: registers, spills, instructions, the assembly. Nothing is run, so a
//! driver without hardware will do: Mesa's RADV compiles for any AMD family that `RADV_FORCE_FAMILY` names.
//!
//! Drivers tell it by VK_KHR_pipeline_executable_properties, which wgpu does not pass on. So this file opens a device of its
//! own through `ash`, and is the only one that knows that crate. Its device never holds a buffer.
#![expect(unsafe_code, reason = "every call of Vulkan is unsafe; this file makes no other use of it")]

use crate::base::{Error, Result};
use ash::{khr, vk};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, c_char};
use std::time::Instant;

/// Bindings of every kernel: `Params` at 0, storage buffers after it. More than any kernel has.
const BINDINGS: u32 = 24;

/// A driver that compiles kernels and tells what came of them.
pub struct Compiler {
    // The loader's library must outlive what it made.
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    executable: khr::pipeline_executable_properties::Device,
    set: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    about: Driver,
}

/// Whose compiler it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Driver {
    /// The device as the driver names it.
    pub device: String,
    /// The driver with its version.
    pub driver: String,
    /// The shapes of cooperative matrices that a subgroup of the device multiplies, as `16x16x16 F16 to F32` (M×N×K,
    /// operands and sums). A kernel with another shape is not for it, whatever the driver's compiler does with one.
    #[serde(default)]
    pub cooperative: Vec<String>,
}

/// What a driver says of a kernel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Compiled {
    /// Names and values as the driver gives them.
    pub statistics: Vec<(String, f64)>,
    /// The final assembly, where the driver shows one.
    pub assembly: Option<String>,
    /// How long the driver compiled, ms.
    pub compile_ms: f64,
}

fn failed(what: &str, why: vk::Result) -> Error {
    Error::Failed(format!("Vulkan: {what}: {why}"))
}

/// A fixed array of characters with a 0 at its end.
fn text(characters: &[c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Compiler {
    /// Opens the first device whose name holds `name`, in any case; the first of all where none is given.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] without a Vulkan loader or such a device; [`Error::Failed`] where the driver tells nothing.
    pub fn open(name: Option<&str>) -> Result<Compiler> {
        let none = |why: String| Error::NoAdapter(why);
        // SAFETY: the loader is the system's own library, which has no other conditions.
        let entry = unsafe { ash::Entry::load() }
            .map_err(|e| none(format!("no Vulkan loader is installed, so no compiler can be asked ({e})")))?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `create` and what it points to live until the call ends.
        let instance = unsafe { entry.create_instance(&create, None) }.map_err(|e| failed("no instance", e))?;
        // SAFETY: the instance lives.
        let listed = unsafe { instance.enumerate_physical_devices() }.map_err(|e| failed("no list of devices", e))?;
        let named = listed.into_iter().map(|physical| (physical, driver(&instance, physical)));
        let wanted = name.unwrap_or_default().to_lowercase();
        let Some((physical, mut about)) = named.into_iter().find(|(_, d)| d.device.to_lowercase().contains(&wanted))
        else {
            return Err(none(match name {
                Some(name) => format!("no Vulkan device has '{name}' in its name; `wgslab devices` lists them"),
                None => "no Vulkan driver offers a device".to_string(),
            }));
        };
        let offered = extensions(&instance, physical)?;
        if offered.contains(&khr::cooperative_matrix::NAME) {
            about.cooperative = shapes(&entry, &instance, physical)?;
        }
        let (device, executable) = open_device(&instance, physical, &about, &offered)?;
        let (set, layout) = layout(&device)?;
        Ok(Compiler { _entry: entry, instance, device, executable, set, layout, about })
    }

    /// Whose compiler it is.
    pub fn about(&self) -> &Driver {
        &self.about
    }

    /// Compiles SPIR-V with the entry point `main`.
    ///
    /// # Errors
    /// [`Error::Failed`] with the driver's code where it refuses.
    pub fn compile(&self, spirv: &[u32]) -> Result<Compiled> {
        let module = vk::ShaderModuleCreateInfo::default().code(spirv);
        // SAFETY: naga wrote the words from a module that it has validated; they live until the call ends.
        let module = unsafe { self.device.create_shader_module(&module, None) }.map_err(|e| failed("no module", e))?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let wanted = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
            | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        let create = vk::ComputePipelineCreateInfo::default().flags(wanted).stage(stage).layout(self.layout);
        let clock = Instant::now();
        // SAFETY: module and layout are of this device and live. The layout has every binding that a kernel may have.
        let made = unsafe { self.device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None) };
        let compile_ms = clock.elapsed().as_secs_f64() * 1e3;
        // SAFETY: a pipeline does not need its module any more.
        unsafe { self.device.destroy_shader_module(module, None) };
        let pipeline = match made {
            Ok(pipelines) => pipelines[0],
            Err((_, e)) => return Err(failed("the driver refuses the kernel", e)),
        };
        let told = self.told(pipeline, compile_ms);
        // SAFETY: nothing uses the pipeline any more.
        unsafe { self.device.destroy_pipeline(pipeline, None) };
        told
    }

    /// What the driver tells of a pipeline, whose first executable is its only one.
    fn told(&self, pipeline: vk::Pipeline, compile_ms: f64) -> Result<Compiled> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        // SAFETY: the pipeline lives and was made to be asked.
        let list = unsafe { self.executable.get_pipeline_executable_statistics(&info) }
            .map_err(|e| failed("no statistics", e))?;
        let statistics = list.iter().map(|s| (text(&s.name), value(s))).collect();
        // SAFETY: as above; the first call gives the sizes, the second fills what has them.
        let mut texts = unsafe { self.executable.get_pipeline_executable_internal_representations(&info) }
            .map_err(|e| failed("no list of texts", e))?;
        let mut bytes: Vec<Vec<u8>> = texts.iter().map(|t| vec![0; t.data_size]).collect();
        for (text, bytes) in texts.iter_mut().zip(&mut bytes) {
            text.p_data = bytes.as_mut_ptr().cast();
        }
        let (mut count, list) = (texts.len() as u32, self.executable.fp());
        // SAFETY: `count` entries each point to as many bytes as they say, in `bytes`, which lives until the end.
        unsafe {
            (list.get_pipeline_executable_internal_representations_khr)(
                self.device.handle(),
                &info,
                &mut count,
                texts.as_mut_ptr(),
            )
        }
        .result()
        .map_err(|e| failed("no texts", e))?;
        let at = texts.iter().position(|t| t.is_text != 0 && text(&t.name).contains("Assembly"));
        let assembly = at.map(|i| String::from_utf8_lossy(&bytes[i]).trim_end_matches('\0').to_string());
        Ok(Compiled { statistics, assembly, compile_ms })
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: all of these were made by this device and instance, nothing else holds them, and this is their order.
        unsafe {
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.set, None);
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

fn value(s: &vk::PipelineExecutableStatisticKHR<'_>) -> f64 {
    // SAFETY: the format says which member of the union the driver has written.
    unsafe {
        match s.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => f64::from(s.value.b32),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64 as f64,
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => s.value.u64 as f64,
            _ => s.value.f64,
        }
    }
}

fn driver(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Driver {
    let mut details = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut details);
    // SAFETY: the device is of this instance; both structures live until the call ends.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    let device = text(&properties.properties.device_name);
    let driver = format!("{} {}", text(&details.driver_name), text(&details.driver_info));
    Driver { device, driver, cooperative: Vec::new() }
}

/// Those of the extensions that this file knows which a device offers.
fn extensions(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<Vec<&'static CStr>> {
    // SAFETY: the device is of this instance.
    let offered = unsafe { instance.enumerate_device_extension_properties(physical) }
        .map_err(|e| failed("no list of extensions", e))?;
    let known = [khr::pipeline_executable_properties::NAME, khr::cooperative_matrix::NAME];
    Ok(known.into_iter().filter(|name| offered.iter().any(|e| e.extension_name_as_c_str() == Ok(*name))).collect())
}

/// The shapes of matrices that a subgroup multiplies, without those whose sums saturate.
fn shapes(entry: &ash::Entry, instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<Vec<String>> {
    let asked = khr::cooperative_matrix::Instance::new(entry, instance);
    // SAFETY: the device is of this instance and offers the extension.
    let listed = unsafe { asked.get_physical_device_cooperative_matrix_properties(physical) }
        .map_err(|e| failed("no list of cooperative matrices", e))?;
    let element = |kind: vk::ComponentTypeKHR| match kind {
        vk::ComponentTypeKHR::FLOAT16 => "F16".to_string(),
        vk::ComponentTypeKHR::FLOAT32 => "F32".to_string(),
        other => format!("{other:?}"),
    };
    let plain = |p: &&vk::CooperativeMatrixPropertiesKHR<'_>| {
        p.scope == vk::ScopeKHR::SUBGROUP && p.saturating_accumulation == vk::FALSE
    };
    let plain = listed.iter().filter(plain).filter(|p| p.a_type == p.b_type && p.c_type == p.result_type);
    let shape = |p: &vk::CooperativeMatrixPropertiesKHR<'_>| {
        format!("{}x{}x{} {} to {}", p.m_size, p.n_size, p.k_size, element(p.a_type), element(p.c_type))
    };
    Ok(plain.map(shape).collect())
}

/// A device with every feature that the driver offers, but without its bounds checks: wgpu's trusted modules run without.
fn open_device(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
    about: &Driver,
    offered: &[&CStr],
) -> Result<(ash::Device, khr::pipeline_executable_properties::Device)> {
    const NAME: &CStr = khr::pipeline_executable_properties::NAME;
    if !offered.contains(&NAME) {
        return Err(Error::Failed(format!(
            "{} ({}) tells nothing of what it compiles: it has no {}. Ask a driver without hardware with --for gfx1100",
            about.device,
            about.driver,
            NAME.to_string_lossy()
        )));
    }
    let mut told = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
    let mut newest = vk::PhysicalDeviceVulkan13Features::default();
    let mut newer = vk::PhysicalDeviceVulkan12Features::default();
    let mut new = vk::PhysicalDeviceVulkan11Features::default();
    let chain = vk::PhysicalDeviceFeatures2::default().push_next(&mut newest).push_next(&mut newer);
    let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
    let mut features = chain.push_next(&mut new).push_next(&mut told);
    if !about.cooperative.is_empty() {
        features = features.push_next(&mut matrices);
    }
    // SAFETY: the device is of this instance; the chain lives until the call ends.
    unsafe { instance.get_physical_device_features2(physical, &mut features) };
    features.features.robust_buffer_access = vk::FALSE;
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
    let names: Vec<_> = offered.iter().map(|name| name.as_ptr()).collect();
    let create = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
    let create = create.push_next(&mut features);
    // SAFETY: every feature and the extension are offered; all that `create` points to lives until the call ends.
    let device = unsafe { instance.create_device(physical, &create, None) }.map_err(|e| failed("no device", e))?;
    let executable = khr::pipeline_executable_properties::Device::new(instance, &device);
    Ok((device, executable))
}

/// The layout of every kernel: one set, `Params` at binding 0, storage buffers after it.
fn layout(device: &ash::Device) -> Result<(vk::DescriptorSetLayout, vk::PipelineLayout)> {
    let kind = |i: u32| match i {
        0 => vk::DescriptorType::UNIFORM_BUFFER,
        _ => vk::DescriptorType::STORAGE_BUFFER,
    };
    let binding = |i: u32| {
        let binding = vk::DescriptorSetLayoutBinding::default().binding(i).descriptor_type(kind(i)).descriptor_count(1);
        binding.stage_flags(vk::ShaderStageFlags::COMPUTE)
    };
    let bindings: Vec<_> = (0..BINDINGS).map(binding).collect();
    let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
    // SAFETY: the device lives, and so does what `create` points to.
    let set = unsafe { device.create_descriptor_set_layout(&create, None) }.map_err(|e| failed("no bindings", e))?;
    let sets = [set];
    let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
    // SAFETY: as above.
    let layout = unsafe { device.create_pipeline_layout(&create, None) }.map_err(|e| failed("no layout", e))?;
    Ok((set, layout))
}
