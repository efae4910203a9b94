// Four halves of x for the four elements of y from `start` on, wherever they lie, in two words: bits arrive as they left. Its
// twins are fetch_vec4.wgsl and fetch_words.wgsl, which serve halves, too, where they move in whole words.

alias Four = vec2<u32>;

@group(0) @binding(1) var<storage, read> x: array<u32>;

fn fetch(start: vec4<u32>, inner: vec3<u32>, strides: vec4<u32>) -> Four {
    let c_0 = start;
    //@ for i in 0..3
    //@ let n = i + 1
    let c_$n = following(c_$i, inner);
    //@ end
    //@ for i in 0..4
    let at_$i = min(dot(c_$i, strides), p.elements - 1u);
    let v_$i = (x[at_$i / 2u] >> (16u * (at_$i % 2u))) & 0xffffu;
    //@ end
    return Four(v_0 | (v_1 << 16u), v_2 | (v_3 << 16u));
}
