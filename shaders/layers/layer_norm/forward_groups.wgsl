// layer_norm: y = (x − mean)·rstd·weight + bias. A workgroup a row, so that neighbours load neighbours. The row is read
// three times: for the mean, for the variance around it, and for y; all of it is shifted by the row's first elements,
// exact among neighbours, so that the rounding of a large mean costs no digits.

struct Params { rows: u32, vectors: u32, columns: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> weight: array<V>;
@group(0) @binding(3) var<storage, read> bias: array<V>;
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;

fn x_at(i: u32) -> V {
    return got(x[place(i)], i);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let row = min(i, p.rows - 1u) * p.vectors;
    let end = select(0u, p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    let columns = f32(p.columns);
    let shift = dot_v(x_at(row), V(1.0)) * f32(p.vectors) / columns;
    var sum = V(0.0);
    for (var k = lane; k < end; k += 64u) {
        sum += x_at(row + k) - shift;
    }
    let middle = sum64(me, vec2<f32>(dot_v(sum, V(1.0)), 0.0)).x / columns;
    var squares = V(0.0);
    for (var k = lane; k < end; k += 64u) {
        let d = (x_at(row + k) - shift) - middle;
        squares += d * d;
    }
    workgroupBarrier(); // every lane has read the first sum
    let r = 1.0 / sqrt(sum64(me, vec2<f32>(dot_v(squares, V(1.0)), 0.0)).x / columns + p.eps);
    for (var k = lane; k < end; k += 64u) {
        put(row + k, ((x_at(row + k) - shift) - middle) * r * weight[k] + bias[k]);
    }
    if (lane == 0u && i < p.rows) {
        mean[i] = shift + middle;
        rstd[i] = r;
    }
}
