// Products of cooperative matrices alone: $CHAINS sums of $SIDE × $SIDE f32, each p.rounds · $STEPS times c = a · b + c.
//
// A workgroup has $LANES invocations, as many as the largest subgroup that the adapter may choose, and so one subgroup or
// more: how many, it writes down. A subgroup holds matrices together; it loads a and b once, keeps its sums in registers
// and stores them at the end, each the same numbers to the same place. Index and stride of every coopStore are named first:
// naga 30.0.1 panics on expressions there.

struct Params { rounds: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> counted: array<u32>;

@compute @workgroup_size($LANES)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(num_subgroups) subgroups: u32) {
    let side = ${SIDE}u;
    let left = coopLoadT<coop_mat${SIDE}x${SIDE}<Operand, A>>(&a[0], side);
    let right = coopLoadT<coop_mat${SIDE}x${SIDE}<Operand, B>>(&b[0], side);
    //@ for c in 0..CHAINS
    var sum_$c = coop_mat${SIDE}x${SIDE}<f32, C>();
    //@ end
    for (var r = 0u; r < p.rounds; r++) {
        //@ for s in 0..STEPS
        //@ for c in 0..CHAINS
        sum_$c = coopMultiplyAdd(left, right, sum_$c);
        //@ end
        //@ end
    }
    //@ for c in 0..CHAINS
    let at_$c = ${c}u * side * side;
    coopStoreT(sum_$c, &c[at_$c], side);
    //@ end
    if (lane == 0u) {
        counted[0] = subgroups;
    }
}
