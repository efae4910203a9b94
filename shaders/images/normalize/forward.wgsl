// normalize: y = (x − mean) / std with a mean and a std for each of up to three channels; four elements an invocation
// and step. A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

struct Params {
    vectors: u32, plane: u32, channels: u32,
    mean_0: f32, mean_1: f32, mean_2: f32, std_0: f32, std_1: f32, std_2: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

fn pick(channel: vec4<u32>, a: f32, b: f32, c: f32) -> vec4<f32> {
    return select(select(vec4<f32>(c), vec4<f32>(b), channel == vec4<u32>(1u)), vec4<f32>(a), channel == vec4<u32>(0u));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        // Where planes are whole vec4 the four share a channel.
        var channel = vec4<u32>(((4u * i) / p.plane) % p.channels);
        if ($WHOLE == 0) {
            channel = ((vec4<u32>(4u * i) + vec4<u32>(0u, 1u, 2u, 3u)) / p.plane) % p.channels;
        }
        y[i] = (x[i] - pick(channel, p.mean_0, p.mean_1, p.mean_2)) / pick(channel, p.std_0, p.std_1, p.std_2);
    }
}
