// mixup.targets: y_ik = λ_i·[k = label_i] + (1 − λ_i)·[k = label of the partner]. An invocation makes one element, 64 in a
// row a workgroup. Partners past the last sample are clamped; labels past the last class count as the last one.

struct Params { samples: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> pair: array<u32>;
@group(0) @binding(3) var<storage, read> lambda: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.samples * p.classes) {
        return;
    }
    let i = at / p.classes;
    let k = at % p.classes;
    let own = min(labels[i], p.classes - 1u);
    let other = min(labels[min(pair[i], p.samples - 1u)], p.classes - 1u);
    y[at] = select(0.0, lambda[i], k == own) + select(0.0, 1.0 - lambda[i], k == other);
}
