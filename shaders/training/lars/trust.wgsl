// lars: the trust ratio q = eta·‖w‖/‖d‖ of each tensor from the sums of the first stage, 1 where either norm is 0; clipped,
// min(q/lr, 1), so that lr·q is at most lr. A workgroup for each tensor, each lane a stride of 64 sums. A tensor's rows hold
// how many sums it has, which is the first, the slot of its learning rate, and which ratio is its own.

struct Params {
    eta: f32,
    clip: u32,
    padding: vec2<u32>,
    tensors: array<vec4<u32>, $ROWS>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> scalars: array<f32>;
@group(0) @binding(3) var<storage, read_write> ratio: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let row = 2u * min(group_index(wid, groups), $ROWS / 2u - 1u);
    let tensor = p.tensors[row];
    var part = vec2<f32>(0.0);
    for (var i = lane; i < tensor.y; i += 64u) {
        part += parts[tensor.z + i];
    }
    let norms = sqrt(sum64(me, part));
    if (lane == 0u) {
        // Not max() and min(), which may lose a NaN.
        let q = p.eta * norms.x / select(norms.y, 1e-30, norms.y < 1e-30);
        let share = q / scalars[tensor.w];
        let clipped = select(q, select(share, 1.0, share > 1.0), p.clip != 0u);
        ratio[p.tensors[row + 1u].w] = select(clipped, 1.0, (norms.x <= 0.0) | (norms.y <= 0.0));
    }
}
