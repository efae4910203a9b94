// Output of core/gemm/columns.wgsl, four columns at once: planes of c are contiguous and a multiple of four long.
// `finish`: shaders/core/epilogue/.

@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

fn store(first: u32, m: u32, column: u32, plane: u32, values: vec4<f32>) {
    if (column < p.columns) {
        let at = first + (column / plane) * p.c_n + m * p.c_m + column % plane;
        let next = vec4<u32>(0u, 1u, 2u, 3u);
        c[at / 4u] = finish(values, m, column + next, at + next);
    }
}
