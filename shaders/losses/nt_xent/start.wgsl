// nt_xent: a row has nothing besides its similarities to the other rows.

fn start(i: u32) -> vec3<f32> {
    return vec3<f32>(-1e30, 0.0, 0.0);
}
