// batch_norm.grad, four cells of a channel an invocation: dx = from_dy·dy + w·(from_x·(x − mean) + constant), w the
// weight of the sample, 1 where there are none.

@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> coefficients: array<vec4<f32>>;

fn slope(i: u32, centred: Cell, by: vec4<f32>) -> Cell {
    let share = weight_at(i);
    return by.x * arriving(cotangent(i), known_at(i), by.xw, centred) + share * by.y * centred + share * by.z;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let c = cells_of(wid, groups, lane);
    if (c.first >= c.end) {
        return;
    }
    let middle = mean[statistic_of(c.channel)];
    let by = coefficients[c.channel];
    var i = c.first;
    for (; i + p.width < c.end; i += 2u * p.width) {
        let j = i + p.width;
        let d0 = slope(i, got(x[place(i)], i) - middle, by);
        let d1 = slope(j, got(x[place(j)], j) - middle, by);
        put(i, d0);
        put(j, d1);
    }
    if (i < c.end) {
        put(i, slope(i, got(x[place(i)], i) - middle, by));
    }
}
