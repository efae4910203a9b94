// The products of a tile, for forward and gradients: 8·$R owned rows against 8·$N walked rows by 64 lanes. A workgroup
// is one such half, or ($HALVES) two that do the same with other rows, each in its own part of workgroup memory. Lane
// (ly, lx) owns rows ly + 8 m, m < $R, against walked rows lx + 8 n, n < $N, and of the sums over walked rows the units
// (vec4) lx + 8 g, g < $EG, of its rows; so neighbours in lx read neighbouring words. Where fewer than four fit the rows
// that there are, $R and $N are less (launch.rs), and the vec4 that hold a number for each m or n have idle ends. The kernel
// says where rows of the head come from: owned_row_i and walked_row_i where one begins, owned_i and walked_i the vec4 at a
// place, for products_f; summand_i the vec4 of a row, for accumulate; i = f + the half. Four lanes load four neighbouring vec4
// of a row for a product, 8·$EG lanes a whole row for a sum. Rows and units past the end count as 0; they are read at the end, so
// that no load waits behind a branch.
// Every function here holds barriers: call it in uniform control flow.

//@ let OWNED = 16 * ((R + 1) / 2) + 2
//@ let WALKED = 16 * ((N + 1) / 2) + 2
//@ let TURNS = (N * EG + 3) / 4
const A = max(4u * $OWNED, 64u * $TURNS);
const B = max(4u * $WALKED, 72u * $R);
// [4 units][owned rows], 2 words more to spread the banks; or [2·$N walked rows][8·EG units]
var<workgroup> tile_a: array<vec4<f32>, $HALVES * A>;
// [4 units][walked rows], 2 words more; or a vec4 of each lane; or the weights, [owned row][lx] of the walked rows
// lx + 8 n, a word more. Workgroup memory decides how many subgroups a GPU has in flight here, so all share it.
var<workgroup> tile_b: array<vec4<f32>, $HALVES * B>;

//@ for m in 0..R
//@ for g in 0..EG
var<private> sum_$m_$g: vec4<f32>;
//@ end
//@ end

// Of each of the lane's rows: its products with the lane's walked rows.
struct Products { rows: array<vec4<f32>, $R> }

// The lane's walked rows of the tile that begins at j0; no row is as high as an idle one.
fn walked_rows(j0: u32, lane: u32) -> vec4<u32> {
    var j = vec4<u32>(0xffffffffu);
    //@ for n in 0..N
    j[$n] = j0 + $n * 8 + lane % 8u;
    //@ end
    return j;
}

//@ for f in 0..PAIRS
fn products_$f(a0: u32, a_end: u32, b0: u32, b_end: u32, lane: u32, part: u32) -> Products {
    let ly = lane / 8u;
    let lx = lane % 8u;
    let row = lane / 4u;
    let unit = lane % 4u;
    //@ for m in 0..R
    var s_$m = vec4<f32>(0.0);
    //@ end
    // Where the lane's rows begin. Had all walked rows a register for it, fewer waves of grad_query would fit.
    //@ for h in 0..(R + 1) / 2
    var a_at_$h: u32;
    //@ end
    var b_at_0: u32;
    //@ for d in 0..HALVES
    //@ let i = f + d
    if ($HALVES == 1 || part == $d) {
        //@ for h in 0..(R + 1) / 2
        a_at_$h = owned_row_$i(min(a0 + row + $h * 16, a_end - 1u));
        //@ end
        b_at_0 = walked_row_$i(min(b0 + row, b_end - 1u));
    }
    //@ end
    for (var k0 = 0u; k0 < p.width; k0 += 4u) {
        let at = min(k0 + unit, p.width - 1u);
        let real = k0 + unit < p.width;
        workgroupBarrier();
        //@ for h in 0..(R + 1) / 2
        var a_$h: vec4<f32>;
        //@ end
        //@ for h in 0..(N + 1) / 2
        var b_$h: vec4<f32>;
        //@ end
        //@ for d in 0..HALVES
        //@ let i = f + d
        if ($HALVES == 1 || part == $d) {
            //@ for h in 0..(R + 1) / 2
            a_$h = owned_$i(a_at_$h + at);
            //@ end
            b_0 = walked_$i(b_at_0 + at);
            //@ for h in 1..(N + 1) / 2
            b_$h = walked_$i(walked_row_$i(min(b0 + row + $h * 16, b_end - 1u)) + at);
            //@ end
        }
        //@ end
        //@ for h in 0..(R + 1) / 2
        tile_a[part * A + unit * $OWNED + row + $h * 16] = select(vec4<f32>(0.0), a_$h, real & (a0 + row + $h * 16 < a_end));
        //@ end
        //@ for h in 0..(N + 1) / 2
        tile_b[part * B + unit * $WALKED + row + $h * 16] = select(vec4<f32>(0.0), b_$h, real & (b0 + row + $h * 16 < b_end));
        //@ end
        workgroupBarrier();
        //@ for k in 0..4
        //@ for m in 0..R
        let a_$k_$m = tile_a[part * A + $k * $OWNED + ly + $m * 8];
        //@ end
        //@ for n in 0..N
        let b_$k_$n = tile_b[part * B + $k * $WALKED + $n * 8 + lx];
        //@ for m in 0..R
        //@ for c in 0..4
        s_$m[$n] += a_$k_$m[$c] * b_$k_$n[$c];
        //@ end
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

// Adds Σ_j weights[i][j]·summand(j) over the walked rows j to the sums of the lane's rows i, two of each n at a time. The
// kernel has put the weights into tile_b, behind a barrier where other lanes may still read it.
fn accumulate(b0: u32, b_end: u32, lane: u32, part: u32) {
    let ly = lane / 8u;
    let lx = lane % 8u;
    for (var two = 0u; two < 8u; two += 2u) {
        workgroupBarrier();
        //@ for t in 0..TURNS
        let at_$t = lane + $t * 64;
        let row_$t = at_$t / (8u * $EG);
        let unit_$t = at_$t % (8u * $EG);
        let j_$t = b0 + row_$t / 2u * 8u + two + row_$t % 2u;
        var v_$t: vec4<f32>;
        //@ end
        //@ for d in 0..HALVES
        if ($HALVES == 1 || part == $d) {
            //@ for t in 0..TURNS
            v_$t = summand_$d(min(j_$t, b_end - 1u), min(unit_$t, p.width - 1u));
            //@ end
        }
        //@ end
        //@ for t in 0..TURNS
        tile_a[part * A + at_$t] = select(vec4<f32>(0.0), v_$t, (j_$t < b_end) & (unit_$t < p.width));
        //@ end
        workgroupBarrier();
        //@ for h in 0..2
        //@ for m in 0..R
        let w_$h_$m = tile_b[part * B + (ly + $m * 8) * 9 + two + $h];
        //@ end
        //@ for n in 0..N
        //@ for g in 0..EG
        let v_$h_$n_$g = tile_a[part * A + ($n * 2 + $h) * 8 * $EG + $g * 8 + lx];
        //@ for m in 0..R
        sum_$m_$g += w_$h_$m[$n] * v_$h_$n_$g;
        //@ end
        //@ end
        //@ end
        //@ end
    }
}
