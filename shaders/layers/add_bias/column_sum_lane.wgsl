// add_bias.grad_bias, one invocation a column: db[n] = Σ_m dy[m, n], row after row, four partial sums.
// Neighbouring invocations read neighbouring columns.

struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<Held>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>;

fn dy_at(i: u32) -> f32 {
    return got(dy[place(i)], i);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let n = group_index(wid, groups) * 8u + lane;
    if (n >= p.columns) {
        return;
    }
    var sums = vec4<f32>(0.0);
    var m = 0u;
    for (; m + 4u <= p.rows; m += 4u) {
        let i = m * p.columns + n;
        sums += vec4<f32>(dy_at(i), dy_at(i + p.columns), dy_at(i + 2u * p.columns), dy_at(i + 3u * p.columns));
    }
    for (; m < p.rows; m++) {
        sums.x += dy_at(m * p.columns + n);
    }
    db[n] = (sums.x + sums.y) + (sums.z + sums.w);
}
