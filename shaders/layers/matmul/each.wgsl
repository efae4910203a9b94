// Where an element of matmul's operands lies, for the gemm kernels that read one at a time: a_get and b_get do.

alias Column = u32;

fn row_of(m: u32) -> u32 {
    return batch * p.a_z + m * p.a_m;
}

fn column_of(n: u32) -> Column {
    return batch * p.b_z + n * p.b_n;
}

fn a_at(row: u32, k: u32) -> f32 {
    return a_get(row + k * p.a_k);
}

fn b_at(column: Column, k: u32) -> f32 {
    return b_get(column + k * p.b_k);
}
