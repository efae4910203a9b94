// What the kernels of color_jitter share: brightness, contrast, saturation and hue by random factors in random order, then perhaps
// gray. Contrast needs the mean gray of the image as it is at that point of the order: the pixels are walked once for that
// mean (with the stages before contrast) and once for the result; nothing is kept in between.
//
// Brightness, contrast and saturation are each clamp(a·v + b·gray(v) + c) with numbers of the sample, so a stage costs
// no branch; the three in their order are written before the hue and after it, each there or idle (a 1, b and c 0).
//
// Block 0: apply?, gray?, which of the 24 orders. Block 1: a factor each.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, batch: u32, images: u32, plane: u32, chunks: u32,
    probability: f32, brightness: f32, contrast: f32, saturation: f32, hue: f32, grayscale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;

// The three stages around the hue and the turn of the hue; `gray` and `shift` of a stage are b and c.
struct Stages { keep: vec3<f32>, gray: vec3<f32>, shift: vec3<f32> }
struct Jitter { before: Stages, turn: f32, after: Stages }

// What is drawn for a sample: 0 brightness, 1 contrast, 2 saturation, 3 hue, and in which order.
struct Drawn { order: array<u32, 4>, factor: vec4<f32> }

fn gray(v: vec3<f32>) -> f32 {
    if ($C == 1) { return v.x; }
    return dot(v, vec3<f32>(0.2989, 0.587, 0.114));
}

// Turns the hue by `turn` of the circle: to hue, range and highest channel, and back.
fn turn_hue(v: vec3<f32>, turn: f32) -> vec3<f32> {
    let high = max(max(v.x, v.y), v.z);
    let range = high - min(min(v.x, v.y), v.z);
    let delta = (v - v.yzx) / max(range, 1e-30);
    let sixth = select(select(4.0 + delta.x, 2.0 + delta.z, high == v.y), delta.y, high == v.x);
    let hue = fract(sixth / 6.0 + turn + 1.0);
    // 0 where a channel is highest, the range where it is lowest, and a ramp between.
    let k = fract(vec3<f32>(5.0, 3.0, 1.0) / 6.0 + hue) * 6.0;
    return vec3<f32>(high) - range * clamp(min(k, 4.0 - k), vec3<f32>(0.0), vec3<f32>(1.0));
}

fn run(v: vec3<f32>, s: Stages) -> vec3<f32> {
    var u = v;
    //@ for i in 0..3
    u = clamp(s.keep[$i] * u + vec3<f32>(s.gray[$i] * gray(u) + s.shift[$i]), vec3<f32>(0.0), vec3<f32>(1.0));
    //@ end
    return u;
}

fn jitter(v: vec3<f32>, j: Jitter) -> vec3<f32> {
    let u = run(v, j.before);
    if ($C == 1) { return run(u, j.after); }
    return run(select(u, turn_hue(u, j.turn), j.turn != 0.0), j.after);
}

fn drawn(choice: u32, u: vec4<u32>) -> Drawn {
    // The choice in mixed radix is the three swaps of a shuffle.
    let swap = array<u32, 4>(0u, choice % 2u, (choice / 2u) % 3u, choice / 6u);
    var order = array<u32, 4>(0u, 1u, 2u, 3u);
    for (var i = 3u; i > 0u; i--) {
        let kept = order[i];
        order[i] = order[swap[i]];
        order[swap[i]] = kept;
    }
    let strength = vec3<f32>(p.brightness, p.contrast, p.saturation);
    let low = max(1.0 - strength, vec3<f32>(0.0));
    let factor = low + (1.0 + strength - low) * vec3<f32>(unit(u.x), unit(u.y), unit(u.z));
    return Drawn(order, vec4<f32>(factor, between(-p.hue, p.hue, u.w)));
}

// The stages drawn, as far as contrast with `to_contrast`, else all of them, with `mean` for contrast.
fn plan(d: Drawn, to_contrast: bool, mean: f32) -> Jitter {
    let idle = Stages(vec3<f32>(1.0), vec3<f32>(0.0), vec3<f32>(0.0));
    var j = Jitter(idle, 0.0, idle);
    var after = false;
    var at = 0u;
    for (var i = 0u; i < 4u; i++) {
        let kind = d.order[i];
        let factor = d.factor[kind];
        if (kind == 1u && to_contrast) { break; }
        if (kind == 3u) {
            j.turn = factor;
            after = true;
            continue;
        }
        let gray = select(0.0, 1.0 - factor, kind == 2u);
        let shift = select(0.0, (1.0 - factor) * mean, kind == 1u);
        if ($C == 1 && kind == 2u) { continue; }
        if (after) {
            j.after.keep[at] = factor;
            j.after.gray[at] = gray;
            j.after.shift[at] = shift;
        } else {
            j.before.keep[at] = factor;
            j.before.gray[at] = gray;
            j.before.shift[at] = shift;
        }
        at++;
    }
    return j;
}

fn load(base: u32) -> vec3<f32> {
    var v = vec3<f32>(0.0);
    //@ for c in 0..C
    v[$c] = x[base + $c * p.plane];
    //@ end
    return v;
}

// What is drawn for row b, which is a sample in one of its views.
struct Choice { apply: bool, to_gray: bool, drawn: Drawn }

fn choice_of(b: u32) -> Choice {
    let sample = indices[b % p.images];
    let view = b / p.images;
    let choices = draw_of(0u, sample, view);
    let to_gray = ($C == 3) & (unit(choices.y) < p.grayscale);
    let d = drawn(mulhi(choices.z, 24u), draw_of(1u, sample, view));
    return Choice(unit(choices.x) < p.probability, to_gray, d);
}

// This lane's part of the sum of the gray that contrast sees, over the pixels from `start` to before `end` of row b.
fn gray_sum(b: u32, c: Choice, start: u32, end: u32, lane: u32) -> f32 {
    let until_contrast = plan(c.drawn, true, 0.0);
    var sum = 0.0;
    for (var i = start + lane; i < select(0u, end, c.apply && p.contrast > 0.0); i += 64u) {
        sum += gray(jitter(load(b * $C * p.plane + i), until_contrast));
    }
    return sum;
}

var<workgroup> partial: array<f32, 64>;

// The sum over all lanes, in a tree whose order never changes. Call it in uniform control flow.
fn sum_lanes(lane: u32, v: f32) -> f32 {
    partial[lane] = v;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if (lane < half) { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    return partial[0];
}
