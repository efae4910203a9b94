// Four u32 operands of an elementwise kernel, labels or masks, whose result is f32: the twin of common/quads_f32.wgsl.

alias Quad = vec4<u32>;
alias V = vec4<u32>;
alias Result = vec4<f32>;

fn loaded(q: Quad) -> V {
    return q;
}

fn stored(v: vec4<f32>) -> Result {
    return v;
}
