//! What a pretraining becomes as data, and what is refused.

use super::*;
use crate::base::progress::Silent;
use crate::study::testing::{Heard, with_job};
use std::collections::HashMap;

const SPEC: &str = "phantom:covid?train=24&val=8&test=9";

fn of(method: &str, more: &str) -> Result<Portable> {
    let text = format!(
        "[data]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\nmethods = [\"{method}\"]\n\
         epochs = 2\nwarmup_epochs = 0\nbatch_size = 8\n{more}"
    );
    let mut made = Err(Error::Failed("no adapter".into()));
    with_job(&text, &Silent, |job| made = job.portable(SPEC, method, (5 << 32) + 7));
    made
}

/// What a browser with WebGPU's default limits runs, and all that it needs for it.
#[test]
fn a_pretraining_is_data_within_the_default_limits() {
    if crate::device::adapter::adapters(None).is_ok_and(|list| list.is_empty()) {
        return with_job("", &Silent, |_| ()); // says that it is skipped
    }
    let caps = Caps::portable();
    let made = of("simclr", "").unwrap();
    let code = |text: &str| -> String { text.lines().filter_map(|l| l.split("//").next()).collect() };
    let in_software = made.step_in_software.as_ref().unwrap();
    for (recording, outputs) in [(&made.step, 0), (in_software, 0), (&made.eye, 1), (&made.views, 3)] {
        assert_eq!(recording.expect_sound(), Ok(()));
        assert_eq!(recording.outputs.len(), outputs);
        for kernel in &recording.kernels {
            let (layout, name) = (kernel.layout(), kernel.name());
            assert!(layout.buffers.len() <= caps.storage_buffers as usize, "{name}");
            assert!(layout.workgroup.iter().product::<u32>() <= caps.invocations, "{name}");
            assert!(layout.workgroup_bytes <= caps.workgroup_bytes, "{name}");
            let code = code(kernel.wgsl());
            assert!(!code.contains("f16") && (!code.contains("subgroup") || kernel.variant() == "broadcast"), "{name}");
        }
    }
    let broadcast = |r: &Recording| r.kernels.iter().filter(|k| k.variant() == "broadcast").count();
    assert!(broadcast(&made.step) == 0 && broadcast(in_software) > 0);
    assert_eq!(made.step.state_types(), in_software.state_types(), "either goes on with the other's");
    assert_eq!((made.images, made.batch, made.steps, made.labels.len()), (24, 8, 3, 33));
    assert_eq!((made.seed, made.columns[0].as_str()), ([7, 5], "loss"));
    assert!(made.idea.starts_with("SimCLR: "), "{}", made.idea);
    assert_eq!(made.scalars["lr"].len(), 6, "a rate for each step");
    let held = |name: &str| made.tensors.iter().find(|t| t.name == name).map(|t| (t.at, t.bytes));
    assert_eq!(held("images/eye/0"), Some((0, 33 * 16 * 16)));
    assert_eq!(held("images/train/0"), Some((0, 24 * 16 * 16)), "they are there once");
    assert!(made.tensors.iter().all(|t| t.at + t.bytes <= made.bytes.len()));
    assert!(made.tensors.iter().all(|t| t.at % 4 == 0 && t.bytes % 4 == 0), "a device takes whole words");
    // The file of the weights, if they were all zero.
    let sizes: HashMap<String, u64> =
        made.step.state_types().into_iter().map(|(name, ty)| (name, ty.bytes())).collect();
    let values = made.file.values.iter().map(|name| name.as_ref().map_or(8, |name| sizes[name]) as usize).sum();
    let head = &made.bytes[made.file.at..][..made.file.bytes];
    let file = [head, &vec![0; values]].concat();
    let of = checkpoint::read_metadata("the page's weights".as_ref(), &file).unwrap();
    assert!(of.get("address").is_none() && of["images"]["image_size"] == 16, "{of:?}");
}

/// Adapters differ in the largest buffer that they bind.
#[test]
fn a_step_past_the_default_limits_is_told_and_travels() {
    let (heard, mut made) = (Heard::default(), None);
    // Planes of 32 channels and 288 × 288 pixels, 16 at once: 162 MiB.
    let text = "[data]\nstore_size = 288\nimage_size = 288\n[model]\nwidth = 0.5\n[pretraining]\n\
                methods = [\"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n";
    with_job(text, &heard, |job| made = Some(job.portable(SPEC, "simclr", 0).unwrap()));
    let Some(made) = made else { return };
    let most = made.step.buffers.iter().map(|b| b.bytes).max();
    assert!(most > Some(Caps::portable().binding_bytes), "{most:?}");
    let said = heard.lines().join("\n");
    assert!(said.contains("only where its adapter offers more than WebGPU's default limits"), "{said}");
}

#[test]
fn what_a_page_cannot_replay_is_refused() {
    if crate::device::adapter::adapters(None).is_ok_and(|list| list.is_empty()) {
        return with_job("", &Silent, |_| ());
    }
    for (method, more, why) in [
        ("vae", "", "read more than images and scalars"),
        ("test_duel", "", "take a method of one turn"),
        ("simclr", "micro_batch_size = 4\n", "set micro_batch_size = 0"),
        ("simclr", "simclr.projection_dims = [8192, 8192]\n", "in one buffer"),
    ] {
        let said = of(method, more).map(|p| p.name).unwrap_err();
        assert!(said.exit_code() == 2 && said.to_string().contains(why), "{method}: {said}");
    }
    // It refuses the backbone, too, and another backbone would not help. No image is looked for before.
    let mut said = Ok(());
    with_job("[data]\nimage_size = 16\n", &Silent, |job| said = job.portable("no.npz", "mae", 0).map(drop));
    let said = said.unwrap_err().to_string();
    assert!(said.contains("read more than images and scalars"), "{said}");
}
