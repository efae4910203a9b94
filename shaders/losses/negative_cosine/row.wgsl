// negative_cosine: loss_i = −⟨a, b⟩ / (max(‖a‖, eps) max(‖b‖, eps)). With a' = a / max(‖a‖, eps), b' likewise and
// c = ⟨a', b'⟩ the slope for a is (c a' − b') / max(‖a‖, eps); c counts as 0 there where ‖a‖ < eps. For b likewise.

struct Params { rows: u32, vectors: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<V>;
@group(0) @binding(2) var<storage, read> b: array<V>;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let a_k = a[i * p.vectors + k];
    let b_k = b[i * p.vectors + k];
    return vec4<f32>(dot_v(a_k, b_k), dot_v(a_k, a_k), dot_v(b_k, b_k), 0.0);
}

// 1 / max(length, eps) of both.
fn inverses(sums: vec4<f32>) -> vec2<f32> {
    let lengths = sqrt(sums.yz);
    return 1.0 / select(lengths, vec2<f32>(p.eps), lengths < vec2<f32>(p.eps)); // not max(), which may lose a NaN
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    let inverse = inverses(sums);
    return -(sums.x * inverse.x) * inverse.y;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let inverse = inverses(sums);
    let cosine = vec2<f32>((sums.x * inverse.x) * inverse.y);
    return vec4<f32>(inverse, select(cosine, vec2<f32>(0.0), sqrt(sums.yz) < vec2<f32>(p.eps)));
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return kept.x * (kept.z * kept.x * a[i * p.vectors + k] - kept.y * b[i * p.vectors + k]);
}

fn slope_1(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return kept.y * (kept.w * kept.y * b[i * p.vectors + k] - kept.x * a[i * p.vectors + k]);
}
