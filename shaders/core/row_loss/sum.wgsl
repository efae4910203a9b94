// row_loss.sum: loss = scale · Σ loss_i, one workgroup, each lane a stride of 64.

struct Params { rows: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(64)
fn main(me: Lane) {
    let lane = me.at;
    var part = 0.0;
    for (var i = lane; i < p.rows; i += 64u) {
        part += losses[i];
    }
    let total = sum64(me, vec2<f32>(part, 0.0)).x;
    if (lane == 0u) {
        loss[0] = p.scale * total;
    }
}
