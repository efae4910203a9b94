// hinge: loss_i = Σ_k max(margin − sign·x_ik, floor) / K; slope −sign / K above the floor, 0 at it and below. A NaN stays NaN in
// the loss and in the slope.

struct Params { rows: u32, vectors: u32, margin: f32, sign: f32, floor: f32, inverse_columns: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> scores: array<V>;

fn gap(i: u32, k: u32) -> V {
    return V(p.margin) - p.sign * scores[i * p.vectors + k];
}

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let open = gap(i, k);
    return vec4<f32>(sum_v(select(open, V(p.floor), open < V(p.floor))), 0.0, 0.0, 0.0); // NaN stays, unlike in max
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return p.inverse_columns * sums.x;
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let open = gap(i, k);
    let slope = select(V(-p.sign * p.inverse_columns), V(0.0), open <= V(p.floor));
    return select(slope, open, is_nan_v(open));
}
