// reduce.grad: dx in order, each element from dy of the output it went into. x is seen as four axes, kept and reduced
// ones in turn; an element belongs to output Σ c_i o_i and is its term Σ c_i t_i. An invocation fills four elements; a
// workgroup owns 256. The last vec4 may reach into the padding: its reads are held back.

struct Params {
    d1: u32, d2: u32, d3: u32, o0: u32, o1: u32, o2: u32, o3: u32, t0: u32, t1: u32, t2: u32, t3: u32,
    elements: u32, outputs: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<Result>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let v = group_index(wid, groups) * 64u + lane;
    if (4u * v >= p.elements) {
        return;
    }
    let inner = vec3<u32>(p.d1, p.d2, p.d3);
    let output_strides = vec4<u32>(p.o0, p.o1, p.o2, p.o3);
    let term_strides = vec4<u32>(p.t0, p.t1, p.t2, p.t3);
    let c_0 = coordinates(4u * v, inner);
    //@ for i in 0..3
    //@ let n = i + 1
    let c_$n = following(c_$i, inner);
    //@ end
    //@ for i in 0..4
    let o_$i = min(dot(c_$i, output_strides), p.outputs - 1u);
    let v_$i = through(p.scale * dy[o_$i], min(4u * v + $i, p.elements - 1u), o_$i, dot(c_$i, term_strides));
    //@ end
    dx[v] = stored(vec4<f32>(v_0, v_1, v_2, v_3));
}
