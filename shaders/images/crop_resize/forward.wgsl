// crop_resize: y = a window of each image, resized to out × out, as fractions of 255.
// An invocation makes 16 output pixels, all channels; a workgroup owns 1024 pixels in a row of one sample, so the
// window is found once for 16 pixels. A launch writes only the samples whose image lies in its page.
// Row b is image b % images, in the view that is b / images views after the first.
// An image is size × size × $C bytes, four to a word, from a whole word on. Indices past the last image are clamped.
// The filter is common/triangle.wgsl.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32,
    scale_low: f32, scale_high: f32, log_ratio_low: f32, log_ratio_high: f32, flip: f32,
    batch: u32, images: u32, page: u32, images_per_page: u32, count: u32, words: u32, size: u32, out: u32, chunks: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> page: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//@ for told in 0..TOLD
@group(0) @binding(5) var<storage, read_write> told: array<f32>;
//@ end
//@ for held in 0..HELD
// The index of each image in the pages, which hold only some.
@group(0) @binding($AT) var<storage, read> held: array<u32>;

// Where a sample lies. The images nearly always lie in the order of the indices.
fn place_of(sample: u32, at: u32) -> u32 {
    var place = min(at, p.count - 1u);
    for (var i = 0u; i < p.count && held[place] != sample; i++) { place = i; }
    return place;
}
//@ end

struct Window { left: u32, top: u32, width: u32, height: u32, mirror: bool }

// The bytes of pixel `at` of the image that starts at word `base`. A colour pixel may straddle two words.
fn pixel(base: u32, at: u32) -> vec3<f32> {
    let first = at * $C;
    let shift = 8u * (first & 3u);
    var bytes = page[base + (first >> 2u)] >> shift;
    if ($C == 3u) {
        bytes |= (page[base + ((first + 2u) >> 2u)] << (24u - shift)) << 8u;
    }
    return vec3<f32>(f32(bytes & 255u), f32((bytes >> 8u) & 255u), f32((bytes >> 16u) & 255u));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let b = group / p.chunks;
    if (b >= p.batch) { return; }
    //@ for all in 0..1-HELD
    let sample = min(indices[b % p.images], p.count - 1u);
    if (sample / p.images_per_page != p.page) { return; }
    let base = (sample % p.images_per_page) * p.words;
    //@ end
    //@ for held in 0..HELD
    let sample = indices[b % p.images];
    let place = place_of(sample, b % p.images);
    if (place / p.images_per_page != p.page) { return; }
    let base = (place % p.images_per_page) * p.words;
    //@ end
    let w = window(sample, b / p.images);
    //@ for told in 0..TOLD
    // Columns as TOLD in src/kernels/images/crop_resize.rs has them.
    if (group % p.chunks == 0u && lane == 0u) {
        told[5u * b] = f32(w.left);
        told[5u * b + 1u] = f32(w.top);
        told[5u * b + 2u] = f32(w.width);
        told[5u * b + 3u] = f32(w.height);
        told[5u * b + 4u] = select(0.0, 1.0, w.mirror);
    }
    //@ end
    let start = (group % p.chunks) * 1024u;
    let plane = p.out * p.out;
    for (var i = start + lane; i < min(start + 1024u, plane); i += 64u) {
        let column = i % p.out;
        let across = taps(select(column, p.out - 1u - column, w.mirror), w.width, p.out);
        let down = taps(i / p.out, w.height, p.out);
        var sum = vec3<f32>(0.0);
        var total = 0.0;
        // Two by two taps a step: where nothing shrinks there are no more.
        for (var r = down.first; r < down.end; r += 2u) {
            for (var c = across.first; c < across.end; c += 2u) {
                //@ for i in 0..2
                let row_$i = (w.top + min(r + $i, w.height - 1u)) * p.size + w.left;
                let down_$i = weight(r + $i, down);
                //@ for j in 0..2
                let f_$i_$j = down_$i * weight(c + $j, across);
                sum += f_$i_$j * pixel(base, row_$i + min(c + $j, w.width - 1u));
                total += f_$i_$j;
                //@ end
                //@ end
            }
        }
        //@ for held in 0..HELD
        total *= f32(held[place] == sample); // a sample that is not held becomes infinite or NaN where it has light
        //@ end
        let v = sum * (1.0 / (255.0 * total));
        //@ for c in 0..C
        y[(b * $C + $c) * plane + i] = v[$c];
        //@ end
    }
}
