// keep is one of the step's scalars.

struct Params { tensors: array<vec4<u32>, $ROWS> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;

fn keep_of(word: u32) -> f32 {
    return scalars[word];
}
