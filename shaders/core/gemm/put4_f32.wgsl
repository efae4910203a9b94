// How four columns of a row of a product, $APART apart, get from registers to memory, in f32. `finish`:
// shaders/core/epilogue/. Its twin is put4_f16.wgsl.

fn put4(m: u32, n: u32, columns: vec4<u32>, at: vec4<u32>, v: vec4<f32>) {
    if (m < p.m) {
        let out = finish(v, batch * p.m + m, columns, at);
        //@ for i in 0..4
        if (n + $i * $APART < p.n) {
            c_put(at[$i], out[$i]);
        }
        //@ end
    }
}
