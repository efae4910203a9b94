// Puts other data into the caches before a cold sample: an invocation writes every vec4 whose index leaves its own number
// when divided by the invocations of the grid, so neighbours write neighbours. Nothing must divide.

@group(0) @binding(1) var<storage, read_write> values: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    for (var i = id.x; i < arrayLength(&values); i += groups.x * 64) {
        values[i] = vec4f(f32(i));
    }
}
