// Four words of x for the four elements of y from `start` on, wherever they lie. Its twins are fetch_vec4.wgsl and
// fetch_halves.wgsl.

alias Four = vec4<u32>;

@group(0) @binding(1) var<storage, read> x: array<u32>;

fn fetch(start: vec4<u32>, inner: vec3<u32>, strides: vec4<u32>) -> Four {
    let c_0 = start;
    //@ for i in 0..3
    //@ let n = i + 1
    let c_$n = following(c_$i, inner);
    //@ end
    //@ for i in 0..4
    let v_$i = x[min(dot(c_$i, strides), p.elements - 1u)];
    //@ end
    return Four(v_0, v_1, v_2, v_3);
}
