// rotate: each image turned about its centre, bilinear; what comes from outside is zero, or the image mirrored at its
// edge. degrees_of() comes from the piece before this one. An invocation makes the pixels at its places of its tile
// (common/tile.wgsl; a plane is a sample), all $C channels. A sample that is not turned is copied.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Place `at`, in pixels from the first one's centre, mirrored into 0..n − 1 at the outer edges of the first and last pixel.
fn mirrored(at: f32, n: u32) -> f32 {
    let period = 2.0 * f32(n);
    let around = at + 0.5 - period * floor((at + 0.5) / period);
    return clamp(min(around, period - around) - 0.5, 0.0, f32(n) - 1.0);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.height, p.width);
    let degrees = degrees_of(min(t.plane, p.planes - 1u));
    let cs = turn(degrees / 360.0);
    let centre = 0.5 * vec2<f32>(f32(p.width - 1u), f32(p.height - 1u));
    let size = vec2<i32>(i32(p.width), i32(p.height));
    let base = t.plane * ($C * p.height * p.width);
    for (var row = t.row; row < t.end; row += $ROWS) {
        let off = vec2<f32>(f32(t.column), f32(row)) - centre;
        var place = centre + vec2<f32>(cs.x * off.x - cs.y * off.y, cs.y * off.x + cs.x * off.y);
        if (p.reflect != 0u) {
            place = vec2<f32>(mirrored(place.x, p.width), mirrored(place.y, p.height));
        }
        place = select(place, vec2<f32>(f32(t.column), f32(row)), degrees == 0.0);
        let corner = floor(place);
        let part = place - corner;
        var sum = vec3<f32>(0.0);
        //@ for i in 0..2
        //@ for j in 0..2
        let at_$i_$j = vec2<i32>(corner) + vec2<i32>($j, $i);
        let inside_$i_$j = all(at_$i_$j >= vec2<i32>(0)) & all(at_$i_$j < size);
        let w_$i_$j = abs(1.0 - $j.0 - part.x) * abs(1.0 - $i.0 - part.y);
        let pixel_$i_$j = select(0u, u32(at_$i_$j.y) * p.width + u32(at_$i_$j.x), inside_$i_$j);
        //@ for c in 0..C
        sum[$c] += select(0.0, w_$i_$j * x[base + $c * p.height * p.width + pixel_$i_$j], inside_$i_$j);
        //@ end
        //@ end
        //@ end
        //@ for c in 0..C
        y[base + ($c * p.height + row) * p.width + t.column] = sum[$c];
        //@ end
    }
}
