// cross_entropy of plain labels: loss_i = −log softmax(x_i) at the label; slope = softmax − [k = label].

struct Params { rows: u32, vectors: u32, classes: u32, smoothing: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return cross_entropy(i, mark.x, shift);
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lse_of(shift), 1.0, 0.0, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return softmax(i, k, kept.x) - one_hot(k, mark.x);
}
