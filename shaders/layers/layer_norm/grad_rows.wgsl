// layer_norm.grad: dx = rstd·(g − mean(g) − x̂·mean(g·x̂)), g = dy·weight, x̂ = (x − mean)·rstd. One invocation a row: no
// barriers, for software adapters.

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

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 8u + lane;
    if (i >= p.rows) {
        return;
    }
    let row = i * p.vectors;
    let middle = mean[i];
    let r = rstd[i];
    var plain = V(0.0);
    var crossed = V(0.0);
    for (var k = 0u; k < p.vectors; k++) {
        let g = dy_at(row + k) * weight[k];
        plain += g;
        crossed += g * (x_at(row + k) - middle);
    }
    let through_mean = dot_v(plain, V(1.0)) / f32(p.columns);
    let through_x = dot_v(crossed, V(1.0)) * r * r / f32(p.columns);
    for (var k = 0u; k < p.vectors; k++) {
        put(row + k, r * (dy_at(row + k) * weight[k] - through_mean - (x_at(row + k) - middle) * through_x));
    }
}
