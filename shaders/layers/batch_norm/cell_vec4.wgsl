// A cell is four neighbours of one image and channel: for planes of a multiple of four elements.

alias Cell = vec4<f32>;
const WIDTH = 4.0;

fn total(v: Cell) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

// Whether a number lies from −0 to −∞, and whether it is 0. On bits, since a driver may assume that no float is a NaN.
fn is_below(v: Cell) -> vec4<bool> {
    return bitcast<vec4<u32>>(v) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
}

fn is_zero(v: Cell) -> vec4<bool> {
    return bitcast<vec4<u32>>(v) == vec4<u32>(0u);
}
