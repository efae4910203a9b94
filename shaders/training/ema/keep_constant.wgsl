// keep is a number of the tensor.

struct Params { tensors: array<vec4<u32>, $ROWS> }
@group(0) @binding(0) var<uniform> p: Params;

fn keep_of(word: u32) -> f32 {
    return bitcast<f32>(word);
}
