// The products of a tile, for forward and gradients: $R · 16 owned rows against 32 walked rows by 128 lanes. Lane
// (ly, lx) owns rows ly + 16 m, m < $R, against walked rows 4 lx + n, n < 4, and of the sums over walked rows the units
// (vec4) lx + 8 g, g < $EG, of its rows; so neighbours in lx read neighbouring words. The kernel says where rows come
// from: owned_f and walked_f for products_f, summand_f for accumulate_f. Rows and units past the end count as 0.
// Every function here holds barriers: call it in uniform control flow.

var<workgroup> tile_a: array<vec4<f32>, 264>; // [4 units][owned rows], 2 words more to spread the banks; or [8 walked rows][8·EG units]
var<workgroup> tile_b: array<vec4<f32>, 128>; // [4 units][walked rows, those of one n together]; or a vec4 of each lane
var<workgroup> weights: array<vec4<f32>, 128 * $R>; // [owned row][walked row / 4]

//@ for f in 0..SUMS
//@ for m in 0..R
//@ for g in 0..EG
var<private> sum_$f_$m_$g: vec4<f32>;
//@ end
//@ end
//@ end

// Of each of the lane's rows: its products with the lane's four walked rows.
struct Products { rows: array<vec4<f32>, $R> }

//@ for f in 0..PAIRS
fn products_$f(a0: u32, a_end: u32, b0: u32, b_end: u32, lane: u32) -> Products {
    let ly = lane / 8u;
    let lx = lane % 8u;
    let row = lane / 4u;
    let unit = lane % 4u;
    //@ for m in 0..R
    var s_$m = vec4<f32>(0.0);
    //@ end
    for (var k0 = 0u; k0 < p.width; k0 += 4u) {
        workgroupBarrier();
        //@ for h in 0..R/2
        var a_$h = vec4<f32>(0.0);
        if (a0 + row + $h * 32 < a_end && k0 + unit < p.width) {
            a_$h = owned_$f(a0 + row + $h * 32, k0 + unit);
        }
        tile_a[unit * (16 * $R + 2) + row + $h * 32] = a_$h;
        //@ end
        var b = vec4<f32>(0.0);
        if (b0 + row < b_end && k0 + unit < p.width) {
            b = walked_$f(b0 + row, k0 + unit);
        }
        tile_b[unit * 32u + (row % 4u) * 8u + row / 4u] = b;
        workgroupBarrier();
        //@ for k in 0..4
        //@ for m in 0..R
        let a_$k_$m = tile_a[$k * (16 * $R + 2) + ly + $m * 16];
        //@ end
        //@ for n in 0..4
        let b_$k_$n = tile_b[$k * 32 + $n * 8 + lx];
        //@ for m in 0..R
        s_$m[$n] += dot(a_$k_$m, b_$k_$n);
        //@ end
        //@ end
        //@ end
    }
    var all: Products;
    //@ for m in 0..R
    all.rows[$m] = s_$m;
    //@ end
    return all;
}
//@ end

//@ for f in 0..SUMS
// Adds Σ_j weights[i][j]·summand_$f(j) over the walked rows j to the sums of the lane's rows i.
fn accumulate_$f(b0: u32, b_end: u32, lane: u32) {
    let ly = lane / 8u;
    let lx = lane % 8u;
    for (var eight = 0u; eight < 4u; eight++) {
        workgroupBarrier();
        for (var at = lane; at < 64u * $EG; at += 128u) {
            let j = b0 + eight * 8u + at / (8u * $EG);
            let unit = at % (8u * $EG);
            var v = vec4<f32>(0.0);
            if (j < b_end && unit < p.width) {
                v = summand_$f(j, unit);
            }
            tile_a[at] = v;
        }
        workgroupBarrier();
        //@ for h in 0..2
        //@ for m in 0..R
        let w_$h_$m = weights[(ly + $m * 16) * 8 + eight * 2 + $h];
        //@ end
        //@ for j in 0..4
        //@ for g in 0..EG
        let v_$h_$j_$g = tile_a[($h * 4 + $j) * 8 * $EG + $g * 8 + lx];
        //@ for m in 0..R
        sum_$f_$m_$g += w_$h_$m[$j] * v_$h_$j_$g;
        //@ end
        //@ end
        //@ end
        //@ end
    }
}
//@ end
