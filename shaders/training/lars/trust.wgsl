// lars: the trust ratio q = eta·‖w‖/‖d‖ from the sums of the first stage, 1 where either norm is 0; clipped,
// min(q/lr, 1), so that lr·q is at most lr. One workgroup, each lane a stride of 64 sums.

struct Params { groups: u32, lr: u32, eta: f32, clip: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> scalars: array<f32>;
@group(0) @binding(3) var<storage, read_write> ratio: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var part = vec2<f32>(0.0);
    for (var i = lane; i < p.groups; i += 64u) {
        part += parts[i];
    }
    let norms = sqrt(sum64(lane, part));
    if (lane == 0u) {
        // Not max() and min(), which may lose a NaN.
        let q = p.eta * norms.x / select(norms.y, 1e-30, norms.y < 1e-30);
        let share = q / scalars[p.lr];
        let clipped = select(q, select(share, 1.0, share > 1.0), p.clip != 0u);
        ratio[0] = select(clipped, 1.0, norms.x <= 0.0 || norms.y <= 0.0);
    }
}
