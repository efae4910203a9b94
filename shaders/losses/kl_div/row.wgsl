// kl_div: loss_i = Σ_k t_k (log t_k − log s_k), t = softmax(teacher_i / τ), s = softmax(student_i / τ).
// Slopes: (s_k − t_k) / τ for the student, t_k (log t_k − log s_k − loss_i) / τ for the teacher.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> student: array<V>;
@group(0) @binding(2) var<storage, read> teacher: array<V>;

fn source_0(i: u32, k: u32) -> V {
    return p.inverse_temperature * student[i * p.vectors + k];
}

fn source_1(i: u32, k: u32) -> V {
    return p.inverse_temperature * teacher[i * p.vectors + k];
}

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let log_s = (source_0(i, k) - V(shift.x)) - V(shift.y);
    let log_t = (source_1(i, k) - V(shift.z)) - V(shift.w);
    return vec4<f32>(sum_v(exp(log_t) * (log_t - log_s)), 0.0, 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return sums.x;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(shift.x + shift.y, shift.z + shift.w, sums.x, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return p.inverse_temperature * (exp(source_0(i, k) - V(kept.x)) - exp(source_1(i, k) - V(kept.y)));
}

fn slope_1(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let log_t = source_1(i, k) - V(kept.y);
    let log_s = source_0(i, k) - V(kept.x);
    return p.inverse_temperature * exp(log_t) * (log_t - log_s - V(kept.z));
}
