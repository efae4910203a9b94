// Four neighbouring halves, two words in memory, computed with in f32 and rounded once. By common/half.wgsl, so that no
// feature of an adapter is needed.

alias Quad = vec2<u32>;

fn loaded(q: Quad) -> vec4<f32> {
    return vec4<f32>(float(q.x & 0xffffu), float(q.x >> 16u), float(q.y & 0xffffu), float(q.y >> 16u));
}

fn stored(v: vec4<f32>) -> Quad {
    return Quad(half(v.x) | (half(v.y) << 16u), half(v.z) | (half(v.w) << 16u));
}
