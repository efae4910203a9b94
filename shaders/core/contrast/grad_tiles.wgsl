// contrast.grad: da_i = begin_i + Σ_j c_ij b_j. A workgroup owns 32 rows i and walks the j of one slice in tiles of 64:
// first the pulls of the tile into workgroup memory, then their product with the tile's rows into da. A lane of that
// product owns 4 rows and a unit of the columns, the same for every tile, so da is its accumulator and no other lane
// touches it. With several slices each has its own da, and a sum follows. The twin of grad_rows.wgsl, which says what
// the loss brings.

@group(0) @binding($DX) var<storage, read_write> da: array<V>;

var<workgroup> pulls: array<f32, 2048>; // [j][i]

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let block = group % p.blocks;
    let slice = group / p.blocks;
    let end = select(0u, min((slice + 1u) * p.length, p.others), slice < p.slices);
    let ly = lane / 16u;
    let lx = lane % 16u;
    let last = p.rows - 1u;
    for (var j0 = slice * p.length; j0 < end; j0 += ${ROUND}u) {
        let products = similarities(block, j0, lane); // its barriers also keep the pulls until all have used them
        //@ for m in 0..TI
        let i_$m = block * 32u + ly + $m * $STEPI;
        let row_$m = about_row(min(i_$m, last));
        //@ for n in 0..TJ
        let j_$m_$n = j0 + lx + $n * $STEPJ;
        let c_$m_$n = pull(i_$m, j_$m_$n, products.s_$m_$n, row_$m, about_column(min(j_$m_$n, p.others - 1u)));
        pulls[(lx + $n * $STEPJ) * 32 + ly + $m * $STEPI] = select(0.0, c_$m_$n, j_$m_$n < end);
        //@ end
        //@ end
        workgroupBarrier();
        let width = min(64u, end - j0);
        for (var t = lane; t < 8u * p.vectors; t += ${SIZE}u) {
            let k = t % p.vectors;
            let four = (t / p.vectors) * 4u;
            //@ for m in 0..4
            var d_$m = V(0.0);
            //@ end
            for (var j = 0u; j < width; j++) {
                let b = unit_b((j0 + j) * p.vectors + k);
                //@ for m in 0..4
                d_$m += pulls[j * 32u + four + $m] * b;
                //@ end
            }
            //@ for m in 0..4
            let r_$m = block * 32u + four + $m;
            if (r_$m < p.rows) {
                let at = (slice * p.rows + r_$m) * p.vectors + k;
                if (j0 > slice * p.length) {
                    d_$m += da[at];
                } else if (slice == 0u) {
                    d_$m += begin(r_$m, k, about_row(r_$m));
                }
                da[at] = d_$m;
            }
            //@ end
        }
    }
}
