// spectral_norm.total: the sum of the rows' products, one workgroup, each lane a stride of 64.

struct Params { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dots: array<f32>;
@group(0) @binding(2) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(64)
fn main(me: Lane) {
    let lane = me.at;
    var part = 0.0;
    for (var i = lane; i < p.rows; i += 64u) {
        part += dots[i];
    }
    let sum = sum64(me, vec2<f32>(part, 0.0)).x;
    if (lane == 0u) {
        total[0] = sum;
    }
}
