// Output of gemm/columns.wgsl, element by element: columns of c may lie anywhere.

@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn store(first: u32, m: u32, column: u32, plane: u32, values: vec4<f32>) {
    //@ for i in 0..4
    if (column + $i < p.columns) {
        let at_$i = (column + $i) % plane;
        c[first + ((column + $i) / plane) * p.c_n + m * p.c_m + (at_$i / p.v) * p.c_u + (at_$i % p.v) * p.c_v] = values[$i];
    }
    //@ end
}
