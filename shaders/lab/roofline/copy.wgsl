// y = x, as far as memory allows.
//
// An invocation moves $EACH vec4, $WIDTH apart: a workgroup of $WIDTH invocations moves one piece of $WIDTH · $EACH, its
// neighbours side by side. The surplus of the last workgroups is guarded.

struct Params { vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size($WIDTH)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = group_index(wid, groups) * ${WIDTH}u * ${EACH}u + lane;
    //@ for e in 0..EACH
    if (at + ${e}u * ${WIDTH}u < p.vectors) {
        y[at + ${e}u * ${WIDTH}u] = x[at + ${e}u * ${WIDTH}u];
    }
    //@ end
}
