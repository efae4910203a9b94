// batch_norm.apply, four cells of a channel an invocation: y = (x − mean)·rstd·weight + bias. The mean is taken off first:
// folding it into the bias would cancel digits where it is large.

@group(0) @binding(1) var<storage, read> x: array<Cell>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<Cell>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let c = cells_of(wid, groups, lane);
    if (c.first >= c.end) {
        return;
    }
    let middle = mean[statistic_of(c.channel)];
    let scale = rstd_of(variance[statistic_of(c.channel)]) * weight[affine_of(c.channel)];
    let shift = bias[affine_of(c.channel)];
    var i = c.first;
    for (; i + p.width < c.end; i += 2u * p.width) {
        let y0 = after(i, (x[i] - middle) * scale + shift);
        let y1 = after(i + p.width, (x[i + p.width] - middle) * scale + shift);
        y[i] = y0;
        y[i + p.width] = y1;
    }
    if (i < c.end) {
        y[i] = after(i, (x[i] - middle) * scale + shift);
    }
}
