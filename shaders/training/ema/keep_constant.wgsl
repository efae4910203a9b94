// keep is a number of the op.

struct Params { vectors: u32, keep: f32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn keep() -> f32 {
    return p.keep;
}
