// merge_statistics: mean = Σ n_s·mean_s/n and variance = Σ n_s·(variance_s + (mean_s − mean)²)/n over the parts s in
// order, n = Σ n_s. An invocation a channel; of parts that count nothing both are 0.

struct Params { parts: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> means: array<f32>;
@group(0) @binding(2) var<storage, read> variances: array<f32>;
@group(0) @binding(3) var<storage, read> counts: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> variance: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let channel = group_index(wid, groups) * 64u + lane;
    if (channel >= p.channels) {
        return;
    }
    var sums = vec2<f32>(0.0);
    for (var part = 0u; part < p.parts; part++) {
        sums += counts[part] * vec2<f32>(1.0, means[part * p.channels + channel]);
    }
    let share = select(1.0 / sums.x, 0.0, sums.x == 0.0);
    let middle = sums.y * share;
    var squares = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        let at = part * p.channels + channel;
        let off = means[at] - middle;
        squares += counts[part] * (variances[at] + off * off);
    }
    mean[channel] = middle;
    variance[channel] = squares * share;
}
