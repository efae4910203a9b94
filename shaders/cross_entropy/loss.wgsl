// cross_entropy.loss: Σ w_i loss_i / max(Σ w_i, tiny), one workgroup, each lane a stride of 64.

struct Params { rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var part = vec2<f32>(0.0);
    for (var i = lane; i < p.rows; i += 64u) {
        let w = weights[i];
        part += vec2<f32>(w * losses[i], w);
    }
    let total = sum64(lane, part);
    if (lane == 0u) {
        loss[0] = total.x / max(total.y, 1e-30);
    }
}
