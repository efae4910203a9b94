// gaussian_blur: one direction of a separable blur whose width is drawn for each sample; samples not drawn are copied.
// An invocation makes 16 values; a workgroup owns 1024 values in a row of one sample, so the weights of the
// taps are found once for 16 values. Neighbours lie p.step apart on lines of p.length, mirrored at both ends without the end itself.
//
// Block 0: blur?, sigma.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, batch: u32, chunks: u32, values: u32,
    step: u32, length: u32, probability: f32, sigma_low: f32, sigma_high: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// The value `d` places after place `at` of the line that starts at `line`.
fn neighbour(line: u32, at: u32, d: i32) -> f32 {
    let end = i32(p.length) - 1;
    return x[line + u32(end - abs(end - abs(i32(at) + d))) * p.step];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let b = group / p.chunks;
    if (b >= p.batch) { return; }
    let d = draw(0u, indices[b]);
    let start = b * p.values + (group % p.chunks) * 1024u;
    let end = min(start + 1024u, (b + 1u) * p.values);
    if (unit(d.x) >= p.probability) {
        for (var i = start + lane; i < end; i += 64u) { y[i] = x[i]; }
        return;
    }
    let sigma = between(p.sigma_low, p.sigma_high, d.y);
    var total = 1.0;
    //@ for t in 1..END
    let w_$t = exp(-0.5 * ($t.0 / sigma) * ($t.0 / sigma));
    total += 2.0 * w_$t;
    //@ end
    for (var i = start + lane; i < end; i += 64u) {
        let at = (i / p.step) % p.length;
        let line = i - at * p.step;
        var sum = x[i];
        //@ for t in 1..END
        sum += w_$t * (neighbour(line, at, -$t) + neighbour(line, at, $t));
        //@ end
        y[i] = sum / total;
    }
}
