// contrast.forward: the log-sum-exp of the similarities of each row i to the rows j that count for it, in parts.
// A workgroup owns a block of rows i and walks one slice of the j, $ROUND at a time; a lane owns $TI rows and $TJ of
// those columns and keeps a running maximum and sum over them (online log-sum-exp). contrast.finish puts the parts of a
// row together, so no N × N matrix is ever kept. The loss brings
//   unit_a(at), unit_b(at) -> V    units of the two matrices
//   counts(i, j) -> bool           whether row j belongs to the sum of row i
//   positive(i) -> u32             which j is the positive of i, if it is among them

//@ let parts = A + 1
// [slice][lane of a row][row]: maximum, sum, s at the positive
@group(0) @binding($parts) var<storage, read_write> parts: array<vec4<f32>>;

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let block = group % p.blocks;
    let slice = group / p.blocks;
    let end = min((slice + 1u) * p.length, p.others); // the surplus of a folded grid walks nothing
    let column = first_column(lane);
    //@ for m in 0..TI
    let i_$m = first_row(block, lane) + $m * $STEPI;
    let positive_$m = positive(i_$m);
    var top_$m = -1e30;
    var sum_$m = 0.0;
    var at_positive_$m = 0.0;
    //@ end
    for (var j0 = slice * p.length; j0 < end; j0 += ${ROUND}u) {
        let products = similarities(block, j0, lane);
        //@ for m in 0..TI
        var now_$m = top_$m;
        //@ for n in 0..TJ
        let t_$m_$n = products.s_$m_$n;
        let j_$m_$n = j0 + column + $n * $STEPJ;
        let counts_$m_$n = (j_$m_$n < end) & counts(i_$m, j_$m_$n);
        now_$m = select(now_$m, max(now_$m, t_$m_$n), counts_$m_$n);
        at_positive_$m = select(at_positive_$m, t_$m_$n, (j_$m_$n < end) & (j_$m_$n == positive_$m));
        //@ end
        sum_$m *= exp(top_$m - now_$m);
        //@ for n in 0..TJ
        sum_$m += select(0.0, exp(t_$m_$n - now_$m), counts_$m_$n);
        //@ end
        top_$m = now_$m;
        //@ end
    }
    let part = slice * ${PARTS}u + column;
    //@ for m in 0..TI
    if (i_$m < p.rows && slice < p.slices) {
        parts[part * p.rows + i_$m] = vec4<f32>(top_$m, sum_$m, at_positive_$m, 0.0);
    }
    //@ end
}
