// Reads of what lies in a cache: each workgroup walks a window of x of p.mask + 1 vec4, p.rounds · $STEPS times $WIDTH vec4.
//
// Workgroups of $WIDTH invocations begin at different places of the window and wrap around; neighbours read side by side.
// An invocation sums in $STEPS registers, so that reads wait for no sum, and writes one number; each workgroup writes to
// the same place, and which of them is last does not matter.

struct Params { rounds: u32, mask: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size($WIDTH)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var at = group_index(wid, groups) * ${WIDTH}u + lane;
    //@ for s in 0..STEPS
    var sum_$s = vec4<f32>();
    //@ end
    for (var r = 0u; r < p.rounds; r++) {
        //@ for s in 0..STEPS
        sum_$s += x[(at + ${s}u * ${WIDTH}u) & p.mask];
        //@ end
        at += ${STEPS}u * ${WIDTH}u;
    }
    var sum = sum_0;
    //@ for s in 1..STEPS
    sum += sum_$s;
    //@ end
    y[lane] = sum.x + sum.y + sum.z + sum.w;
}
