// keep is one of the step's scalars.

struct Params { vectors: u32, slot: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;

fn keep() -> f32 {
    return scalars[p.slot];
}
