// clip_grad_norm: norm = √Σ parts / scale; coefficient = min(1, max_norm / (norm + 1e-6)) / scale. One workgroup, each
// lane a stride of 64 parts. loss_scale() comes from the piece before this one. A norm that is not finite takes neither
// side of the minimum for granted: a NaN stays one, as in PyTorch, and the step's guard is raised.

struct Params { parts: u32, max_norm: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> coefficient: array<f32>;

@compute @workgroup_size(64)
fn main(me: Lane) {
    let lane = me.at;
    var part = 0.0;
    for (var i = lane; i < p.parts; i += 64u) {
        part += parts[i];
    }
    let total = sqrt(sum64(me, vec2<f32>(part, 0.0)).x) / loss_scale();
    if (lane == 0u) {
        norm[0] = total;
        let padded = total + 1e-6;
        coefficient[0] = select(p.max_norm / padded, 1.0, padded <= p.max_norm) / loss_scale();
    }
}
