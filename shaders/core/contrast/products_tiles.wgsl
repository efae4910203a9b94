// Similarities s_ij = a_i·b_j / τ of a tile of 32 rows i against 64 rows j by 256 lanes, both staged in workgroup memory
// 4 units at a time. Lane (ly, lx) owns rows i = ly + 16 m, m < 2, and j = lx + 16 n, n < 4, so that neighbours in lx
// read neighbouring words. Rows and units past the end count as 0. The twin of products_rows.wgsl.

var<workgroup> tile_a: array<V, 128>; // [unit][row]
var<workgroup> tile_b: array<V, 256>;

struct Products {
    //@ for m in 0..TI
    //@ for n in 0..TJ
    s_$m_$n: f32,
    //@ end
    //@ end
}

// Of lane `lane` of a block: its first row i, its first column after j0, and which part of a row's columns it walks.
fn first_row(block: u32, lane: u32) -> u32 {
    return block * 32u + lane / 16u;
}

fn first_column(lane: u32) -> u32 {
    return lane % 16u;
}

// Holds barriers: call it in uniform control flow.
fn similarities(block: u32, j0: u32, lane: u32) -> Products {
    let ly = lane / 16u;
    let lx = lane % 16u;
    //@ for m in 0..TI
    var s_$m = vec4<f32>(0.0);
    //@ end
    for (var k0 = 0u; k0 < p.vectors; k0 += 4u) {
        workgroupBarrier();
        let row = lane / 4u;
        let k = lane % 4u;
        let inside = k0 + k < p.vectors;
        let j = j0 + row;
        tile_b[k * 64u + row] = V(0.0);
        if (j < p.others && inside) {
            tile_b[k * 64u + row] = unit_b(j * p.vectors + k0 + k);
        }
        if (lane < 128u) {
            let i = block * 32u + row;
            tile_a[k * 32u + row] = V(0.0);
            if (i < p.rows && inside) {
                tile_a[k * 32u + row] = unit_a(i * p.vectors + k0 + k);
            }
        }
        workgroupBarrier();
        //@ for k in 0..4
        //@ for m in 0..TI
        let a_$k_$m = tile_a[$k * 32 + ly + $m * 16];
        //@ end
        //@ for n in 0..TJ
        let b_$k_$n = tile_b[$k * 64 + lx + $n * 16];
        //@ for m in 0..TI
        s_$m[$n] += dot_v(a_$k_$m, b_$k_$n);
        //@ end
        //@ end
        //@ end
    }
    return Products(
        //@ for m in 0..TI
        //@ for n in 0..TJ
        s_$m[$n] * p.inverse_temperature,
        //@ end
        //@ end
    );
}
