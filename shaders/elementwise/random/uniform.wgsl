// Uniform in [low, high): four elements from four words, as base::rng::Rng::uniform draws them. Its twin is normal.wgsl.

fn four(i: u32) -> vec4<f32> {
    let w = words(i);
    return p.a + (p.b - p.a) * vec4<f32>(unit(w.x), unit(w.y), unit(w.z), unit(w.w));
}
