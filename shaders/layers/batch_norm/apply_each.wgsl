// batch_norm.apply, four cells of a channel an invocation: y = (x − mean)·rstd·weight + bias. The mean is taken off first:
// folding it into the bias would cancel digits where it is large.

@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;

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
        let j = i + p.width;
        let y0 = after(i, (got(x[place(i)], i) - middle) * scale + shift);
        let y1 = after(j, (got(x[place(j)], j) - middle) * scale + shift);
        put(i, y0);
        put(j, y1);
    }
    if (i < c.end) {
        put(i, after(i, (got(x[place(i)], i) - middle) * scale + shift));
    }
}
