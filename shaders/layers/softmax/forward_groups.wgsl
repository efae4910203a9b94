// softmax: y = exp(a) / Σ exp(a), a = (x − top) / T; log_softmax: a − log Σ exp(a). A workgroup a row, so that
// neighbours load neighbours; the second and third walk find the row in the cache.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;

fn x_at(i: u32) -> V {
    return got(x[place(i)], i);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let row = i * p.vectors;
    let end = select(row, row + p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    var tops = V(LOWEST);
    for (var k = row + lane; k < end; k += 64u) {
        tops = max(tops, x_at(k));
    }
    let own = max_v(tops);
    var sums = V(0.0);
    for (var k = row + lane; k < end; k += 64u) {
        sums += exp((x_at(k) - own) * p.inverse_temperature);
    }
    let whole = lse64(me, vec2<f32>(own, dot_v(sums, V(1.0))), p.inverse_temperature);
    for (var k = row + lane; k < end; k += 64u) {
        y[k] = result((x_at(k) - whole.x) * p.inverse_temperature, whole.y);
    }
}
