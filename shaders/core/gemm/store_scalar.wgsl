// Output of core/gemm/columns.wgsl, element by element: columns of c may lie anywhere. `finish`: shaders/core/epilogue/.

@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn store(first: u32, m: u32, column: u32, plane: u32, values: vec4<f32>) {
    let columns = min(column + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.columns - 1u));
    let images = columns / plane;
    let in_plane = columns % plane;
    let at = first + images * p.c_n + m * p.c_m + (in_plane / p.v) * p.c_u + (in_plane % p.v) * p.c_v;
    let out = finish(values, m, columns, at);
    //@ for i in 0..4
    if (column + $i < p.columns) {
        c[at[$i]] = out[$i];
    }
    //@ end
}
