// nt_xent.grad: dz_i = dy/(2N τ) Σ_j (P_ij + P_ji − 2 [j = pos(i)]) z_j, P_ij = exp(s_ij − lse_i) for j ≠ i, 0 for j = i.
// A workgroup owns 32 rows i and walks all j in tiles of 64: first the factors of the tile into workgroup memory, then
// their product with the tile's rows into dz. A lane of that product owns 4 rows and a unit of the columns, the same
// for every tile, so dz is its accumulator and no other lane touches it.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<V>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dz: array<V>;

var<workgroup> factors: array<f32, 2048>; // [j][i]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i0 = group_index(wid, groups) * 32u;
    let ly = lane / 16u;
    let lx = lane % 16u;
    let last = p.rows - 1u;
    let scale = p.scale * dy[0];
    for (var j0 = 0u; j0 < p.rows; j0 += 64u) {
        let products = similarities(i0, j0, lane); // its barriers also keep the factors until all have used them
        //@ for m in 0..2
        let i_$m = i0 + ly + $m * 16;
        let positive_$m = (i_$m + p.rows / 2u) % p.rows;
        let lse_i_$m = lse[min(i_$m, last)];
        let t_$m = products.s[$m];
        //@ for n in 0..4
        let j_$m_$n = j0 + lx + $n * 16;
        let both_$m_$n = exp(t_$m[$n] - lse_i_$m) + exp(t_$m[$n] - lse[min(j_$m_$n, last)])
            - select(0.0, 2.0, j_$m_$n == positive_$m);
        factors[(lx + $n * 16) * 32 + ly + $m * 16] =
            select(0.0, scale * both_$m_$n, j_$m_$n < p.rows && j_$m_$n != i_$m);
        //@ end
        //@ end
        workgroupBarrier();
        let width = min(64u, p.rows - j0);
        for (var t = lane; t < 8u * p.vectors; t += 256u) {
            let column = t % p.vectors;
            let four = (t / p.vectors) * 4u;
            //@ for m in 0..4
            var d_$m = V(0.0);
            //@ end
            for (var j = 0u; j < width; j++) {
                let b = z[(j0 + j) * p.vectors + column];
                //@ for m in 0..4
                d_$m += factors[j * 32u + four + $m] * b;
                //@ end
            }
            //@ for m in 0..4
            let row_$m = i0 + four + $m;
            if (row_$m < p.rows) {
                let at = row_$m * p.vectors + column;
                if (j0 > 0u) {
                    d_$m += dz[at];
                }
                dz[at] = d_$m;
            }
            //@ end
        }
    }
}
