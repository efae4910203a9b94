// Similarities s_ij = a_i·b_j / τ of $TI rows i that one lane owns and $TJ rows j, so that a load serves $TI or $TJ
// products: on a software adapter loads cost and products do not. Named values, not arrays: those would spill.
// The twin of products_tiles.wgsl.

struct Products {
    //@ for m in 0..TI
    //@ for n in 0..TJ
    s_$m_$n: f32,
    //@ end
    //@ end
}

// Of lane `lane` of a block: its first row i, its first column after j0, and which part of a row's columns it walks.
fn first_row(block: u32, lane: u32) -> u32 {
    return (block * 8u + lane) * ${TI}u;
}

fn first_column(lane: u32) -> u32 {
    return 0u;
}

fn similarities(block: u32, j0: u32, lane: u32) -> Products {
    let i0 = first_row(block, lane);
    //@ for m in 0..TI
    let a_$m = min(i0 + ${m}u, p.rows - 1u) * p.vectors;
    //@ end
    //@ for n in 0..TJ
    let b_$n = min(j0 + ${n}u, p.others - 1u) * p.vectors;
    //@ for m in 0..TI
    var s_$m_$n = 0.0;
    //@ end
    //@ end
    for (var k = 0u; k < p.vectors; k++) {
        //@ for m in 0..TI
        let va_$m = unit_a(a_$m + k);
        //@ end
        //@ for n in 0..TJ
        let vb_$n = unit_b(b_$n + k);
        //@ for m in 0..TI
        s_$m_$n += dot_v(va_$m, vb_$n);
        //@ end
        //@ end
    }
    return Products(
        //@ for m in 0..TI
        //@ for n in 0..TJ
        s_$m_$n * p.inverse_temperature,
        //@ end
        //@ end
    );
}
