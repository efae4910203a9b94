// merge_statistics.grad: dmean_s = n_s/n·(dmean + 2·dvariance·(mean_s − mean)), dvariance_s = n_s/n·dvariance. An
// invocation a channel of a part.

struct Params { parts: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> means: array<f32>;
@group(0) @binding(2) var<storage, read> counts: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> dmean: array<f32>;
@group(0) @binding(5) var<storage, read> dvariance: array<f32>;
@group(0) @binding(6) var<storage, read_write> dmeans: array<f32>;
@group(0) @binding(7) var<storage, read_write> dvariances: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.parts * p.channels) {
        return;
    }
    let channel = at % p.channels;
    var total = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        total += counts[part];
    }
    let share = select(counts[at / p.channels] / total, 0.0, total == 0.0);
    dmeans[at] = share * (dmean[channel] + 2.0 * dvariance[channel] * (means[at] - mean[channel]));
    dvariances[at] = share * dvariance[channel];
}
