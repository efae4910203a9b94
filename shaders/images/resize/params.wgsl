// Params of resize, forward and gradient.

struct Params { planes: u32, tile: u32, height: u32, width: u32, out_height: u32, out_width: u32 }
@group(0) @binding(0) var<uniform> p: Params;

// What output `o` of `out` over `n` inputs is: (1 − part)·x[low] + part·x[high].
struct Taps { low: u32, high: u32, part: f32 }
