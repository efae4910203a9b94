// Blocks of four by four of matmul's operands, for core/gemm/aligned.wgsl: a vec4 along m or n for each of four k. An operand
// that lies along k ($ATURNS and $BTURNS say so, as 1 or 0) is read as a vec4 of each of four rows, and turned in
// registers. Rows in memory are whole vec4.

fn a_block(m: u32, k: u32) -> mat4x4<f32> {
    let i = (batch * p.a_z + m * p.a_m + k * p.a_k) / 4u;
    //@ for l in 0..ATURNS
    let row = p.a_m / 4u;
    return transpose(mat4x4<f32>(a_four(i), a_four(i + row), a_four(i + 2u * row), a_four(i + 3u * row)));
    //@ end
    //@ for l in ATURNS..1
    let row = p.a_k / 4u;
    return mat4x4<f32>(a_four(i), a_four(i + row), a_four(i + 2u * row), a_four(i + 3u * row));
    //@ end
}

fn b_block(n: u32, k: u32) -> mat4x4<f32> {
    let i = (batch * p.b_z + n * p.b_n + k * p.b_k) / 4u;
    //@ for l in 0..BTURNS
    let row = p.b_n / 4u;
    return transpose(mat4x4<f32>(b_four(i), b_four(i + row), b_four(i + 2u * row), b_four(i + 3u * row)));
    //@ end
    //@ for l in BTURNS..1
    let row = p.b_k / 4u;
    return mat4x4<f32>(b_four(i), b_four(i + row), b_four(i + 2u * row), b_four(i + 3u * row));
    //@ end
}
