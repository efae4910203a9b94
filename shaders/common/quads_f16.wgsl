// Four f16 operands of an elementwise kernel, two words in memory, computed with in f32 and rounded once: the twin of
// common/quads_f32.wgsl. By common/half.wgsl, so that no feature of an adapter is needed.

alias Quad = vec2<u32>;
alias V = vec4<f32>;
alias Result = vec2<u32>;

fn loaded(q: Quad) -> V {
    return V(float(q.x & 0xffffu), float(q.x >> 16u), float(q.y & 0xffffu), float(q.y >> 16u));
}

fn stored(v: vec4<f32>) -> Result {
    return Result(half(v.x) | (half(v.y) << 16u), half(v.z) | (half(v.w) << 16u));
}
