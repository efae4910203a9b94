// What statistics of a chunk become: a part, which batch_norm.finish merges with the others. Its twin is keep_whole.wgsl.

@group(0) @binding(2) var<storage, read_write> parts: array<vec2<f32>>;

fn keep(at: u32, m: Moments) {
    parts[at] = vec2<f32>(m.mean, m.m2);
}
