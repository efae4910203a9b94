// correct: Σ w_i [argmax_k x_ik = label_i], the first of equal maxima. One workgroup, each lane a stride of 64 rows.

struct Params { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> count: array<f32>;

@compute @workgroup_size(64)
fn main(me: Lane) {
    let lane = me.at;
    var part = 0.0;
    for (var i = lane; i < p.rows; i += 64u) {
        let row = i * p.classes;
        var top = logits[row];
        var at = 0u;
        for (var k = 1u; k < p.classes; k++) {
            let x = logits[row + k];
            at = select(at, k, x > top);
            top = max(x, top);
        }
        part += select(0.0, weights[i], at == labels[i]);
    }
    let total = sum64(me, vec2<f32>(part, 0.0)).x;
    if (lane == 0u) {
        count[0] = total;
    }
}
