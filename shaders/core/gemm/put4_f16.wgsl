// How four neighbours of a row of a product get from registers to memory, in f16: two that fill a word are put together, which
// is every two where rows and planes have an even number of elements. `finish`: shaders/core/epilogue/. Its twin is
// put4_f32.wgsl.

fn put4(m: u32, n: u32, columns: vec4<u32>, at: vec4<u32>, v: vec4<f32>) {
    if (m < p.m) {
        let out = finish(v, batch * p.m + m, columns, at);
        //@ for h in 0..2
        //@ let i = 2 * h
        //@ let j = 2 * h + 1
        if ((n + $j < p.n) & (at[$i] % 2u == 0u) & (at[$j] == at[$i] + 1u)) {
            put_both(at[$i], vec2<f32>(out[$i], out[$j]));
        } else {
            if (n + $i < p.n) {
                c_put(at[$i], out[$i]);
            }
            if (n + $j < p.n) {
                c_put(at[$j], out[$j]);
            }
        }
        //@ end
    }
}
