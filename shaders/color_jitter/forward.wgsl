// color_jitter: brightness, contrast, saturation and hue by random factors in random order, then perhaps gray.
// A workgroup owns one sample; its lanes walk the pixels in strides of 64, so neighbours read neighbours. Contrast
// needs the mean gray of the image as it is at that point of the order, so the pixels are walked once for that mean
// (with the stages before contrast) and once for the result; nothing is kept in between.
//
// Block 0: apply?, three swaps of the order. Block 1: a factor each. Block 2: gray?

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, batch: u32, plane: u32,
    probability: f32, brightness: f32, contrast: f32, saturation: f32, hue: f32, grayscale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> partial: array<f32, 64>;

const CONTRAST = 1u;

// What is drawn for a sample: 0 brightness, 1 contrast, 2 saturation, 3 hue.
struct Jitter { order: array<u32, 4>, factor: vec4<f32>, mean: f32 }

fn gray(v: vec3<f32>) -> f32 {
    if ($C == 1) { return v.x; }
    return dot(v, vec3<f32>(0.2989, 0.587, 0.114));
}

fn blend(v: vec3<f32>, other: f32, factor: f32) -> vec3<f32> {
    return clamp(factor * v + vec3<f32>((1.0 - factor) * other), vec3<f32>(0.0), vec3<f32>(1.0));
}

// Turns the hue by `turn` of the circle: to hue, saturation and value, and back.
fn turn_hue(v: vec3<f32>, turn: f32) -> vec3<f32> {
    let high = max(max(v.x, v.y), v.z);
    let range = high - min(min(v.x, v.y), v.z);
    if (range <= 0.0) { return v; }
    var sixth = 4.0 + (v.x - v.y) / range;
    if (high == v.x) {
        sixth = (v.y - v.z) / range;
    } else if (high == v.y) {
        sixth = 2.0 + (v.z - v.x) / range;
    }
    let hue = fract(sixth / 6.0 + turn + 1.0);
    // 0 where a channel is highest, range where it is lowest, and a ramp between.
    let k = (fract(vec3<f32>(5.0, 3.0, 1.0) / 6.0 + hue)) * 6.0;
    return vec3<f32>(high) - range * clamp(min(k, 4.0 - k), vec3<f32>(0.0), vec3<f32>(1.0));
}

fn stages(from_x: vec3<f32>, j: Jitter, end: u32) -> vec3<f32> {
    var v = from_x;
    var order = j.order;
    for (var i = 0u; i < end; i++) {
        switch (order[i]) {
            case 0u: { v = blend(v, 0.0, j.factor.x); }
            case CONTRAST: { v = blend(v, j.mean, j.factor.y); }
            case 2u: { if ($C == 3) { v = blend(v, gray(v), j.factor.z); } }
            default: { if ($C == 3 && p.hue > 0.0) { v = turn_hue(v, j.factor.w); } }
        }
    }
    return v;
}

fn load(base: u32) -> vec3<f32> {
    var v = vec3<f32>(0.0);
    //@ for c in 0..C
    v[$c] = x[base + $c * p.plane];
    //@ end
    return v;
}

fn drawn(sample: u32) -> Jitter {
    let swaps = draw(0u, sample);
    let u = draw(1u, sample);
    var order = array<u32, 4>(0u, 1u, 2u, 3u);
    for (var i = 3u; i > 0u; i--) {
        let with_ = mulhi(swaps[4u - i], i + 1u);
        let kept = order[i];
        order[i] = order[with_];
        order[with_] = kept;
    }
    let factor = vec4<f32>(
        between(max(1.0 - p.brightness, 0.0), 1.0 + p.brightness, u.x),
        between(max(1.0 - p.contrast, 0.0), 1.0 + p.contrast, u.y),
        between(max(1.0 - p.saturation, 0.0), 1.0 + p.saturation, u.z),
        between(-p.hue, p.hue, u.w));
    return Jitter(order, factor, 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let b = group_index(wid, groups);
    if (b >= p.batch) { return; }
    let sample = indices[b];
    let base = b * $C * p.plane;
    let apply = unit(draw(0u, sample).x) < p.probability;
    var j = drawn(sample);
    var sum = 0.0;
    if (apply && p.contrast > 0.0) {
        var before = 0u;
        for (var i = 0u; i < 4u; i++) { if (j.order[i] == CONTRAST) { before = i; } }
        for (var i = lane; i < p.plane; i += 64u) { sum += gray(stages(load(base + i), j, before)); }
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if (lane < half) { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    j.mean = partial[0] / f32(p.plane);
    let to_gray = $C == 3 && unit(draw(2u, sample).x) < p.grayscale;
    for (var i = lane; i < p.plane; i += 64u) {
        var v = load(base + i);
        if (apply) { v = stages(v, j, 4u); }
        if (to_gray) { v = vec3<f32>(gray(v)); }
        //@ for c in 0..C
        y[base + $c * p.plane + i] = v[$c];
        //@ end
    }
}
