// contrast.grad: da_i = begin_i + Σ_j c_ij b_j. An invocation owns $TI rows i and walks the rows j of one slice in groups
// of $TJ, as the forward does: first the similarities of the group, then their pull into da. da itself is the
// accumulator, because D values a row do not fit in registers; only this invocation touches its rows of it. With several
// slices each has its own da, and a sum follows. grad_tiles.wgsl is the twin; besides the forward's the loss brings
//   about_row(i) -> vec2<f32>, about_column(j) -> f32      what a pull needs of them
//   pull(i, j, s, row, column) -> f32                      c_ij, 0 where j does not count
//   begin(i, k, row) -> V                                  unit k of what row i starts from

@group(0) @binding($DX) var<storage, read_write> da: array<V>;

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let block = group % p.blocks;
    let slice = group / p.blocks;
    if (slice >= p.slices) {
        return;
    }
    let end = min((slice + 1u) * p.length, p.others);
    let last = p.rows - 1u;
    let i0 = first_row(block, lane);
    //@ for m in 0..TI
    let i_$m = i0 + ${m}u;
    let row_$m = about_row(min(i_$m, last));
    let at_$m = (slice * p.rows + min(i_$m, last)) * p.vectors;
    //@ end
    for (var j0 = slice * p.length; j0 < end; j0 += ${ROUND}u) {
        let products = similarities(block, j0, lane);
        //@ for n in 0..TJ
        let j_$n = j0 + ${n}u;
        let b_$n = min(j_$n, p.others - 1u) * p.vectors;
        let column_$n = about_column(min(j_$n, p.others - 1u));
        //@ for m in 0..TI
        let c_$m_$n = select(0.0, pull(i_$m, j_$n, products.s_$m_$n, row_$m, column_$n), j_$n < end);
        //@ end
        //@ end
        for (var k = 0u; k < p.vectors; k++) {
            //@ for n in 0..TJ
            let b_k_$n = unit_b(b_$n + k);
            //@ end
            //@ for m in 0..TI
            if (i_$m < p.rows) {
                var d = V(0.0);
                if (j0 > slice * p.length) {
                    d = da[at_$m + k];
                } else if (slice == 0u) {
                    d = begin(i_$m, k, row_$m);
                }
                //@ for n in 0..TJ
                d += c_$m_$n * b_k_$n;
                //@ end
                da[at_$m + k] = d;
            }
            //@ end
        }
    }
}
