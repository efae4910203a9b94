// batch_norm.grad, cell by cell: dx = from_dy·dy + w·(from_x·(x − mean) + constant), w the weight of the
// sample, 1 where there are none. A workgroup owns 256 cells in a row.

@group(0) @binding(1) var<storage, read> x: array<Cell>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<Cell>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i >= p.total * p.channels) {
        return;
    }
    let channel = channel_at(i);
    let share = weight_at(i);
    let by = coefficients[channel];
    let centred = x[i] - mean[statistic_of(channel)];
    dx[i] = by.x * arriving(by.xw, i, centred) + share * by.y * centred + share * by.z;
}
