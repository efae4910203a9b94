// Four f32 operands of an elementwise kernel as they lie in memory and as they are computed with; common/quads_f16.wgsl
// and common/quads_u32.wgsl are its twins for other elements.

alias Quad = vec4<f32>;
alias V = vec4<f32>;
alias Result = vec4<f32>;

fn loaded(q: Quad) -> V {
    return q;
}

fn stored(v: vec4<f32>) -> Result {
    return v;
}
