// Similarities of a tile, for the forward and the gradient: 32 rows i against 64 rows j by 256 lanes, both staged in
// workgroup memory 4 units at a time. Lane (ly, lx) owns rows i = ly + 16 m, m < 2, and j = lx + 16 n, n < 4, so that
// neighbours in lx read neighbouring words. Rows and units past the end count as 0.

var<workgroup> tile_a: array<V, 128>; // [unit][row]
var<workgroup> tile_b: array<V, 256>;

struct Products { s: array<vec4<f32>, 2> }

fn unit_at(row: u32, k: u32) -> V {
    if (row < p.rows && k < p.vectors) {
        return z[row * p.vectors + k];
    }
    return V(0.0);
}

// Holds barriers: call it in uniform control flow.
fn similarities(i0: u32, j0: u32, lane: u32) -> Products {
    let ly = lane / 16u;
    let lx = lane % 16u;
    //@ for m in 0..2
    var s_$m = vec4<f32>(0.0);
    //@ end
    for (var k0 = 0u; k0 < p.vectors; k0 += 4u) {
        workgroupBarrier();
        let row = lane / 4u;
        let k = lane % 4u;
        tile_b[k * 64u + row] = unit_at(j0 + row, k0 + k);
        if (lane < 128u) {
            tile_a[k * 32u + row] = unit_at(i0 + row, k0 + k);
        }
        workgroupBarrier();
        //@ for k in 0..4
        //@ for m in 0..2
        let a_$k_$m = tile_a[$k * 32 + ly + $m * 16];
        //@ end
        //@ for n in 0..4
        let b_$k_$n = tile_b[$k * 64 + lx + $n * 16];
        //@ for m in 0..2
        s_$m[$n] += dot_v(a_$k_$m, b_$k_$n);
        //@ end
        //@ end
        //@ end
    }
    return Products(array<vec4<f32>, 2>(s_0 * p.inverse_temperature, s_1 * p.inverse_temperature));
}
