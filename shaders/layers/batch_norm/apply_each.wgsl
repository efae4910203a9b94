// batch_norm.apply, cell by cell: y = (x − mean)·rstd·weight + bias. The mean is taken off first: folding it into the
// bias would cancel digits where it is large. A workgroup owns 256 cells in a row.

@group(0) @binding(1) var<storage, read> x: array<Cell>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<Cell>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i >= p.total * p.channels) {
        return;
    }
    let channel = channel_at(i);
    let scale = rstd_of(variance[statistic_of(channel)]) * weight[affine_of(channel)];
    y[i] = after(i, (x[i] - mean[statistic_of(channel)]) * scale + bias[affine_of(channel)]);
}
