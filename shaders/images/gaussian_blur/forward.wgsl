// gaussian_blur: a separable blur whose width is drawn for each sample; samples not drawn are copied.
// An invocation owns one column of one plane and walks down it. It blurs each row across, keeps the last $WIDTH of
// those values in an array of constant places (registers), and so writes each result once, without a workspace. Neighbouring invocations own
// neighbouring columns, so they read neighbouring values. Rows and columns are mirrored at both ends, the end itself
// not repeated.
//
// Block 0: blur?, sigma.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32,
    columns: u32, columns_per_sample: u32, images: u32, height: u32, width: u32,
    probability: f32, second_probability: f32, sigma_low: f32, sigma_high: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
//@ for told in 0..TOLD
@group(0) @binding(5) var<storage, read_write> told: array<f32>;
//@ end

// Place `at`, which may lie past either end, among `n`.
fn mirrored(at: i32, n: u32) -> u32 {
    let end = i32(n) - 1;
    return u32(end - abs(end - abs(at)));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.columns) { return; }
    let b = i / p.columns_per_sample;
    let view = b / p.images;
    let d = draw_of(0u, indices[b % p.images], view);
    let blurs = unit(d.x) < select(p.probability, p.second_probability, view == 1u);
    let column = i % p.width;
    let plane = (i / p.width) * p.width * p.height;
    //@ for told in 0..TOLD
    // Columns as TOLD in src/kernels/images/gaussian_blur.rs has them.
    if (i % p.columns_per_sample == 0u) {
        told[2u * b] = select(0.0, 1.0, blurs);
        told[2u * b + 1u] = between(p.sigma_low, p.sigma_high, d.y);
    }
    //@ end
    if (!blurs) {
        for (var r = 0u; r < p.height; r++) { y[plane + r * p.width + column] = x[plane + r * p.width + column]; }
        return;
    }
    let sigma = between(p.sigma_low, p.sigma_high, d.y);
    var total = 1.0;
    //@ for t in 1..END
    let w_$t = exp(-0.5 * ($t.0 / sigma) * ($t.0 / sigma));
    let left_$t = mirrored(i32(column) - $t, p.width);
    let right_$t = mirrored(i32(column) + $t, p.width);
    total += 2.0 * w_$t;
    //@ end
    let scale = 1.0 / (total * total);
    // Once row r is blurred across, row[$RADIUS] is the one of which the result is due.
    var row: array<f32, $WIDTH>;
    for (var r = -$RADIUS; r < i32(p.height) + $RADIUS; r++) {
        let line = plane + mirrored(r, p.height) * p.width;
        var across = x[line + column];
        //@ for t in 1..END
        across += w_$t * (x[line + left_$t] + x[line + right_$t]);
        //@ end
        //@ for k in 1..WIDTH
        row[$k - 1] = row[$k];
        //@ end
        row[$WIDTH - 1] = across;
        if (r >= $RADIUS) {
            var down = row[$RADIUS];
            //@ for t in 1..END
            down += w_$t * (row[$RADIUS - $t] + row[$RADIUS + $t]);
            //@ end
            y[plane + u32(r - $RADIUS) * p.width + column] = scale * down;
        }
    }
}
