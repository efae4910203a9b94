// Reads of workgroup memory: p.rounds · $STEPS vec4 for each invocation, out of $SIZE.
//
// A workgroup of $WIDTH invocations fills its $SIZE vec4 ($SIZE is a multiple of $WIDTH and a power of two), then each
// reads one after the other, neighbours side by side. It sums in $STEPS registers and writes one number; each workgroup
// writes the same numbers to the same place.

struct Params { rounds: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> tile: array<vec4<f32>, $SIZE>;

@compute @workgroup_size($WIDTH)
fn main(@builtin(local_invocation_index) lane: u32) {
    for (var i = lane; i < ${SIZE}u; i += ${WIDTH}u) {
        tile[i] = vec4<f32>(f32(i));
    }
    workgroupBarrier();
    //@ for s in 0..STEPS
    var sum_$s = vec4<f32>();
    //@ end
    var at = lane;
    for (var r = 0u; r < p.rounds; r++) {
        //@ for s in 0..STEPS
        sum_$s += tile[(at + ${s}u) & (${SIZE}u - 1u)];
        //@ end
        at += ${STEPS}u;
    }
    var sum = sum_0;
    //@ for s in 1..STEPS
    sum += sum_$s;
    //@ end
    y[lane] = sum.x + sum.y + sum.z + sum.w;
}
