// row_loss.mean: loss = Σ w_i loss_i / max(Σ w_i count_i, tiny), share_i = w_i / max(Σ w_i count_i, tiny); count_i is 1
// but for class weights. One workgroup, each lane a stride of 64. A row of weight 0 counts for nothing whatever its loss.

struct Params { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(64)
fn main(me: Lane) {
    let lane = me.at;
    var part = vec2<f32>(0.0);
    for (var i = lane; i < p.rows; i += 64u) {
        let w = weights[i];
        part += vec2<f32>(select(w * losses[i], 0.0, w == 0.0), w * count(i));
    }
    let total = sum64(me, part);
    let divisor = select(total.y, 1e-30, total.y < 1e-30); // not max(), which may lose a NaN
    if (lane == 0u) {
        loss[0] = total.x / divisor;
    }
    for (var i = lane; i < p.rows; i += 64u) {
        shares[i] = weights[i] / divisor;
    }
}
