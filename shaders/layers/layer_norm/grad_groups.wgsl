// layer_norm.grad: dx = rstd·(g − mean(g) − x̂·mean(g·x̂)), g = dy·weight, x̂ = (x − mean)·rstd. A workgroup a row, so that
// neighbours load neighbours.

struct Params { rows: u32, vectors: u32, columns: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> weight: array<V>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<Held>;

fn x_at(i: u32) -> V {
    return got(x[place(i)], i);
}

fn dy_at(i: u32) -> V {
    return got(dy[place(i)], i);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let row = min(i, p.rows - 1u) * p.vectors;
    let end = select(0u, p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    let middle = mean[min(i, p.rows - 1u)];
    let r = rstd[min(i, p.rows - 1u)];
    var plain = V(0.0);
    var crossed = V(0.0);
    for (var k = lane; k < end; k += 64u) {
        let g = dy_at(row + k) * weight[k];
        plain += g;
        crossed += g * (x_at(row + k) - middle);
    }
    let sums = sum64(me, vec2<f32>(dot_v(plain, V(1.0)), dot_v(crossed, V(1.0))));
    let through_mean = sums.x / f32(p.columns);
    let through_x = sums.y * r * r / f32(p.columns);
    for (var k = lane; k < end; k += 64u) {
        put(row + k, r * (dy_at(row + k) * weight[k] - through_mean - (x_at(row + k) - middle) * through_x));
    }
}
