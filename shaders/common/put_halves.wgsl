// What a kernel makes, four halves at a time, rounded to the nearest. After common/half.wgsl and common/quad_f16.wgsl.
// Its twins are put_f32.wgsl and put_half.wgsl.

@group(0) @binding($MADE) var<storage, read_write> made: array<Quad>;

fn put(i: u32, v: vec4<f32>) {
    made[i] = stored(v);
}

fn taken(i: u32) -> vec4<f32> {
    return loaded(made[i]);
}
