// increment: x' = x + by, in place.

struct Params { by: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(1)
fn main() {
    if (!held()) {
        x[0] = x[0] + p.by;
    }
}
